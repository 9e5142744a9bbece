//! A Gaussian with unit variances and covariances `RHO^|i - j|`: each value is `RHO` times the one
//! before plus noise, so the density is a product of conditionals.

use super::draw::Draw;
use super::log_normal;

pub(super) const RHO: f64 = 0.7;

/// Standard deviation of a value given the one before.
fn rest_sd() -> f64 {
    (1.0 - RHO * RHO).sqrt()
}

pub(super) fn sample(dim: usize, draw: &mut Draw, points: &mut Vec<f64>) {
    let mut before = None;
    for z in draw.many_normals(dim) {
        let value = before.map_or(z, |before: f64| RHO * before + rest_sd() * z);
        points.push(value);
        before = Some(value);
    }
}

pub(super) fn log_density(x: &[f64]) -> f64 {
    let first = x.first().map_or(0.0, |&x| log_normal(x, 0.0, 1.0));
    first + x.windows(2).map(|pair| log_normal(pair[1], RHO * pair[0], rest_sd())).sum::<f64>()
}
