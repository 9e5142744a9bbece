//! Metropolis-adjusted Langevin steps (MALA; Roberts and Tweedie 1996), in f64.
//!
//! With `g = grad log p` a chain at `x` proposes `x' = x + s^2/2 g(x) + s z`, `z` standard normal,
//! and goes there with probability `min(1, p(x') q(x|x') / (p(x) q(x'|x)))`. The drift makes `q`
//! asymmetric: `log q(x'|x) = -|z|^2 / 2` and `log q(x|x') = -|z + s/2 (g(x) + g(x'))|^2 / 2`, up
//! to the same constant. `log p = log d - E`; no normaliser is needed.
//!
//! Invariants
//! 1. With a fixed step size, points that follow the model still do after any number of steps.
//! 2. The randomness of a step is keyed by (chain number, step), and sums over chains have a fixed
//!    order: the points do not depend on threads.
//!
//! A proposal outside the support or with a value that is not finite is refused like any other.

use ndarray::{Array2, ArrayView1, azip};
use rayon::prelude::*;
use serde::Serialize;
use snel_core::density::Draws;
use snel_core::layout::Layout;
use snel_core::philox::{Key, Stream};
use snel_core::problem::Model;
use snel_core::reference;

use super::{CHAINS, SampleError};

/// Acceptance of the most efficient step size in many dimensions (Roberts and Rosenthal 1998).
pub(super) const TARGET: f64 = 0.574;
/// Chains moved by one task.
const BLOCK: usize = 256;

/// How to refine.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Langevin {
    /// Steps of each chain.
    pub steps: u32,
    /// `s`, the standard deviation of a step's noise in the model's units. If none is given it is
    /// adapted to an acceptance of 0.574 during the first half of the steps and then kept: a step size that
    /// follows the chains makes a move depend on the past, and such chains need not keep the
    /// model's distribution. The second half is free of that.
    pub step_size: Option<f64>,
    /// Threads; zero is taken as one.
    pub threads: usize,
}

/// What refining did.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Refined {
    /// Mean acceptance probability over the steps with the final step size; none without any.
    pub acceptance: Option<f64>,
    /// The final step size, `s`.
    pub step_size: f64,
    /// Chains that never accepted a proposal.
    pub unmoved: u64,
    /// What a reader must know before using the points.
    pub warnings: Vec<String>,
}

/// Moves each of `points` (`n x D` values, row-major, in the model's units) along a chain of its
/// own. `parameters` is the flat vector. Refining twice under one seed repeats the noise.
///
/// # Errors
/// [`SampleError`]; the points are then as they were.
pub fn refine(
    model: &Model,
    parameters: &[f32],
    seed: u32,
    points: &mut [f32],
    how: &Langevin,
) -> Result<Refined, SampleError> {
    check(model, parameters, points, how)?;
    let threads = how.threads.max(1);
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build()
        .map_err(|source| SampleError::Threads { threads, source })?;
    let parameters: Vec<f64> = parameters.iter().map(|&p| f64::from(p)).collect();
    let target = Target { model, parameters: &parameters };
    Ok(pool.install(|| target.refine(Key::new(seed, Stream::Sample), points, how)))
}

fn check(model: &Model, theta: &[f32], points: &[f32], how: &Langevin) -> Result<(), SampleError> {
    model.check()?;
    let size = |what, found, expected| Err(SampleError::Size { what, found, expected });
    let (len, dim) = (Layout::new(&model.energy).len(), model.dim());
    if theta.len() != len {
        return size("parameters", theta.len(), format!("it has {len}"));
    }
    if !points.len().is_multiple_of(dim) {
        return size("values", points.len(), format!("its points have {dim} each"));
    }
    match how.step_size {
        Some(s) if !(s.is_finite() && s > 0.0) => Err(SampleError::StepSize(s)),
        _ => Ok(()),
    }
}

/// The density to sample from.
struct Target<'a> {
    model: &'a Model,
    parameters: &'a [f64],
}

impl Target<'_> {
    fn refine(&self, key: Key, points: &mut [f32], how: &Langevin) -> Refined {
        let dim = self.model.dim();
        let chains = points.len() / dim;
        let mut blocks: Vec<Block> = points
            .par_chunks(BLOCK * dim)
            .enumerate()
            .map(|(i, x)| Block::new(self, (i * BLOCK) as u64, x))
            .collect();
        // Best for a standard normal up to a constant near one (Roberts and Rosenthal 1998).
        let mut size = how.step_size.unwrap_or((dim as f64).powf(-1.0 / 6.0));
        let adapting = if how.step_size.is_none() && chains > 0 { how.steps / 2 } else { 0 };
        let mut accepted = 0.0;
        for step in 0..how.steps {
            let sums: Vec<f64> =
                blocks.par_iter_mut().map(|b| b.advance(self, key, step, size)).collect();
            let sum: f64 = sums.iter().sum();
            if step < adapting {
                // Robbins and Monro 1951: gains whose sum diverges and whose squares' does not.
                let gain = f64::from(step + 1).powf(-0.6);
                size *= (gain * (sum / chains as f64 - TARGET)).exp();
            } else {
                accepted += sum;
            }
        }
        let moves = f64::from(how.steps - adapting) * chains as f64;
        let mut unmoved = 0;
        for (x, block) in points.chunks_mut(BLOCK * dim).zip(&blocks) {
            x.iter_mut().zip(&block.here.x_nd).for_each(|(x, &value)| *x = value as f32);
            unmoved += block.moved.iter().filter(|&&moved| !moved).count() as u64;
        }
        let acceptance = (moves > 0.0).then(|| accepted / moves);
        let warnings = warnings(acceptance, size, unmoved, chains);
        Refined { acceptance, step_size: size, unmoved, warnings }
    }

    /// The points `x_nd` with `log p` up to a constant and its gradient.
    fn at(&self, x_nd: Array2<f64>) -> Place {
        let Self { model, parameters } = self;
        let mut log_p = -reference::energies(&model.energy, parameters, x_nd.view());
        let mut gradient_nd = -reference::input_gradients(&model.energy, parameters, x_nd.view());
        if let Some(base) = model.base_density() {
            azip!((log_p in &mut log_p, x in x_nd.rows(), mut g in gradient_nd.rows_mut()) {
                let (x, mut sum) = (x.to_vec(), g.to_vec());
                *log_p += base.log_density(&x);
                base.add_gradient(&x, 1.0, &mut sum);
                g.assign(&ArrayView1::from(&sum));
            });
        }
        Place { x_nd, log_p: log_p.to_vec(), gradient_nd }
    }
}

/// Where chains are.
struct Place {
    x_nd: Array2<f64>,
    log_p: Vec<f64>,
    gradient_nd: Array2<f64>,
}

/// Neighbouring chains, moved together.
struct Block {
    first: u64,
    here: Place,
    moved: Vec<bool>,
}

impl Block {
    fn new(target: &Target, first: u64, x: &[f32]) -> Self {
        let dim = target.model.dim();
        let x_nd = Array2::from_shape_fn((x.len() / dim, dim), |(n, d)| f64::from(x[n * dim + d]));
        let moved = vec![false; x_nd.nrows()];
        Self { first, here: target.at(x_nd), moved }
    }

    /// One step of every chain; returns the sum of the acceptance probabilities.
    fn advance(&mut self, target: &Target, key: Key, step: u32, s: f64) -> f64 {
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
        let there = target.at(&here.x_nd + 0.5 * s * s * &here.gradient_nd + s * &z_nd);
        let back_nd = &z_nd + 0.5 * s * (&here.gradient_nd + &there.gradient_nd);
        let (log_forward, log_back) = (log_normals(&z_nd), log_normals(&back_nd));
        let mut sum = 0.0;
        for (n, u) in uniforms.into_iter().enumerate() {
            let log_ratio = there.log_p[n] - here.log_p[n] + log_back[n] - log_forward[n];
            if !there.log_p[n].is_finite() || log_ratio.is_nan() {
                continue;
            }
            let acceptance = log_ratio.exp().min(1.0);
            sum += acceptance;
            if u < acceptance {
                here.x_nd.row_mut(n).assign(&there.x_nd.row(n));
                here.gradient_nd.row_mut(n).assign(&there.gradient_nd.row(n));
                here.log_p[n] = there.log_p[n];
                self.moved[n] = true;
            }
        }
        sum
    }
}

/// Log-density of each row under the standard normal, up to a constant.
fn log_normals(z_nd: &Array2<f64>) -> Vec<f64> {
    z_nd.rows().into_iter().map(|z| -0.5 * z.dot(&z)).collect()
}

fn warnings(acceptance: Option<f64>, size: f64, unmoved: u64, chains: usize) -> Vec<String> {
    let mut warnings = Vec::new();
    if let Some(a) = acceptance.filter(|a| !(0.2..=0.9).contains(a)) {
        warnings.push(format!(
            "Langevin steps of size {size:.3e} are accepted with probability {a:.2}, far from \
             {TARGET}: leave the step size to adapt, and take more steps"
        ));
    }
    if acceptance.is_some() && unmoved > 0 {
        warnings.push(format!(
            "{unmoved} of {chains} chains never moved: they are where they began; take more steps"
        ));
    }
    warnings
}
