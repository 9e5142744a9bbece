//! How chains start and move.

use serde::{Deserialize, Serialize};

use super::Persistent;

/// Step sizes stay within these, whatever the acceptance.
const SIZES: [f64; 2] = [1e-6, 1e3];
/// The least gain of step-size adaptation: the model moves on, and the size has to follow.
const LEAST_GAIN: f64 = 0.02;

/// The settings of maximum likelihood by chains.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mcmc {
    /// Where the chains of a step start.
    pub start: Start,
    /// How they move.
    pub kernel: Kernel,
    /// Moves of each chain in a step.
    pub moves: u32,
    /// Standard deviation of the noise of a move, in the model's units; of HMC the leapfrog step. The
    /// first one, if it is adapted.
    pub step_size: f64,
    /// The step size follows the acceptance.
    pub adapt: bool,
    /// Of a model with latent values: the chains of their posteriors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub posterior: Option<Posterior>,
}

/// Chains of `p(z|x)`, one for each sample of each row. They start at the base density in every step and
/// move by the same kernel as those of the prior.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Posterior {
    /// Moves of each chain in a step.
    pub moves: u32,
    /// Standard deviation of the noise of a move; of HMC the leapfrog step. It is not adapted.
    pub step_size: f64,
}

/// Where the chains of a step start.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Start {
    /// Chain `i` at proposal sample `i` of the step.
    Proposal,
    /// Chain `i` at the minibatch's row `i mod n`: contrastive divergence.
    Data,
    /// Where a chain was left, for most of them.
    Persistent(Persistent),
}

/// How chains move.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kernel {
    /// Unadjusted Langevin: `x + s²/2 ∇log p + noise s z`. `noise` is the root of a temperature: short
    /// runs with less than one are common, and follow a sharper density than the model.
    Ula {
        /// Factor of the noise.
        noise: f64,
    },
    /// Metropolis-adjusted Langevin (Roberts, Tweedie 1996).
    Mala,
    /// Hamiltonian Monte Carlo with unit masses and fresh momenta (Neal 2011).
    Hmc {
        /// Leapfrog steps of a move.
        leapfrog: u32,
    },
}

impl Mcmc {
    /// The chains that persist, if they do.
    pub fn persistent(&self) -> Option<Persistent> {
        match self.start {
            Start::Persistent(persistent) => Some(persistent),
            Start::Proposal | Start::Data => None,
        }
    }

    /// The settings of the chains of posteriors, as those of chains that start anew.
    pub fn of_posterior(&self) -> Option<Self> {
        let Posterior { moves, step_size } = self.posterior?;
        Some(Self {
            start: Start::Proposal,
            moves,
            step_size,
            adapt: false,
            posterior: None,
            ..*self
        })
    }

    /// Points at which `chains` chains look at the energy and its gradient in a step, before the gradient
    /// is taken where they come to.
    pub fn points(&self, chains: u64) -> u64 {
        let moves = u64::from(self.moves);
        let of_a_chain = match self.kernel.leapfrog() {
            // Moves end where nothing need be known of the place.
            None => moves,
            // Where a chain starts; from then on a move knows its place.
            Some(leapfrog) => 1 + moves * u64::from(leapfrog),
        };
        chains.saturating_mul(of_a_chain)
    }

    /// The step size after a step whose chains have the harmonic mean `acceptance`, and that was update
    /// number `update`, from 0. The harmonic mean (Hoffman, Radul, Sountsov 2021) lets the narrowest
    /// places that chains are at decide. Robbins and Monro 1951 on the logarithm of the size: gains fall
    /// at first, so that it is found soon, and then stay.
    pub fn adapted(&self, size: f64, update: u64, acceptance: f64) -> f64 {
        match self.kernel.best_acceptance() {
            Some(best) if self.adapt => {
                let gain = (update as f64 + 1.0).powf(-0.6).max(LEAST_GAIN);
                (size * libm::exp(gain * (acceptance - best))).clamp(SIZES[0], SIZES[1])
            }
            _ => size,
        }
    }
}

impl Kernel {
    /// Leapfrog steps of a move; none if it is not adjusted. A Langevin move that is adjusted is a
    /// Hamiltonian one of a single leapfrog step.
    pub fn leapfrog(self) -> Option<u32> {
        match self {
            Self::Ula { .. } => None,
            Self::Mala => Some(1),
            Self::Hmc { leapfrog } => Some(leapfrog),
        }
    }

    /// The acceptance of the most efficient step size in many dimensions, if moves can be refused:
    /// Roberts, Rosenthal 1998 and Beskos et al. 2013.
    pub fn best_acceptance(self) -> Option<f64> {
        match self {
            Self::Ula { .. } => None,
            Self::Mala => Some(0.574),
            Self::Hmc { .. } => Some(0.651),
        }
    }
}
