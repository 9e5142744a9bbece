//! A regression with two branches on the left and a skewed one on the right (after the first of
//! Gustafsson, Danelljan, Bhat, Schön, *Energy-based models for deep probabilistic regression*,
//! 2020): `x` uniform on [-3, 3]; below zero `y ~ 0.8 N(sin x, 0.075) + 0.2 N(-sin x, 0.075)`, the
//! second numbers deviations; above, `y + 1` is log-normal with `log(y + 1) ~ N(0, 0.25)`.

use super::draw::Draw;
use super::{log_normal, log_sum_exp};

const REACH: f64 = 3.0;
const UPPER: f64 = 0.8;
const SD: f64 = 0.075;
const LOG_SD: f64 = 0.25;

pub(super) fn sample(draw: &mut Draw) -> [f64; 2] {
    let [u, branch, ..] = draw.uniforms();
    let [z, ..] = draw.normals();
    let x = REACH * (2.0 * u - 1.0);
    if x >= 0.0 {
        return [x, (LOG_SD * z).exp() - 1.0];
    }
    let sign = if branch < UPPER { 1.0 } else { -1.0 };
    [x, sign * x.sin() + SD * z]
}

/// Log-density of `y` given `x`.
pub(super) fn conditional(x: f64, y: f64) -> f64 {
    if x < 0.0 {
        let branch = |weight: f64, mean| weight.ln() + log_normal(y, mean, SD);
        return log_sum_exp(&[branch(UPPER, x.sin()), branch(1.0 - UPPER, -x.sin())]);
    }
    if y <= -1.0 {
        return f64::NEG_INFINITY;
    }
    let log = (1.0 + y).ln();
    log_normal(log, 0.0, LOG_SD) - log
}

/// Log-density of `x`.
pub(super) fn marginal(x: f64) -> f64 {
    if x.abs() <= REACH { -(2.0 * REACH).ln() } else { f64::NEG_INFINITY }
}
