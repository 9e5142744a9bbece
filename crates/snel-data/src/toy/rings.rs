//! Four concentric circles. The circle is chosen evenly, the angle is uniform, the radius normal
//! (given that it is positive), so in the plane `p(x) = sum_k p_k(r) / (4 * 2 pi r)`.

use super::draw::Draw;
use super::{log_radius, log_sum_exp};
use std::f64::consts::TAU;

const RADII: [f64; 4] = [1.0, 2.0, 3.0, 4.0];
/// A tenth of the smallest radius: no draw of up to 6.76 deviations is cut off at zero.
const SD: f64 = 0.1;

pub(super) fn sample(draw: &mut Draw) -> [f64; 2] {
    let [ring, angle, ..] = draw.uniforms();
    let [z, ..] = draw.normals();
    let r = RADII[(ring * RADII.len() as f64) as usize] + SD * z;
    let (sin, cos) = (TAU * angle).sin_cos();
    [r * cos, r * sin]
}

pub(super) fn log_density(x: f64, y: f64) -> f64 {
    let r = x.hypot(y);
    let rings = RADII.map(|mean| log_radius(r, mean, SD));
    log_sum_exp(&rings) - (RADII.len() as f64 * TAU * r).ln()
}
