//! Annealed importance sampling (AIS; Neal 2001): the normaliser where plain importance sampling has no
//! effective samples.
//!
//! Chains start as proposal samples and follow densities that go from the proposal to the model,
//! `q^(1-t) (d exp(-E))^t`, for temperatures `0 = t_0 < ... < t_K = 1`: one move a temperature, with the
//! log-weight `Σ_k (t_k - t_(k-1)) lw(x_(k-1))`, `lw = log d - E - log q`. The mean of the weights is an
//! unbiased estimate of `Z`, as that of plain weights is, so both bounds of an evaluation hold with it.
//! `K` energies a chain.
//!
//! The way back, from the model to the proposal, estimates `1 / Z` without bias (Grosse et al. 2015,
//! *Sandwiching the marginal likelihood using bidirectional Monte Carlo*): in expectation
//! `-log mean exp(-lw)` is above `log Z`, as the way there is below it. It needs points that follow the
//! model. Those here are the ends of the first way, resampled by weight and moved on; so it is a bound
//! only as far as these follow the model. A large gap between the two says that the chains are too few,
//! or the temperatures too coarse.
//!
//! Step sizes come from chains of their own before the others start: a size that followed the chains
//! which are weighed would bias the weights.

use serde::{Deserialize, Serialize};
use snel_core::density::{Density, Draws};
use snel_core::lse::LogWeights;
use snel_core::philox::{Key, Stream, uniform};
use snel_core::problem::Model;

use super::chains::{Chains, Move, Target, adapted, first_size};
use super::resample::Comb;
use super::{SampleError, check, on_threads};
use crate::evaluate::Estimate;

/// Chains that find the step sizes.
const PILOTS: u64 = 128;
/// Moves at temperature zero and one before anything is counted.
const SETTLE: u32 = 100;
/// Below this many effective chains standard errors are guesses.
const MIN_ESS: f64 = 100.0;
/// A gap between the two ways that nobody minds, nats.
const MAX_GAP: f64 = 0.05;
/// How steep temperatures rise in the middle: dense at both ends, where densities change fastest
/// (Grosse et al. 2015).
const STEEPNESS: f64 = 4.0;
/// Numbers of the chains of each pass; they share one key.
const PILOT: u64 = 1 << 62;
const REVERSE: u64 = 1 << 61;

/// How to anneal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Annealing {
    /// Temperatures, `K`; one is plain importance sampling.
    pub temperatures: u32,
    /// Chains.
    pub chains: u64,
    /// Threads; zero is taken as one.
    pub threads: usize,
}

/// What the two ways came to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Annealed {
    /// Temperatures, `K`.
    pub temperatures: u32,
    /// Log-weights of the way to the model.
    pub weights: LogWeights,
    /// Those of them that were NaN or infinite; they are left out.
    pub not_finite: u64,
    /// The way back.
    pub back: Back,
    /// Evaluations of the energy, in all.
    pub energies: u64,
}

/// `log Z` by the way from the model to the proposal.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Back {
    /// In expectation not below `log Z` if the chains start as samples of the model.
    pub log_z: Estimate,
    /// Effective number of chains.
    pub ess: f64,
}

/// Anneals from the proposal of `model` to the model and back. `parameters` is the flat vector.
///
/// # Errors
/// [`SampleError`].
pub fn anneal(
    model: &Model,
    parameters: &[f32],
    seed: u32,
    how: &Annealing,
) -> Result<Annealed, SampleError> {
    check(model, parameters, &[])?;
    let target = Target::new(model, parameters, Some(&model.proposal));
    let key = Key::new(seed, Stream::Anneal);
    let schedule = schedule(how.temperatures);
    on_threads(how.threads, || {
        let sizes = step_sizes(&target, key, &schedule)?;
        let path = Path { target: &target, key, schedule: &schedule, sizes: &sizes };
        let (log_weights, chains) = path.there(how.chains)?;
        let (weights, not_finite) = sum(&log_weights, 1.0);
        if weights.max() == f64::NEG_INFINITY {
            return Err(SampleError::NoWeight { pool: how.chains, not_finite });
        }
        let points = resampled(&chains, &log_weights, &weights, target.model.dim(), key);
        let (back, _) = sum(&path.back(Chains::new(&target, REVERSE, &points)), -1.0);
        let log_z = Estimate { value: -back.log_mean(), se: back.relative_error() };
        let Annealing { temperatures, chains, .. } = *how;
        let k = u64::from(temperatures);
        let settle = u64::from(SETTLE);
        // Each way takes K a chain; the pilots take one a temperature, from 0 to K, and a first one.
        let energies = chains * (2 * k + settle) + PILOTS * (k + 2 + settle);
        let back = Back { log_z, ess: back.ess() };
        Ok(Annealed { temperatures, weights, not_finite, back, energies })
    })?
}

impl Annealed {
    /// What a reader must know before believing the numbers.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        let (ess, count) = (self.weights.ess(), self.weights.count());
        if ess < MIN_ESS {
            warnings.push(format!(
                "only {ess:.0} of {count} chains are effective: use more temperatures, or more chains"
            ));
        }
        let (there, back) = (self.weights.log_mean(), self.back.log_z.value);
        let noise = 3.0 * (self.weights.relative_error() + self.back.log_z.se);
        if (back - there).abs() > noise.max(MAX_GAP) {
            warnings.push(format!(
                "log Z is {there:.3} on the way to the model and {back:.3} on the way back: the chains \
                 do not reach all of the model; use more temperatures"
            ));
        }
        if self.not_finite > 0 {
            warnings.push(format!(
                "{} log-weights were not finite and are left out: the interval does not hold",
                self.not_finite
            ));
        }
        warnings
    }
}

/// `t_0 = 0` to `t_K = 1`, by a logistic curve.
fn schedule(temperatures: u32) -> Vec<f64> {
    let logistic = |x: f64| 1.0 / (1.0 + (-x).exp());
    let (low, high) = (logistic(-STEEPNESS), logistic(STEEPNESS));
    let last = f64::from(temperatures);
    (0..=temperatures)
        .map(|k| match k {
            0 => 0.0,
            k if k == temperatures => 1.0,
            k => (logistic(STEEPNESS * (2.0 * f64::from(k) / last - 1.0)) - low) / (high - low),
        })
        .collect()
}

/// A step size for each temperature, `t_0` to `t_K`.
fn step_sizes(target: &Target, key: Key, schedule: &[f64]) -> Result<Vec<f64>, SampleError> {
    let mut chains = Chains::new(target, PILOT, &draw(target.model, key, PILOT, PILOTS)?);
    let mut size = first_size(target.model.dim());
    for step in 0..SETTLE {
        let settle = Move { key, step, size, temperature: 0.0 };
        size = adapted(size, step, chains.advance(target, settle) / PILOTS as f64);
    }
    let follow = |(k, &temperature): (usize, &f64)| {
        let to = Move { key, step: SETTLE + k as u32, size, temperature };
        // A constant gain, as the best size changes on the way: that of the tenth adaptation.
        size = adapted(size, 9, chains.advance(target, to) / PILOTS as f64);
        size
    };
    Ok(schedule.iter().enumerate().map(follow).collect())
}

/// Proposal samples numbered from `first`, row-major.
fn draw(model: &Model, key: Key, first: u64, count: u64) -> Result<Vec<f32>, SampleError> {
    let dim = model.dim();
    let mut points = super::zeros(count, dim).ok_or(SampleError::Memory { count, dim })?;
    let mut point = vec![0.0; dim];
    for (n, x) in (first..).zip(points.chunks_exact_mut(dim)) {
        Density::sample(&model.proposal, &mut Draws::new(key, 0, n), &mut point);
        x.iter_mut().zip(&point).for_each(|(x, &value)| *x = value as f32);
    }
    Ok(points)
}

/// The way between proposal and model.
struct Path<'a> {
    target: &'a Target<'a>,
    key: Key,
    schedule: &'a [f64],
    sizes: &'a [f64],
}

impl Path<'_> {
    fn go(&self, chains: &mut Chains, k: usize) {
        let Self { target, key, schedule, sizes } = self;
        let to = Move { key: *key, step: k as u32, size: sizes[k], temperature: schedule[k] };
        chains.advance(target, to);
    }

    /// The log-weight of each chain, and the chains where they ended.
    fn there(&self, count: u64) -> Result<(Vec<f64>, Chains), SampleError> {
        let points = draw(self.target.model, self.key, 0, count)?;
        let mut chains = Chains::new(self.target, 0, &points);
        let mut log_weights = vec![0.0; chains.len()];
        let last = self.schedule.len() - 1;
        for k in 1..=last {
            self.weigh(&chains, k, &mut log_weights);
            if k < last {
                self.go(&mut chains, k);
            }
        }
        Ok((log_weights, chains))
    }

    /// The log-weight of each of `chains`, which follow the model more or less.
    fn back(&self, mut chains: Chains) -> Vec<f64> {
        let mut log_weights = vec![0.0; chains.len()];
        let last = self.schedule.len() - 1;
        let steps = last as u32..last as u32 + SETTLE;
        for step in steps {
            let settle = Move { key: self.key, step, size: self.sizes[last], temperature: 1.0 };
            chains.advance(self.target, settle);
        }
        for k in (1..=last).rev() {
            self.weigh(&chains, k, &mut log_weights);
            if k > 1 {
                self.go(&mut chains, k - 1);
            }
        }
        log_weights
    }

    fn weigh(&self, chains: &Chains, k: usize, log_weights: &mut [f64]) {
        let rise = self.schedule[k] - self.schedule[k - 1];
        log_weights.iter_mut().zip(chains.log_weights()).for_each(|(sum, lw)| *sum += rise * lw);
    }
}

/// The sums of `sign * lw`, and how many are unusable.
fn sum(log_weights: &[f64], sign: f64) -> (LogWeights, u64) {
    let mut sums = LogWeights::default();
    let refused = log_weights.iter().filter(|&&lw| !sums.add(sign * lw)).count();
    (sums, refused as u64)
}

/// As many points as there are chains, each repeated in proportion to its weight.
fn resampled(
    chains: &Chains,
    log_weights: &[f64],
    weights: &LogWeights,
    dim: usize,
    key: Key,
) -> Vec<f32> {
    let mut comb = Comb::new(log_weights.len() as u64, uniform(key.block(0, REVERSE, 0)[0]));
    let mut points = Vec::with_capacity(log_weights.len() * dim);
    for (x, &lw) in chains.points().zip(log_weights).filter(|(_, lw)| lw.is_finite()) {
        for _ in comb.take((lw - weights.log_sum()).exp()) {
            points.extend(x.iter().map(|&value| value as f32));
        }
    }
    // What rounding left over.
    points.extend_from_within(..comb.rest().count() * dim);
    points
}
