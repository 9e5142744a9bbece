//! A parabola: `x ~ N(0, 1)`, `y | x ~ N(x² - 1, 1/2)`; the second numbers are deviations.

use super::draw::Draw;
use super::log_normal;

const SD: f64 = 0.5;

pub(super) fn sample(draw: &mut Draw) -> [f64; 2] {
    let [x, z, ..] = draw.normals();
    [x, x * x - 1.0 + SD * z]
}

pub(super) fn log_density(x: f64, y: f64) -> f64 {
    log_normal(x, 0.0, 1.0) + log_normal(y, x * x - 1.0, SD)
}
