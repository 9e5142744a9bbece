//! What an engine of a variational auto-encoder can besides training it.

use super::VaeModel;
use crate::engine::{DensityEngine, SampleSet};

/// A sample of `q(z|x)` at a row `x`, nats.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct LatentScored {
    /// `log p(x|z)`.
    pub log_likelihood: f32,
    /// `log d(z)`.
    pub log_base: f32,
    /// `E(z)`.
    pub energy: f32,
    /// `log q(z|x)`.
    pub log_posterior: f32,
}

impl LatentScored {
    /// `log p(x|z) + log d(z) - E(z) - log q(z|x)`: the log-weight of the sample, up to the
    /// normaliser of the prior.
    pub fn log_weight(&self) -> f64 {
        f64::from(self.log_likelihood) + f64::from(self.log_base)
            - f64::from(self.energy)
            - f64::from(self.log_posterior)
    }
}

/// Arithmetic of a variational auto-encoder. As a [`DensityEngine`] it is that of the prior: points
/// are values of `z`.
pub trait VaeEngine: DensityEngine {
    /// The model that is trained.
    fn model(&self) -> &VaeModel;

    /// Means and standard deviations of `q(z|x)` at the rows `x`, both row-major, one row's after
    /// another's.
    fn encode(&self, x: &[f32], means: &mut [f32], deviations: &mut [f32]);

    /// Means of `p(x|z)` at the points `z`: for Bernoulli values, their probabilities.
    fn decode(&self, z: &[f32], x: &mut [f32]);

    /// Draws equally many samples of `q(z|x)` at each of the rows `x` and scores them, one row's after
    /// another's. The first has the number `first` in `set`.
    fn score_latents(&self, set: SampleSet, first: u64, x: &[f32], out: &mut [LatentScored]);
}
