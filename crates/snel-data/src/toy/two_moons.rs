//! Two half circles of radius 1, one upright about (0, 0), one hanging about (1, 1/2). The moon is
//! chosen evenly, the angle is uniform on its half, the radius normal (given that it is positive),
//! so `p(x) = sum_c [x in half c] p(r_c) / (2 * pi r_c)`.

use super::draw::Draw;
use super::{log_radius, log_sum_exp};
use std::f64::consts::PI;

const HANGING: [f64; 2] = [1.0, 0.5];
/// A tenth of the radius: no draw of up to 6.76 deviations is cut off at zero.
const SD: f64 = 0.1;

pub(super) fn sample(draw: &mut Draw) -> [f64; 2] {
    let [moon, angle, ..] = draw.uniforms();
    let [z, ..] = draw.normals();
    let (sin, cos) = (PI * angle).sin_cos();
    let r = 1.0 + SD * z;
    if moon < 0.5 { [r * cos, r * sin] } else { [HANGING[0] + r * cos, HANGING[1] - r * sin] }
}

pub(super) fn log_density(x: f64, y: f64) -> f64 {
    let half = |dx: f64, dy: f64| {
        if dy < 0.0 {
            return f64::NEG_INFINITY;
        }
        let r = dx.hypot(dy);
        log_radius(r, 1.0, SD) - (2.0 * PI * r).ln()
    };
    log_sum_exp(&[half(x, y), half(x - HANGING[0], HANGING[1] - y)])
}
