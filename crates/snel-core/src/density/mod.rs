//! Normalised densities that can be sampled: proposals and base densities.
//!
//! One type serves both roles. The arithmetic here is f64, one point at a time: the definition
//! that engines are tested against. Sampling consumes Philox blocks of one sample in order, so a
//! sample is a function of `(key, step, sample number)`.
//!
//! Invariants
//! 1. `log_density` integrates to one; `-inf` outside the support.
//! 2. `sample` draws from exactly that density, up to the resolution of its 32-bit words.
//! 3. Scales are positive; [`Density::check`] says so for values that came from a file.

mod affine;
mod draws;
pub mod fit;

pub use affine::{Affine, Scale};
pub use draws::Draws;
use serde::{Deserialize, Serialize};

use crate::lse::LogWeights;

/// `log(2 pi) / 2`.
pub const HALF_LN_TAU: f64 = 0.918_938_533_204_672_8;

/// A normalised density on `D`-dimensional points.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum Density {
    /// Normal with mean and scale of `at`: `x = mean + S z`.
    Gaussian {
        /// Location and scale.
        at: Affine,
    },
    /// Multivariate Student-t: `x = mean + S z / sqrt(g / df)`, `g` chi-square with `df` degrees.
    Student {
        /// Degrees of freedom; heavier tails the smaller it is.
        df: f64,
        /// Location and scale.
        at: Affine,
    },
    /// Uniform on the box `low <= x < high`.
    Uniform {
        /// Lower corner.
        low: Vec<f64>,
        /// Upper corner.
        high: Vec<f64>,
    },
    /// `sum_k weights_k component_k(x)`.
    Mixture {
        /// Positive, summing to one.
        weights: Vec<f64>,
        /// As many as there are weights, all of one dimension.
        components: Vec<Density>,
    },
}

/// Why a model read from a file cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct DensityError(pub(crate) &'static str);

impl Density {
    /// Values of a point, `D`.
    pub fn dim(&self) -> usize {
        match self {
            Self::Gaussian { at } | Self::Student { at, .. } => at.dim(),
            Self::Uniform { low, .. } => low.len(),
            Self::Mixture { components, .. } => components.first().map_or(0, Self::dim),
        }
    }

    /// Checks everything that deserialisation cannot: sizes, positivity, finiteness.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub fn check(&self, dim: usize) -> Result<(), DensityError> {
        let require = |ok, why| if ok { Ok(()) } else { Err(DensityError(why)) };
        match self {
            Self::Gaussian { at } => require(at.is_sound(dim), "mean or scale is unsound"),
            Self::Student { df, at } => {
                require(at.is_sound(dim), "mean or scale is unsound")?;
                require(*df > 0.0 && df.is_finite(), "degrees of freedom are not positive")
            }
            Self::Uniform { low, high } => {
                require(low.len() == dim && high.len() == dim, "box of another dimension")?;
                let ordered =
                    low.iter().zip(high).all(|(a, b)| a < b && a.is_finite() && b.is_finite());
                require(ordered, "empty or infinite box")
            }
            Self::Mixture { weights, components } => {
                require(!weights.is_empty(), "mixture without components")?;
                require(weights.len() == components.len(), "weights and components differ")?;
                let total: f64 = weights.iter().sum();
                let sound = weights.iter().all(|&w| w > 0.0) && (total - 1.0).abs() < 1e-6;
                require(sound, "mixture weights are not positive with sum one")?;
                components.iter().try_for_each(|c| c.check(dim))
            }
        }
    }

    /// The part of the log-density that is the same at every `x` of the support, nats; zero for a
    /// mixture, whose components have their own.
    pub fn log_constant(&self) -> f64 {
        match self {
            Self::Gaussian { at } => -at.log_det() - at.dim() as f64 * HALF_LN_TAU,
            Self::Student { df, at } => student_constant(*df, at.dim()) - at.log_det(),
            Self::Uniform { low, high } => -box_log_volume(low, high),
            Self::Mixture { .. } => 0.0,
        }
    }

    /// Log-density at `x` (`D` values), in nats.
    pub fn log_density(&self, x: &[f64]) -> f64 {
        match self {
            Self::Gaussian { at } => self.log_constant() - 0.5 * at.squared_distance(x),
            Self::Student { df, at } => {
                let tail = -0.5 * (df + x.len() as f64) * (at.squared_distance(x) / df).ln_1p();
                self.log_constant() + tail
            }
            Self::Uniform { low, high } => {
                let inside = x.iter().zip(low.iter().zip(high)).all(|(x, (a, b))| a <= x && x < b);
                if inside { self.log_constant() } else { f64::NEG_INFINITY }
            }
            Self::Mixture { weights, components } => {
                let mut sum = LogWeights::default();
                for (w, component) in weights.iter().zip(components) {
                    sum.add(w.ln() + component.log_density(x));
                }
                sum.log_sum()
            }
        }
    }

    /// Adds `weight` times the gradient of the log-density with respect to `x` to `out`.
    ///
    /// Zero where the density is uniform or zero.
    pub fn add_gradient(&self, x: &[f64], weight: f64, out: &mut [f64]) {
        match self {
            Self::Gaussian { at } => at.add_precision_times_offset(x, -weight, out),
            Self::Student { df, at } => {
                let pull = (df + x.len() as f64) / (df + at.squared_distance(x));
                at.add_precision_times_offset(x, -weight * pull, out);
            }
            Self::Uniform { .. } => {}
            Self::Mixture { weights, components } => {
                let total = self.log_density(x);
                if total > f64::NEG_INFINITY {
                    for (w, component) in weights.iter().zip(components) {
                        let share = (w.ln() + component.log_density(x) - total).exp();
                        component.add_gradient(x, weight * share, out);
                    }
                }
            }
        }
    }

    /// Draws one point into `x` (`D` values), consuming from `draws`.
    pub fn sample(&self, draws: &mut Draws, x: &mut [f64]) {
        match self {
            Self::Gaussian { at } => {
                draws.normals(x);
                at.apply(x, 1.0);
            }
            Self::Student { df, at } => {
                draws.normals(x);
                at.apply(x, draws.student_factor(*df));
            }
            Self::Uniform { low, high } => {
                draws.uniforms(x);
                for (x, (a, b)) in x.iter_mut().zip(low.iter().zip(high)) {
                    *x = a + (b - a) * *x;
                }
            }
            Self::Mixture { weights, components } => {
                let k = pick(weights, draws.uniform());
                components[k].sample(draws, x);
            }
        }
    }

    /// The same density with every standard deviation, or side of the box, times `factor`.
    #[must_use]
    pub fn widened(self, factor: f64) -> Self {
        match self {
            Self::Gaussian { at } => Self::Gaussian { at: at.widened(factor) },
            Self::Student { df, at } => Self::Student { df, at: at.widened(factor) },
            Self::Uniform { low, high } => {
                let stretch = |sign: f64| {
                    low.iter()
                        .zip(&high)
                        .map(|(a, b)| 0.5 * (a + b) + sign * 0.5 * factor * (b - a))
                        .collect()
                };
                Self::Uniform { low: stretch(-1.0), high: stretch(1.0) }
            }
            Self::Mixture { weights, components } => {
                let components = components.into_iter().map(|c| c.widened(factor)).collect();
                Self::Mixture { weights, components }
            }
        }
    }
}

/// The component that `u` in (0, 1) falls on when the weights are laid end to end.
pub fn pick(weights: &[f64], mut u: f64) -> usize {
    for (k, w) in weights.iter().enumerate() {
        u -= w;
        if u < 0.0 {
            return k;
        }
    }
    weights.len().saturating_sub(1)
}

/// `log [Gamma((df + D) / 2) / (Gamma(df / 2) (df pi)^(D / 2))]`.
fn student_constant(df: f64, dim: usize) -> f64 {
    let d = dim as f64;
    libm::lgamma(0.5 * (df + d))
        - libm::lgamma(0.5 * df)
        - 0.5 * d * (df * std::f64::consts::PI).ln()
}

/// Logarithm of the volume of a box.
fn box_log_volume(low: &[f64], high: &[f64]) -> f64 {
    low.iter().zip(high).map(|(a, b)| (b - a).ln()).sum()
}

#[cfg(test)]
mod tests;
