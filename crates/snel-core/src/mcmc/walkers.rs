//! Moves of a few chains side by side.
//!
//! With `g = ∇log p` a leapfrog step takes place `x` and momentum `v` to `v' = v + s/2 g(x)`,
//! `x' = x + s v'`, `v'' = v' + s/2 g(x')`. It is reversible and keeps volumes, so a trajectory of such
//! steps from a normal momentum is accepted with probability `min(1, exp(H(x, v) - H(x'', v'')))`,
//! `H = -log p + |v|²/2` (Neal 2011). One step alone is a Metropolis-adjusted Langevin move.
//!
//! `log p` is a weighted sum of parts, so that what a chain knows of its place holds when the weights
//! change, as temperatures do in annealing.

use crate::density::Draws;

use super::{Kernel, Mcmc, draws_of_move};

/// Log-densities, each known up to a constant, with their gradients.
pub trait Target {
    /// Fills values and gradients from the points.
    fn evaluate(&mut self, places: &mut Places);
}

/// Points, and `K` log-densities at them.
#[derive(Debug, Clone, Default)]
pub struct Places {
    /// `n x D`, row-major.
    pub x: Vec<f64>,
    /// `K x n`.
    pub value: Vec<f64>,
    /// `K x n x D`.
    pub gradient: Vec<f64>,
}

/// One move.
#[derive(Debug, Clone, Copy)]
pub struct Move<'a> {
    /// How.
    pub kernel: Kernel,
    /// Standard deviation of the noise; of HMC the leapfrog step.
    pub size: f64,
    /// Weights of the `K` log-densities.
    pub weights: &'a [f64],
}

/// What a chain that hardly moves counts for in [`Fared::inverse_acceptance`]; without a limit a single
/// one could decide.
const MOST_OF_A_CHAIN: f64 = 100.0;

/// All moves of chains in a training step.
#[derive(Debug, Clone, Copy)]
pub struct Walk {
    /// How they move.
    pub mcmc: Mcmc,
    /// The step size of now.
    pub size: f64,
    /// Seed of the run.
    pub seed: u32,
    /// The training step.
    pub step: u32,
    /// Number of the first chain.
    pub first: u64,
}

/// How the moves of some chains fared, summed over the chains.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Fared {
    /// Of each chain the mean acceptance probability of its moves.
    pub acceptance: f64,
    /// Of each chain the inverse of that mean, at most [`MOST_OF_A_CHAIN`].
    pub inverse_acceptance: f64,
}

/// Chains that move together.
#[derive(Debug, Clone)]
pub struct Walkers {
    dim: usize,
    parts: usize,
    here: Places,
    there: Places,
    /// Noise, then momenta; `n x D`.
    momentum: Vec<f64>,
    /// `|v|²/2` at the start of a move.
    kinetic: Vec<f64>,
    /// Whether what `here` says is of its points.
    known: bool,
    moved: Vec<bool>,
    /// Acceptance probabilities of the moves so far, summed.
    accepted: Vec<f64>,
}

impl Places {
    fn resize(&mut self, n: usize, dim: usize, parts: usize) {
        self.x.resize(n * dim, 0.0);
        self.value.resize(parts * n, 0.0);
        self.gradient.resize(parts * n * dim, 0.0);
    }

    fn with_capacity(n: usize, dim: usize, parts: usize) -> Self {
        let mut places = Self::default();
        places.resize(n, dim, parts);
        places
    }

    /// The weighted log-density of point `i`.
    fn log_density(&self, weights: &[f64], i: usize) -> f64 {
        let n = self.value.len() / weights.len();
        let parts = weights.iter().zip(self.value.chunks_exact(n));
        // Zero times infinity is not zero: a part without weight has no say.
        parts.filter(|(weight, _)| **weight != 0.0).map(|(weight, part)| weight * part[i]).sum()
    }

    /// Adds `factor` times the gradient of the weighted log-density to `to`.
    fn push(&self, weights: &[f64], factor: f64, to: &mut [f64]) {
        for (weight, part) in weights.iter().zip(self.gradient.chunks_exact(to.len())) {
            if *weight != 0.0 {
                to.iter_mut().zip(part).for_each(|(to, g)| *to += factor * weight * g);
            }
        }
    }
}

impl Walkers {
    /// Room for `most` chains in `dim` dimensions, whose target has `parts` log-densities.
    pub fn new(dim: usize, parts: usize, most: usize) -> Self {
        Self {
            dim,
            parts,
            here: Places::with_capacity(most, dim, parts),
            there: Places::with_capacity(most, dim, parts),
            momentum: vec![0.0; most * dim],
            kinetic: vec![0.0; most],
            known: false,
            moved: vec![false; most],
            accepted: vec![0.0; most],
        }
    }

    /// Becomes `n` new chains, whose places the caller fills in (`n x D`).
    pub fn begin(&mut self, n: usize) -> &mut [f64] {
        self.here.resize(n, self.dim, self.parts);
        self.there.resize(n, self.dim, self.parts);
        self.momentum.resize(n * self.dim, 0.0);
        self.kinetic.resize(n, 0.0);
        self.moved.clear();
        self.moved.resize(n, false);
        self.accepted.clear();
        self.accepted.resize(n, 0.0);
        self.known = false;
        &mut self.here.x
    }

    /// Number of chains.
    pub fn len(&self) -> usize {
        self.moved.len()
    }

    /// True if there is no chain.
    pub fn is_empty(&self) -> bool {
        self.moved.is_empty()
    }

    /// Where the chains are. What it says of the target is of these places if the last move was one that
    /// can be refused, or after [`Self::look`].
    pub fn here(&self) -> &Places {
        &self.here
    }

    /// Evaluates the target where the chains are, unless it is known.
    pub fn look<T: Target + ?Sized>(&mut self, target: &mut T) {
        if !self.known {
            target.evaluate(&mut self.here);
            self.known = true;
        }
    }

    /// Which chains were ever taken elsewhere.
    pub fn moved(&self) -> &[bool] {
        &self.moved
    }

    /// Moves every chain; returns the sum of the acceptance probabilities. Chain `i` takes its random
    /// numbers from `draws(i)`: `D` normals, then a uniform if the move can be refused.
    pub fn advance<T: Target + ?Sized>(
        &mut self,
        target: &mut T,
        to: Move<'_>,
        draws: impl Fn(usize) -> Draws,
    ) -> f64 {
        if self.is_empty() {
            return 0.0;
        }
        self.look(target);
        match to.kernel {
            Kernel::Ula { noise } => self.langevin(to, noise, draws),
            Kernel::Mala => self.hamiltonian(target, to, 1, draws),
            Kernel::Hmc { leapfrog } => self.hamiltonian(target, to, leapfrog, draws),
        }
    }

    /// Makes all moves of `walk` from where chains began, in a target of one log-density.
    pub fn walk<T: Target + ?Sized>(&mut self, target: &mut T, walk: Walk) -> Fared {
        let Walk { mcmc, size, seed, step, first } = walk;
        let to = Move { kernel: mcmc.kernel, size, weights: &[1.0] };
        let dim = self.dim;
        for number in 0..mcmc.moves {
            self.advance(target, to, |i| draws_of_move(seed, dim, step, first + i as u64, number));
        }
        let mut fared = Fared::default();
        for accepted in &self.accepted {
            let mean = accepted / f64::from(mcmc.moves);
            fared.acceptance += mean;
            fared.inverse_acceptance += mean.recip().min(MOST_OF_A_CHAIN);
        }
        fared
    }

    fn langevin(&mut self, to: Move<'_>, noise: f64, draws: impl Fn(usize) -> Draws) -> f64 {
        let Self { dim, here, momentum, moved, accepted, .. } = self;
        for (i, z) in momentum.chunks_exact_mut(*dim).enumerate() {
            draws(i).normals(z);
        }
        let s = to.size;
        momentum.iter_mut().for_each(|z| *z *= noise * s);
        here.push(to.weights, 0.5 * s * s, momentum);
        here.x.iter_mut().zip(&*momentum).for_each(|(x, by)| *x += by);
        moved.fill(true);
        accepted.iter_mut().for_each(|sum| *sum += 1.0);
        self.known = false;
        self.len() as f64
    }

    fn hamiltonian<T: Target + ?Sized>(
        &mut self,
        target: &mut T,
        to: Move<'_>,
        leapfrog: u32,
        draws: impl Fn(usize) -> Draws,
    ) -> f64 {
        let Self { dim, here, there, momentum, kinetic, .. } = self;
        let Move { size: s, weights, .. } = to;
        for (i, v) in momentum.chunks_exact_mut(*dim).enumerate() {
            draws(i).normals(v);
            kinetic[i] = half_square(v);
        }
        there.x.copy_from_slice(&here.x);
        here.push(weights, 0.5 * s, momentum);
        for step in 1..=leapfrog {
            there.x.iter_mut().zip(&*momentum).for_each(|(x, v)| *x += s * v);
            target.evaluate(there);
            let factor = if step == leapfrog { 0.5 * s } else { s };
            there.push(weights, factor, momentum);
        }
        self.accept(weights, draws)
    }

    /// Takes each chain there with its probability; returns the sum of these.
    fn accept(&mut self, weights: &[f64], draws: impl Fn(usize) -> Draws) -> f64 {
        let Self { dim, here, there, momentum, kinetic, moved, accepted, .. } = self;
        let (dim, n) = (*dim, moved.len());
        let mut sum = 0.0;
        for (i, v) in momentum.chunks_exact(dim).enumerate() {
            let new = there.log_density(weights, i);
            let log_ratio = new - here.log_density(weights, i) + kinetic[i] - half_square(v);
            if !new.is_finite() || log_ratio.is_nan() {
                continue;
            }
            let acceptance = libm::exp(log_ratio).min(1.0);
            sum += acceptance;
            accepted[i] += acceptance;
            let mut draws = draws(i);
            draws.skip(dim.div_ceil(4) as u32);
            if draws.uniform() < acceptance {
                moved[i] = true;
                here.x[i * dim..][..dim].copy_from_slice(&there.x[i * dim..][..dim]);
                for k in 0..weights.len() {
                    here.value[k * n + i] = there.value[k * n + i];
                    let at = (k * n + i) * dim..(k * n + i + 1) * dim;
                    here.gradient[at.clone()].copy_from_slice(&there.gradient[at]);
                }
            }
        }
        sum
    }
}

/// `|v|²/2`.
fn half_square(v: &[f64]) -> f64 {
    0.5 * v.iter().map(|v| v * v).sum::<f64>()
}
