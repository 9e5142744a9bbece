//! Markov chains whose states stand for samples of a density that is known up to a constant.
//!
//! Maximum likelihood needs the mean energy gradient under the model. Chains give points that follow
//! the model more or less ([`Mcmc`]): non-persistent ones that start at proposal samples in every step
//! (Nijkamp et al. 2019), contrastive divergence, which starts them at data rows (Hinton 2002), and
//! persistent ones, which go on where they were (Tieleman 2008). [`Walkers`] moves chains, in f64, in
//! any density that is a [`Target`]: a model, a prior, a posterior, a mixture of two on the way of
//! annealing.
//!
//! Invariants
//! 1. A chain's start and every move are a function of (seed, step, chain number): places do not depend
//!    on threads, workers or on how chains are put together.
//! 2. MALA and HMC leave the target's density as it is. Unadjusted Langevin does so only in the limit
//!    of small steps.
//! 3. The chains that a step moves are disjoint, and a function of (seed, step).
//!
//! A proposal with a value that is not finite is refused like any other.

mod persistent;
mod settings;
mod walkers;

#[cfg(test)]
mod tests;

pub use persistent::Persistent;
pub use settings::{Kernel, Mcmc, Posterior, Start};
pub use walkers::{Fared, Move, Places, Target, Walk, Walkers};

use crate::density::Draws;
use crate::philox::{Key, Stream};

/// The random numbers of move `number`, from 0, of chain `chain` of training step `step`, whose points
/// have `dim` values. Block 0 of a chain says where it starts.
pub fn draws_of_move(seed: u32, dim: usize, step: u32, chain: u64, number: u32) -> Draws {
    let mut draws = Draws::new(Key::new(seed, Stream::Chains), step, chain);
    draws.skip(1 + number * blocks_of_move(dim));
    draws
}

/// Blocks of four words that a move may draw: a normal number for each value, and a uniform one.
fn blocks_of_move(dim: usize) -> u32 {
    dim.div_ceil(4) as u32 + 1
}
