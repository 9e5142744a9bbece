//! Activation functions with their slopes, in f64.
//!
//! These are the definitions; engines approximate them and say how well.

use serde::{Deserialize, Serialize};

/// The non-linearity between layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Activation {
    /// `x sigmoid(x)` (Elfwing, Uchibe, Doya 2018).
    Silu,
    /// `max(x, 0)`.
    Relu,
    /// Hyperbolic tangent.
    Tanh,
    /// `x Phi(x)` with the exact normal distribution function (Hendrycks, Gimpel 2016).
    Gelu,
    /// `log(1 + exp(x))`.
    Softplus,
}

impl Activation {
    /// Every activation, for tests that must cover all.
    pub const ALL: [Self; 5] = [Self::Silu, Self::Relu, Self::Tanh, Self::Gelu, Self::Softplus];

    /// Value and first derivative at `x`.
    pub fn value_and_slope(self, x: f64) -> (f64, f64) {
        match self {
            Self::Silu => {
                let s = sigmoid(x);
                (x * s, s * (1.0 + x * (1.0 - s)))
            }
            Self::Relu => (x.max(0.0), if x > 0.0 { 1.0 } else { 0.0 }),
            Self::Tanh => {
                let t = x.tanh();
                (t, 1.0 - t * t)
            }
            Self::Gelu => {
                let cdf = 0.5 * libm::erfc(-x * std::f64::consts::FRAC_1_SQRT_2);
                let pdf = (-0.5 * x * x).exp() / (2.0 * std::f64::consts::PI).sqrt();
                (x * cdf, cdf + x * pdf)
            }
            Self::Softplus => (softplus(x), sigmoid(x)),
        }
    }
}

/// `1 / (1 + exp(-x))` without overflow on either side.
pub fn sigmoid(x: f64) -> f64 {
    let e = (-x.abs()).exp();
    if x >= 0.0 { 1.0 / (1.0 + e) } else { e / (1.0 + e) }
}

/// `log(1 + exp(x))` without overflow.
pub fn softplus(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Central differences have error `h^2 f''' / 6` plus rounding `eps f / h`; with h = 1e-5 and
    /// values below 10 both stay under 1e-9.
    #[test]
    fn slope_is_the_derivative() {
        let h = 1e-5;
        for activation in Activation::ALL {
            for i in -80..=80 {
                let x = f64::from(i) / 8.0 + 0.01;
                let slope = activation.value_and_slope(x).1;
                let (up, down) =
                    (activation.value_and_slope(x + h).0, activation.value_and_slope(x - h).0);
                assert!((slope - (up - down) / (2.0 * h)).abs() < 1e-9, "{activation:?} at {x}");
            }
        }
    }

    #[test]
    fn extremes_are_finite() {
        for activation in Activation::ALL {
            for x in [-1e4, -750.0, 750.0, 1e4] {
                let (value, slope) = activation.value_and_slope(x);
                assert!(value.is_finite() && slope.is_finite(), "{activation:?} at {x}");
            }
        }
    }
}
