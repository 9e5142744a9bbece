//! Variational auto-encoders with an energy prior: `p(x, z) = p(x|z) d(z) exp(-E(z)) / Z`.
//!
//! With an encoder `q(z|x)`, a diagonal Gaussian (Kingma, Welling 2014), the loss of a row is
//!
//! ```text
//! -E_q[log p(x|z)] + KL(q(z|x) || d) + E_q[E(z)] + b + exp(-b) Ẑ - 1,   Ẑ = mean exp(-E(z_m)), z_m ~ d
//! ```
//!
//! the negative of SNELBO (Senetaire et al., arXiv 2503.07021). `Z` enters linearly, so its mean is
//! an upper bound of the negative ELBO for every `b`, tight at `b = log Z`. Without an energy this is
//! the plain ELBO, with `b = 0` and no samples of the prior.
//!
//! By chains ([`crate::mcmc`]) decoder, base and energy are trained without an encoder: with `z` of
//! chains of the posterior and `z'` of chains of the prior, the gradient of `-log p(x)` is that of
//! `-log p(x|z) - log d(z) + E(z) + log d(z') - E(z')` (Pang et al. 2020). An encoder learns beside them,
//! by the ELBO with all else held fixed, so that there is a bound to look at; no chain knows of it.
//!
//! Invariants
//! 1. The energy comes first in the flat vector, so that its places are those of a density model's;
//!    encoder, decoder and base follow, `b` is last.
//! 2. The prior at given parameters is a density model on `z` whose proposal is its base: a
//!    log-weight is `-E`.
//! 3. The noise of a row's sample `s` in a step is numbered by the row's position, `position S + s`. By
//!    chains, the first `M` chains of a step are the prior's; number `M + position S + s` is the
//!    posterior's, and starts at the base's sample of the same number.

mod engine;
mod networks;

use serde::{Deserialize, Serialize};

use crate::activation::Activation;
use crate::density::{Affine, Density, DensityError, Scale};
use crate::energy::Energy;
use crate::layout::{Layout, SegmentKind};
use crate::mcmc::Persistent;
use crate::mixture::Mixture;
use crate::objective::Objective;
use crate::perceptron::Tensors;
use crate::problem::{Base, Model, Parametric};

pub use engine::{LatentScored, VaeEngine};
pub use networks::VaeNetworks;

/// A variational auto-encoder with its prior.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VaeModel {
    /// Values of a row.
    pub inputs: usize,
    /// Widths of the hidden layers from `x` to `q(z|x)`.
    pub encoder: Vec<usize>,
    /// Widths of the hidden layers from `z` to `p(x|z)`.
    pub decoder: Vec<usize>,
    /// Non-linearity of encoder and decoder.
    pub activation: Activation,
    /// The family of `p(x|z)`.
    pub likelihood: Likelihood,
    /// The base density `d(z)`.
    pub base: LatentBase,
    /// The energy of `z`.
    pub energy: Energy,
    /// Samples of `q(z|x)` for each row of a step, `S`.
    pub posterior_samples: u64,
    /// Encoder, decoder and base stay as they are: only energy and `b` are trained.
    pub frozen: bool,
}

/// The family of `p(x|z)`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Likelihood {
    /// Independent values of 0 or 1; the decoder gives their logits. Between 0 and 1 a value counts
    /// as the probability of a 1, and the log-likelihood is its mean.
    Bernoulli,
    /// Independent Gaussians; the decoder gives their means.
    Gaussian {
        /// Standard deviation of all values; none if one is learned.
        deviation: Option<f64>,
    },
}

/// The base density `d(z)` of the prior.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LatentBase {
    /// The standard normal.
    Normal,
    /// A learned mixture of diagonal Gaussians. As a proposal it is held fixed: the cotangent `c` of
    /// a point multiplies the gradient of `E - log d`.
    Mixture {
        /// Gaussians.
        components: usize,
    },
}

impl VaeModel {
    /// Values of `z`.
    pub fn latent(&self) -> usize {
        self.energy.dim()
    }

    /// Whether there is an energy: without one the prior is its base, and `b = 0`.
    pub fn has_energy(&self) -> bool {
        !matches!(self.energy, Energy::Zero { .. })
    }

    /// Room for the base density, if it is learned.
    pub fn mixture(&self) -> Option<Mixture> {
        match self.base {
            LatentBase::Normal => None,
            LatentBase::Mixture { components } => {
                Some(Mixture::new(components, self.latent(), None))
            }
        }
    }

    /// The logarithm of the deviation of `p(x|z)` at `parameters`; zero unless it is Gaussian.
    pub fn log_deviation(&self, parameters: &[f32]) -> f64 {
        match (self.likelihood, VaeNetworks::new(self).log_deviation) {
            (Likelihood::Gaussian { deviation: Some(sd) }, _) => libm::log(sd),
            (_, Some(at)) => f64::from(parameters[at]),
            (_, None) => 0.0,
        }
    }

    /// The prior at `parameters`, a flat vector, as a density model on `z`. The parameters of its
    /// energy are the first ones of the vector.
    pub fn prior(&self, parameters: &[f32]) -> Model {
        let dim = self.latent();
        let learned = self.mixture().zip(VaeNetworks::new(self).base);
        let proposal = if let Some((mut mixture, range)) = learned {
            mixture.set(parameters[range].iter().map(|&p| f64::from(p)));
            mixture.density()
        } else {
            let scale = Scale::Diagonal(vec![1.0; dim]);
            Density::Gaussian { at: Affine { mean: vec![0.0; dim], scale } }
        };
        Model { energy: self.energy.clone(), base: Base::Proposal, proposal }
    }

    /// The parameters of [`Self::prior`]: those of the energy, and `b`.
    pub fn prior_parameters(&self, parameters: &[f32]) -> Vec<f32> {
        let (energy, b) = (Layout::new(&self.energy).b(), parameters.len() - 1);
        [&parameters[..energy], &parameters[b..]].concat()
    }

    /// Checks what deserialisation cannot.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub fn check(&self) -> Result<(), DensityError> {
        self.energy.check()?;
        let sound = |size: usize| (1..=1 << 20).contains(&size);
        let layers = |widths: &[usize]| widths.len() <= 1024 && widths.iter().all(|&w| sound(w));
        let components = match self.base {
            LatentBase::Normal => 1,
            LatentBase::Mixture { components } => components,
        };
        let sizes = sound(self.inputs) && layers(&self.encoder) && layers(&self.decoder);
        if !(sizes && (1..=1 << 10).contains(&components)) {
            return Err(DensityError("sizes out of range"));
        }
        if !(1..=1 << 10).contains(&self.posterior_samples) {
            return Err(DensityError("posterior samples are not from 1 to 1024"));
        }
        match self.likelihood {
            Likelihood::Gaussian { deviation: Some(sd) } if !(sd > 0.0 && sd.is_finite()) => {
                Err(DensityError("the deviation is not positive"))
            }
            _ => Ok(()),
        }
    }

    /// Name, shape and kind of every tensor, in the order of the flat vector.
    fn tensors(&self) -> Vec<(String, Vec<usize>, SegmentKind)> {
        let mut tensors = Tensors(Vec::new());
        let latent = self.latent();
        tensors.perceptron("encoder", self.inputs, &self.encoder, 2 * latent);
        tensors.perceptron("decoder", latent, &self.decoder, self.inputs);
        if self.likelihood == (Likelihood::Gaussian { deviation: None }) {
            tensors.bias("decoder.log_deviation", vec![1]);
        }
        if let LatentBase::Mixture { components } = self.base {
            tensors.bias("base.logits", vec![components]);
            tensors.bias("base.means", vec![components, latent]);
            tensors.bias("base.log_deviations", vec![components, latent]);
        }
        if self.frozen {
            tensors.0.iter_mut().for_each(|(.., kind)| *kind = SegmentKind::Constant);
        }
        let mut all = self.energy.tensors();
        all.extend(tensors.0);
        all
    }
}

impl Parametric for VaeModel {
    fn layout(&self) -> Layout {
        Layout::of(self.tensors()).with_prior(Layout::new(&self.energy).b())
    }

    fn initial_parameters(&self, seed: u32) -> Vec<f32> {
        networks::initial_parameters(self, seed)
    }

    fn separates_samples(&self, objective: Objective) -> bool {
        objective.separates_samples()
    }

    fn chain_dim(&self) -> usize {
        self.latent()
    }

    fn first_chains(&self, seed: u32, chains: &Persistent, parameters: &[f32]) -> Vec<f32> {
        chains.first_places(seed, &self.prior(parameters).proposal)
    }
}

#[cfg(test)]
mod tests;
