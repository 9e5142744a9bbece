//! Five arms: a Gaussian about (1, 0), narrow across, is turned by its arm's angle and, further
//! out, by more. The turn depends on the radius alone, so areas are kept, and the density of a
//! point is the Gaussian's at the point turned back.

use super::draw::Draw;
use super::{log_normal, log_sum_exp};
use std::f64::consts::TAU;

const ARMS: usize = 5;
const ALONG: (f64, f64) = (1.0, 0.3);
const ACROSS_SD: f64 = 0.1;
const TWIST: f64 = 0.25;

pub(super) fn sample(draw: &mut Draw) -> [f64; 2] {
    let [arm, ..] = draw.uniforms();
    let [along, across, ..] = draw.normals();
    let (x, y) = (ALONG.0 + ALONG.1 * along, ACROSS_SD * across);
    let arm = (arm * ARMS as f64) as usize;
    turn(x, y, angle(arm, x.hypot(y)))
}

pub(super) fn log_density(x: f64, y: f64) -> f64 {
    let r = x.hypot(y);
    let arms: [f64; ARMS] = std::array::from_fn(|arm| {
        let [along, across] = turn(x, y, -angle(arm, r));
        log_normal(along, ALONG.0, ALONG.1) + log_normal(across, 0.0, ACROSS_SD)
    });
    log_sum_exp(&arms) - (ARMS as f64).ln()
}

fn angle(arm: usize, r: f64) -> f64 {
    TAU * arm as f64 / ARMS as f64 + TWIST * r.exp()
}

fn turn(x: f64, y: f64, angle: f64) -> [f64; 2] {
    let (sin, cos) = angle.sin_cos();
    [x * cos - y * sin, x * sin + y * cos]
}
