//! Chains that follow a density between the proposal and the model, by Metropolis-adjusted Langevin moves
//! ([`snel_core::mcmc`]), in f64.
//!
//! At temperature `t` the density is `q_0^(1-t) (d exp(-E))^t`, `q_0` the proposal; no normaliser is
//! needed. What a chain knows of its place holds at every temperature: a move costs one energy and one
//! gradient, whatever the temperature was before.
//!
//! Invariants
//! 1. A move leaves the density of its temperature as it is.
//! 2. The randomness of a move is keyed by (chain number, step), and sums over chains have a fixed
//!    order: places do not depend on threads.

use rayon::prelude::*;
use snel_core::density::{Density, Draws};
use snel_core::mcmc::{self, Kernel, Places, Walkers};
use snel_core::philox::Key;
use snel_core::problem::Model;
use snel_core::reference::ModelTarget;

use super::CHAINS;

/// Chains moved by one task.
const BLOCK: usize = 256;
/// Acceptance of the most efficient step size in many dimensions (Roberts and Rosenthal 1998).
pub(super) const TARGET: f64 = 0.574;

/// The densities to sample from.
pub(super) struct Target<'a> {
    pub(super) model: &'a Model,
    parameters: Vec<f64>,
    /// The density at temperature zero; without one there is temperature one only.
    start: Option<&'a Density>,
}

/// Chains, in blocks that threads share.
pub(super) struct Chains {
    dim: usize,
    blocks: Vec<Block>,
}

/// Neighbouring chains, moved together.
struct Block {
    /// Number of the first of them.
    first: u64,
    walkers: Walkers,
}

/// One move.
#[derive(Debug, Clone, Copy)]
pub(super) struct Move {
    pub(super) key: Key,
    pub(super) step: u32,
    /// `s`, standard deviation of the noise.
    pub(super) size: f64,
    /// From 0, the start, to 1, the model.
    pub(super) temperature: f64,
}

impl<'a> Target<'a> {
    pub(super) fn new(model: &'a Model, parameters: &[f32], start: Option<&'a Density>) -> Self {
        Self { model, parameters: parameters.iter().map(|&p| f64::from(p)).collect(), start }
    }
}

/// The model first, then the start.
impl mcmc::Target for &Target<'_> {
    fn evaluate(&mut self, places: &mut Places) {
        let Target { model, parameters, start } = self;
        let dim = model.dim();
        ModelTarget { model, parameters }.evaluate(places);
        let Places { x, value, gradient } = places;
        let n = x.len() / dim;
        let (value, gradient) = (&mut value[n..], &mut gradient[n * dim..]);
        gradient.fill(0.0);
        let Some(start) = start else { return };
        let points = x.chunks_exact(dim).zip(gradient.chunks_exact_mut(dim));
        for (value, (x, gradient)) in value.iter_mut().zip(points) {
            *value = start.log_density(x);
            start.add_gradient(x, 1.0, gradient);
        }
    }
}

impl Chains {
    /// Chains at `points` (row-major), numbered from `first`.
    pub(super) fn new(target: &Target, first: u64, points: &[f32]) -> Self {
        let dim = target.model.dim();
        let block = |(i, x): (usize, &[f32])| {
            let n = x.len() / dim;
            let mut walkers = Walkers::new(dim, 2, n);
            walkers.begin(n).iter_mut().zip(x).for_each(|(to, &x)| *to = f64::from(x));
            walkers.look(&mut &*target);
            Block { first: first + (i * BLOCK) as u64, walkers }
        };
        Self { dim, blocks: points.par_chunks(BLOCK * dim).enumerate().map(block).collect() }
    }

    pub(super) fn len(&self) -> usize {
        self.blocks.iter().map(|block| block.walkers.len()).sum()
    }

    /// Moves every chain; returns the sum of the acceptance probabilities.
    pub(super) fn advance(&mut self, target: &Target, to: Move) -> f64 {
        let sums: Vec<f64> = self.blocks.par_iter_mut().map(|b| b.advance(target, to)).collect();
        sums.iter().sum()
    }

    /// The points of all chains in order.
    pub(super) fn points(&self) -> impl Iterator<Item = &[f64]> {
        self.blocks.iter().flat_map(|block| block.walkers.here().x.chunks_exact(self.dim))
    }

    /// `log d - E - log q_0` of each chain; NaN where neither density reaches.
    pub(super) fn log_weights(&self) -> impl Iterator<Item = f64> {
        self.blocks.iter().flat_map(|block| {
            let value = &block.walkers.here().value;
            let (end, start) = value.split_at(value.len() / 2);
            end.iter().zip(start).map(|(end, start)| end - start)
        })
    }

    /// Chains that never accepted a proposal.
    pub(super) fn unmoved(&self) -> u64 {
        let moved = self.blocks.iter().flat_map(|block| block.walkers.moved());
        moved.filter(|&&moved| !moved).count() as u64
    }
}

impl Block {
    fn advance(&mut self, mut target: &Target, to: Move) -> f64 {
        let Move { key, step, size, temperature } = to;
        let weights = [temperature, 1.0 - temperature];
        let to = mcmc::Move { kernel: Kernel::Mala, size, weights: &weights };
        let first = self.first;
        self.walkers
            .advance(&mut target, to, |i| Draws::new(key, step, CHAINS | (first + i as u64)))
    }
}

/// Robbins and Monro 1951: the step size after adaptation step `step` (from 0) whose mean acceptance
/// was `acceptance`. The sum of the gains diverges, and that of their squares does not.
pub(super) fn adapted(size: f64, step: u32, acceptance: f64) -> f64 {
    size * (f64::from(step + 1).powf(-0.6) * (acceptance - TARGET)).exp()
}

/// A first step size: best for a standard normal in `dim` dimensions, up to a constant near one
/// (Roberts and Rosenthal 1998).
pub(super) fn first_size(dim: usize) -> f64 {
    (dim as f64).powf(-1.0 / 6.0)
}
