//! What training costs, in counts that do not depend on the machine.

use std::ops::Add;

use serde::{Deserialize, Serialize};

use crate::plan::Batching;
use crate::problem::{AnyModel, Problem};

/// Evaluations of the unnormalised model at one point each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Work {
    /// Of the energy.
    pub energies: u64,
    /// Of its gradient, by parameters or by the point.
    pub gradients: u64,
}

impl Work {
    /// This work `times` over.
    #[must_use]
    pub fn times(self, times: u64) -> Self {
        Self {
            energies: self.energies.saturating_mul(times),
            gradients: self.gradients.saturating_mul(times),
        }
    }
}

impl Add for Work {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            energies: self.energies.saturating_add(other.energies),
            gradients: self.gradients.saturating_add(other.gradients),
        }
    }
}

impl Problem<AnyModel> {
    /// The work of one step: every row and every sample once, forward and backward; chains, which take
    /// the place of samples, also where they look before they come to rest.
    pub fn work(&self, batching: &Batching) -> Work {
        let Batching { batch, samples, .. } = *batching;
        let mcmc = self.objective.mcmc();
        let points = match &self.model {
            AnyModel::Density(_) => batch.saturating_add(samples),
            AnyModel::Conditional(_) => batch.saturating_mul(samples.saturating_add(1)),
            // Of `p(x, z)` at the posterior's samples, of the prior at its own.
            AnyModel::Vae(model) => {
                let latents = batch.saturating_mul(model.posterior_samples);
                // Where there are chains, those of the posteriors, and the samples that the encoder learns of.
                let walked = mcmc.and_then(|mcmc| mcmc.of_posterior());
                let of_encoder = if model.frozen { 0 } else { latents };
                let of_chains =
                    walked.map_or(0, |of| of.points(latents).saturating_add(of_encoder));
                latents.saturating_add(samples).saturating_add(of_chains)
            }
        };
        let looks = mcmc.map_or(0, |mcmc| mcmc.points(samples));
        let points = points.saturating_add(looks);
        Work { energies: points, gradients: points }
    }
}
