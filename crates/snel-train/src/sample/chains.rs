//! Metropolis-adjusted Langevin moves (MALA; Roberts and Tweedie 1996), in f64.
//!
//! With `g = grad log p` a chain at `x` proposes `x' = x + s^2/2 g(x) + s z`, `z` standard normal,
//! and goes there with probability `min(1, p(x') q(x|x') / (p(x) q(x'|x)))`. The drift makes `q`
//! asymmetric: `log q(x'|x) = -|z|^2 / 2` and `log q(x|x') = -|z + s/2 (g(x) + g(x'))|^2 / 2`, up
//! to the same constant. `p` is `q_0^(1-t) (d exp(-E))^t` at temperature `t`, `q_0` the proposal; no
//! normaliser is needed. What a chain knows of its place holds at every temperature: a move costs one
//! energy and one gradient, whatever the temperature was before.
//!
//! Invariants
//! 1. A move leaves the density of its temperature as it is.
//! 2. The randomness of a move is keyed by (chain number, step), and sums over chains have a fixed
//!    order: places do not depend on threads.
//!
//! A proposal outside the support or with a value that is not finite is refused like any other.

use ndarray::{Array2, ArrayView1, Zip};
use rayon::prelude::*;
use snel_core::density::{Density, Draws};
use snel_core::philox::Key;
use snel_core::problem::Model;
use snel_core::reference;

use super::CHAINS;

/// Chains moved by one task.
const BLOCK: usize = 256;
/// Acceptance of the most efficient step size in many dimensions (Roberts and Rosenthal 1998).
pub(super) const TARGET: f64 = 0.574;

/// The densities to sample from.
pub(super) struct Target<'a> {
    pub(super) model: &'a Model,
    pub(super) parameters: Vec<f64>,
    /// The density at temperature zero; without one there is temperature one only.
    pub(super) start: Option<&'a Density>,
}

/// Chains, in blocks that threads share.
pub(super) struct Chains {
    blocks: Vec<Block>,
}

/// Neighbouring chains, moved together.
pub(super) struct Block {
    /// Number of the first of them.
    pub(super) first: u64,
    pub(super) here: Places,
    pub(super) moved: Vec<bool>,
}

/// Where chains are, and the two unnormalised log-densities there.
pub(super) struct Places {
    pub(super) x_nd: Array2<f64>,
    start: LogDensity,
    end: LogDensity,
}

/// A log-density up to a constant, and its gradient, at each place.
struct LogDensity {
    value_n: Vec<f64>,
    gradient_nd: Array2<f64>,
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

    fn at(&self, x_nd: Array2<f64>) -> Places {
        let Self { model, parameters, start } = self;
        let (energy, view) = (&model.energy, x_nd.view());
        let mut end = LogDensity {
            value_n: (-reference::energies(energy, parameters, view)).to_vec(),
            gradient_nd: -reference::input_gradients(energy, parameters, view),
        };
        if let Some(base) = model.base_density() {
            end.add(base, &x_nd);
        }
        let mut at_start = LogDensity {
            value_n: vec![0.0; x_nd.nrows()],
            gradient_nd: Array2::zeros(x_nd.raw_dim()),
        };
        if let Some(start) = start {
            at_start.add(start, &x_nd);
        }
        Places { x_nd, start: at_start, end }
    }
}

impl LogDensity {
    fn add(&mut self, density: &Density, x_nd: &Array2<f64>) {
        Zip::from(&mut self.value_n[..])
            .and(x_nd.rows())
            .and(self.gradient_nd.rows_mut())
            .for_each(|value, x, mut g| {
                let (x, mut sum) = (x.to_vec(), g.to_vec());
                *value += density.log_density(&x);
                density.add_gradient(&x, 1.0, &mut sum);
                g.assign(&ArrayView1::from(&sum));
            });
    }
}

impl Places {
    /// `log d - E - log q_0` of each place; NaN where neither density reaches.
    pub(super) fn log_weights(&self) -> impl Iterator<Item = f64> {
        self.end.value_n.iter().zip(&self.start.value_n).map(|(end, start)| end - start)
    }

    fn log_density(&self, n: usize, temperature: f64) -> f64 {
        // Zero times infinity is not zero: at either end the other density has no say.
        let start =
            if temperature < 1.0 { (1.0 - temperature) * self.start.value_n[n] } else { 0.0 };
        let end = if temperature > 0.0 { temperature * self.end.value_n[n] } else { 0.0 };
        start + end
    }

    fn gradient(&self, temperature: f64) -> Array2<f64> {
        (1.0 - temperature) * &self.start.gradient_nd + temperature * &self.end.gradient_nd
    }

    fn copy(&mut self, n: usize, from: &Self) {
        self.x_nd.row_mut(n).assign(&from.x_nd.row(n));
        for (to, from) in [(&mut self.start, &from.start), (&mut self.end, &from.end)] {
            to.value_n[n] = from.value_n[n];
            to.gradient_nd.row_mut(n).assign(&from.gradient_nd.row(n));
        }
    }
}

impl Chains {
    /// Chains at `points` (row-major), numbered from `first`.
    pub(super) fn new(target: &Target, first: u64, points: &[f32]) -> Self {
        let dim = target.model.dim();
        let block = |(i, x): (usize, &[f32])| {
            let place = |(n, d)| f64::from(x[n * dim + d]);
            let x_nd = Array2::from_shape_fn((x.len() / dim, dim), place);
            let moved = vec![false; x_nd.nrows()];
            Block { first: first + (i * BLOCK) as u64, here: target.at(x_nd), moved }
        };
        Self { blocks: points.par_chunks(BLOCK * dim).enumerate().map(block).collect() }
    }

    pub(super) fn len(&self) -> usize {
        self.blocks.iter().map(|block| block.moved.len()).sum()
    }

    /// Moves every chain; returns the sum of the acceptance probabilities.
    pub(super) fn advance(&mut self, target: &Target, to: Move) -> f64 {
        let sums: Vec<f64> = self.blocks.par_iter_mut().map(|b| b.advance(target, to)).collect();
        sums.iter().sum()
    }

    /// All chains in order.
    pub(super) fn places(&self) -> impl Iterator<Item = &Places> {
        self.blocks.iter().map(|block| &block.here)
    }

    /// Chains that never accepted a proposal.
    pub(super) fn unmoved(&self) -> u64 {
        let unmoved = |block: &Block| block.moved.iter().filter(|&&moved| !moved).count();
        self.blocks.iter().map(|block| unmoved(block) as u64).sum()
    }
}

impl Block {
    fn advance(&mut self, target: &Target, to: Move) -> f64 {
        let Move { key, step, size: s, temperature } = to;
        let mut z_nd = Array2::zeros(self.here.x_nd.raw_dim());
        let mut uniforms = Vec::with_capacity(self.moved.len());
        for (n, mut z) in (self.first..).zip(z_nd.rows_mut()) {
            let mut draws = Draws::new(key, step, CHAINS | n);
            let mut noise = z.to_vec();
            draws.normals(&mut noise);
            z.assign(&ArrayView1::from(&noise));
            uniforms.push(draws.uniform());
        }
        let here = &mut self.here;
        let drift_nd = here.gradient(temperature);
        let there = target.at(&here.x_nd + 0.5 * s * s * &drift_nd + s * &z_nd);
        let back_nd = &z_nd + 0.5 * s * (drift_nd + there.gradient(temperature));
        let (log_forward, log_back) = (log_normals(&z_nd), log_normals(&back_nd));
        let mut sum = 0.0;
        for (n, u) in uniforms.into_iter().enumerate() {
            let (new, old) = (there.log_density(n, temperature), here.log_density(n, temperature));
            let log_ratio = new - old + log_back[n] - log_forward[n];
            if !new.is_finite() || log_ratio.is_nan() {
                continue;
            }
            let acceptance = log_ratio.exp().min(1.0);
            sum += acceptance;
            if u < acceptance {
                here.copy(n, &there);
                self.moved[n] = true;
            }
        }
        sum
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

/// Log-density of each row under the standard normal, up to a constant.
fn log_normals(z_nd: &Array2<f64>) -> Vec<f64> {
    z_nd.rows().into_iter().map(|z| -0.5 * z.dot(&z)).collect()
}
