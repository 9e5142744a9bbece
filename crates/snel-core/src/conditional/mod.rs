//! Conditional models `p(y|x) = d(y|x) exp(-E(h(x), y)) / Z(x)`: regression with an energy.
//!
//! Four networks share the flat vector: features `h(x)`; the energy on `(h, y)`, whose first layer
//! is split, `W_h h + W_y y + c`, so that the part of `x` is computed once however many `y` there
//! are; the log-normaliser `b(x) = b + g(h)`; and, if it is learned, the proposal. The scalar `b`
//! stays the last parameter and all that a run knows of it holds: `g` starts at zero.
//!
//! Rows are `(x, y)`, inputs first. Every row of a minibatch has `M` samples of its own; sample `m`
//! of the row at position `i` has the number `i M + m`.

mod engine;
mod networks;
mod objective;

use serde::{Deserialize, Serialize};

use crate::activation::Activation;
use crate::density::{Density, DensityError};
use crate::layout::{Layout, SegmentKind};
use crate::mixture::Mixture;
use crate::objective::Objective;
use crate::perceptron::Tensors;
use crate::problem::{Base, Parametric};

pub use engine::{ConditionalEngine, RowSamples};
pub use networks::Networks;
pub use objective::RowWeights;

/// A conditional model with its proposal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConditionalModel {
    /// Values of `x`.
    pub inputs: usize,
    /// Values of `y`.
    pub targets: usize,
    /// Non-linearity of all networks.
    pub activation: Activation,
    /// Widths of the layers of `h(x)`; without any, `h(x) = x`.
    pub features: Vec<usize>,
    /// Widths of the hidden layers of the energy, at least one.
    pub energy: Vec<usize>,
    /// Widths of the hidden layers of `g(h)`; without any it is linear.
    pub log_normaliser: Vec<usize>,
    /// The base density of `y`.
    pub base: Base,
    /// The proposal density of `y`.
    pub proposal: ConditionalProposal,
}

/// Where samples of `y` come from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ConditionalProposal {
    /// The same density for every `x`.
    Fixed(Density),
    /// A mixture density network (Bishop 1994).
    Network(MixtureNetwork),
    /// In training, noise around the observed `y` (NCE for regression: Gustafsson, Danelljan,
    /// Timofte, Schön 2020).
    Observed {
        /// Density of the distance from the observed `y`.
        noise: Density,
        /// Density of `y` where none is observed: in evaluation and prediction.
        elsewhere: Density,
    },
}

/// A network that gives a mixture of diagonal Gaussians for every `x`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MixtureNetwork {
    /// Widths of its hidden layers.
    pub widths: Vec<usize>,
    /// Gaussians.
    pub components: usize,
    /// What trains it.
    pub loss: MixtureLoss,
    /// Steps in which it is trained alone, by the likelihood, before the energy moves.
    pub pretrain: u64,
    /// A density mixed in, so that no region is without samples.
    pub defensive: Option<Defensive>,
}

/// A density that takes part in a mixture.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Defensive {
    /// Its weight, above 0 and below 1.
    pub weight: f64,
    /// The density.
    pub density: Density,
}

/// What a mixture density network minimises. Samples, weights and base are constants to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MixtureLoss {
    /// `-log q(y|x)` at the data.
    Likelihood,
    /// `-Σ w log q(y_m|x)` with weights that sum to one: `KL(p‖q)` up to a constant (Gustafsson,
    /// Danelljan, Schön 2022).
    Kl,
    /// The mean of both.
    Both,
}

impl MixtureLoss {
    /// Factors of the likelihood and of the divergence.
    pub fn factors(self) -> (f64, f64) {
        match self {
            Self::Likelihood => (1.0, 0.0),
            Self::Kl => (0.0, 1.0),
            Self::Both => (0.5, 0.5),
        }
    }
}

impl MixtureNetwork {
    /// Values that it computes for an `x`: for each component a logit, means, log deviations.
    pub fn outputs(&self, targets: usize) -> usize {
        Mixture::outputs(self.components, targets)
    }

    /// Room for what it gives for `targets` values of `y`.
    pub fn mixture(&self, targets: usize) -> Mixture {
        let defensive = self.defensive.as_ref().map(|d| (d.weight, d.density.clone()));
        Mixture::new(self.components, targets, defensive)
    }
}

impl ConditionalModel {
    /// Values of a row, `x` and `y`.
    pub fn dim(&self) -> usize {
        self.inputs + self.targets
    }

    /// Values of `h(x)`.
    pub fn feature_width(&self) -> usize {
        self.features.last().copied().unwrap_or(self.inputs)
    }

    /// The network of the proposal, if it has one.
    pub fn mixture(&self) -> Option<&MixtureNetwork> {
        match &self.proposal {
            ConditionalProposal::Network(network) => Some(network),
            ConditionalProposal::Fixed(_) | ConditionalProposal::Observed { .. } => None,
        }
    }

    /// True as long as the proposal alone is trained.
    pub fn pretrains(&self, step: u64) -> bool {
        self.mixture().is_some_and(|network| step < network.pretrain)
    }

    /// Checks what deserialisation cannot: sizes that fit together, sound densities.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub fn check(&self) -> Result<(), DensityError> {
        let sound = |size: usize| (1..=1 << 20).contains(&size);
        let layers = |widths: &[usize]| widths.len() <= 1024 && widths.iter().all(|&w| sound(w));
        let mut sizes = sound(self.inputs) && sound(self.targets) && !self.energy.is_empty();
        for widths in [&self.features, &self.energy, &self.log_normaliser] {
            sizes &= layers(widths);
        }
        if let Some(network) = self.mixture() {
            sizes &= layers(&network.widths) && (1..=1 << 10).contains(&network.components);
        }
        if !sizes {
            return Err(DensityError("sizes out of range"));
        }
        match &self.proposal {
            ConditionalProposal::Fixed(density) => density.check(self.targets)?,
            ConditionalProposal::Network(network) => {
                if let Some(Defensive { weight, density }) = &network.defensive {
                    if !(*weight > 0.0 && *weight < 1.0) {
                        return Err(DensityError("the defensive weight is not between 0 and 1"));
                    }
                    density.check(self.targets)?;
                }
            }
            ConditionalProposal::Observed { noise, elsewhere } => {
                if self.base == Base::Proposal {
                    return Err(DensityError("a base density cannot look at the observed y"));
                }
                noise.check(self.targets)?;
                elsewhere.check(self.targets)?;
            }
        }
        match &self.base {
            Base::Density(density) => density.check(self.targets),
            Base::None | Base::Proposal => Ok(()),
        }
    }

    /// Name, shape and kind of every tensor, in the order of the flat vector.
    fn tensors(&self) -> Vec<(String, Vec<usize>, SegmentKind)> {
        let mut tensors = Tensors(Vec::new());
        let width = self.feature_width();
        tensors.hidden("features", 0, self.inputs, &self.features);
        let first = self.energy[0];
        tensors.weight("energy.layers.0.target", vec![first, self.targets]);
        tensors.weight("energy.layers.0.features", vec![first, width]);
        tensors.bias("energy.layers.0.bias", vec![first]);
        let last = tensors.hidden("energy", 1, first, &self.energy[1..]);
        tensors.weight("energy.output.weight", vec![last]);
        let last = tensors.hidden("log_normaliser", 0, width, &self.log_normaliser);
        tensors.weight("log_normaliser.output.weight", vec![last]);
        if let Some(network) = self.mixture() {
            let outputs = network.outputs(self.targets);
            tensors.perceptron("proposal", self.inputs, &network.widths, outputs);
        }
        tensors.0
    }
}

impl Parametric for ConditionalModel {
    fn layout(&self) -> Layout {
        Layout::of(self.tensors())
    }

    fn initial_parameters(&self, seed: u32) -> Vec<f32> {
        networks::initial_parameters(self, seed)
    }

    /// Weights are divided row by row, within a chunk.
    fn separates_samples(&self, _: Objective) -> bool {
        false
    }
}

#[cfg(test)]
mod tests;
