//! The log-likelihood of a split as an interval.
//!
//! With `a = mean(log d - E)` over the rows and `M` fresh proposal samples,
//! `L_SNL = a - b - exp(-b) Ẑ + 1` is below the log-likelihood in expectation for every `b`, and
//! `L_IS = a - log Ẑ` is above it. Monte-Carlo errors: `exp(-b) Ẑ` is a plain mean, whose standard
//! error is known; for `log Ẑ` the delta method gives the relative one. The 95 % interval runs
//! from `lower - 1.96 se` to `upper + 1.96 se`. It is about the normaliser only: how well the rows
//! of the split stand for the population is `rows_se`, reported apart.
//!
//! Samples are streamed in blocks: memory does not depend on `M`, and the sums are made in sample
//! order, so equal inputs give equal bits.

use serde::{Deserialize, Serialize};
use snel_core::engine::{DensityEngine, SampleSet, Scored};
use snel_core::lse::LogWeights;
use snel_core::rows::Rows;

use crate::file::FileError;

/// Two-sided 95 % quantile of the normal distribution.
pub const Z_95: f64 = 1.959_963_984_540_054;
/// Points scored at once: the memory of an evaluation.
const BLOCK: u64 = 32_768;
/// Below this many effective samples the upper side and all standard errors are guesses.
const MIN_ESS: f64 = 1000.0;
/// A sample with more than this share of all weight says that the tails are not covered.
pub(crate) const MAX_SHARE: f64 = 0.01;

/// A number with its standard error.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// The estimate.
    pub value: f64,
    /// Its standard error.
    pub se: f64,
}

impl Estimate {
    /// `value -+ 1.96 se`.
    pub fn interval(&self) -> [f64; 2] {
        [self.value - Z_95 * self.se, self.value + Z_95 * self.se]
    }

    /// This minus `other`, which does not depend on it.
    pub(crate) fn minus(&self, other: &Self) -> Self {
        Self { value: self.value - other.value, se: self.se.hypot(other.se) }
    }

    /// From `lower -1.96 se` to `upper + 1.96 se`.
    pub(crate) fn between(lower: &Self, upper: &Self) -> [f64; 2] {
        [lower.interval()[0], upper.interval()[1]]
    }
}

/// How evenly the samples carry the weight.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WeightSummary {
    /// Proposal samples, `M`.
    pub samples: u64,
    /// Effective sample size.
    pub ess: f64,
    /// The same as a fraction of the samples.
    pub ess_fraction: f64,
    /// Share of the largest weight.
    pub largest_share: f64,
    /// Samples whose log-weight was NaN or infinite; they are left out.
    pub not_finite: u64,
}

impl WeightSummary {
    /// The summary of `weights`, to which `not_finite` more samples belong.
    pub fn new(weights: &LogWeights, not_finite: u64) -> Self {
        Self {
            samples: weights.count() + not_finite,
            ess: weights.ess(),
            ess_fraction: weights.ess() / (weights.count() + not_finite) as f64,
            largest_share: weights.largest_share(),
            not_finite,
        }
    }
}

/// The likelihood of one split, nats a row in standardised units.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// Rows of the split.
    pub rows: u64,
    /// SNL at the learned `b`.
    pub lower: Estimate,
    /// Importance sampling.
    pub upper: Estimate,
    /// 95 % interval of the split's mean log-likelihood, from the Monte-Carlo errors.
    pub interval: [f64; 2],
    /// Standard error of the mean over rows: how much another split of this size would differ.
    /// NaN, `null` in JSON, for a single row.
    pub rows_se: f64,
    /// Learned log-normaliser.
    pub b: f64,
    /// `log Ẑ`.
    pub log_z: Estimate,
    /// `b - log Ẑ`, with the standard error of `log Ẑ`.
    pub b_minus_log_z: Estimate,
    /// How evenly the samples carry the weight.
    pub weights: WeightSummary,
    /// Mean `log q` of the rows.
    pub proposal: f64,
    /// Mean `log d` of the rows; none without a base density.
    pub base: Option<f64>,
    /// What a reader must know before believing the numbers.
    pub warnings: Vec<String>,
}

/// Sums over the rows of a split.
#[derive(Debug, Clone, Copy, Default)]
struct RowSums {
    rows: f64,
    tilted: f64,
    tilted_squared: f64,
    log_base: f64,
    log_proposal: f64,
}

/// Evaluates the engine's model on `rows` with `samples` proposal samples of `set`.
///
/// # Errors
/// A read error of the rows.
pub fn evaluate(
    engine: &dyn DensityEngine,
    rows: &dyn Rows,
    set: SampleSet,
    samples: u64,
    has_base: bool,
) -> Result<Evaluation, FileError> {
    let (weights, not_finite) = log_weights(engine, rows.dim(), set, samples);
    evaluate_by(&weights, not_finite, engine, rows, has_base)
}

/// The same with weights that were had otherwise: any whose mean is an unbiased estimate of `Z`.
///
/// # Errors
/// A read error of the rows.
pub fn evaluate_by(
    weights: &LogWeights,
    not_finite: u64,
    engine: &dyn DensityEngine,
    rows: &dyn Rows,
    has_base: bool,
) -> Result<Evaluation, FileError> {
    let sums = sum_rows(engine, rows)?;
    Ok(bounds(f64::from(engine.head().b), &sums, weights, not_finite, has_base))
}

/// Streams `samples` log-weights; returns their sums and the count of unusable ones.
pub fn log_weights(
    engine: &dyn DensityEngine,
    dim: usize,
    set: SampleSet,
    samples: u64,
) -> (LogWeights, u64) {
    let mut weights = LogWeights::default();
    let mut not_finite = 0;
    for_each_block(engine, dim, set, samples, |_, scored| {
        for s in scored {
            not_finite += u64::from(!weights.add(log_weight(s)));
        }
    });
    (weights, not_finite)
}

/// `log d - E - log q`. With base = proposal the two log-densities are the same number and cancel
/// exactly.
pub fn log_weight(s: &Scored) -> f64 {
    f64::from(s.log_base) - f64::from(s.log_proposal) - f64::from(s.energy)
}

/// Calls `visit` with the points and scores of each block of samples, in order.
pub fn for_each_block(
    engine: &dyn DensityEngine,
    dim: usize,
    set: SampleSet,
    samples: u64,
    mut visit: impl FnMut(&[f32], &[Scored]),
) {
    let size = BLOCK.min(samples) as usize;
    let (mut x, mut scored) = (vec![0.0; size * dim], vec![Scored::default(); size]);
    let mut start = 0;
    while start < samples {
        let end = (start + BLOCK).min(samples);
        let n = (end - start) as usize;
        engine.score_samples(set, start..end, &mut x[..n * dim], &mut scored[..n]);
        visit(&x[..n * dim], &scored[..n]);
        start = end;
    }
}

/// Calls `visit` with the points and scores of each block of rows, in order.
///
/// # Errors
/// A read error of the rows.
pub fn for_each_row_block(
    engine: &dyn DensityEngine,
    rows: &dyn Rows,
    mut visit: impl FnMut(&[f32], &[Scored]),
) -> Result<(), FileError> {
    let dim = rows.dim();
    for_each_rows(rows, u64::MAX, |_, x| {
        let mut scored = vec![Scored::default(); x.len() / dim];
        engine.score(x, &mut scored);
        visit(x, &scored);
    })
}

/// Calls `visit` with the number of the first row and the values of each block of the first `limit`
/// rows, in order.
///
/// # Errors
/// A read error of the rows.
pub fn for_each_rows(
    rows: &dyn Rows,
    limit: u64,
    mut visit: impl FnMut(u64, &[f32]),
) -> Result<(), FileError> {
    let end = rows.len().min(limit);
    // Wide rows in smaller blocks: a block is some megabytes.
    let at_once = (BLOCK * 16 / rows.dim().max(1) as u64).clamp(1, BLOCK);
    for first in (0..end).step_by(at_once as usize) {
        let numbers: Vec<u64> = (first..(first + at_once).min(end)).collect();
        let mut x = vec![0.0; numbers.len() * rows.dim()];
        rows.gather(&numbers, &mut x)
            .map_err(FileError::at("read the rows spooled in", &std::env::temp_dir()))?;
        visit(first, &x);
    }
    Ok(())
}

fn sum_rows(engine: &dyn DensityEngine, rows: &dyn Rows) -> Result<RowSums, FileError> {
    let mut sums = RowSums::default();
    for_each_row_block(engine, rows, |_, scored| {
        for s in scored {
            sums.rows += 1.0;
            sums.tilted += s.tilted();
            sums.tilted_squared += s.tilted() * s.tilted();
            sums.log_base += f64::from(s.log_base);
            sums.log_proposal += f64::from(s.log_proposal);
        }
    })?;
    Ok(sums)
}

fn bounds(
    b: f64,
    sums: &RowSums,
    weights: &LogWeights,
    not_finite: u64,
    has_base: bool,
) -> Evaluation {
    let a = sums.tilted / sums.rows;
    let log_z = Estimate { value: weights.log_mean(), se: weights.relative_error() };
    let residual = log_z.value - b;
    let mean_weight = residual.exp();
    let lower = Estimate { value: a - b - mean_weight + 1.0, se: mean_weight * log_z.se };
    let upper = Estimate { value: a - log_z.value, se: log_z.se };
    let variance = (sums.tilted_squared / sums.rows - a * a).max(0.0);
    let weights = WeightSummary::new(weights, not_finite);
    Evaluation {
        rows: sums.rows as u64,
        lower,
        upper,
        interval: Estimate::between(&lower, &upper),
        rows_se: (variance / (sums.rows - 1.0)).sqrt(),
        b,
        log_z,
        b_minus_log_z: Estimate { value: -residual, se: log_z.se },
        proposal: sums.log_proposal / sums.rows,
        base: has_base.then(|| sums.log_base / sums.rows),
        warnings: warnings(&weights, residual),
        weights,
    }
}

/// What a reader must know before believing numbers made with these weights; `residual` is
/// `log Ẑ - b`.
pub fn warnings(weights: &WeightSummary, residual: f64) -> Vec<String> {
    let mut warnings = Vec::new();
    if weights.ess < MIN_ESS {
        warnings.push(format!(
            "only {:.0} of {} samples are effective: the upper bound and the standard errors are \
             not to be trusted; use more samples or a proposal closer to the model",
            weights.ess, weights.samples
        ));
    }
    if weights.largest_share > MAX_SHARE {
        warnings.push(format!(
            "one sample carries {:.1} % of the weight: the proposal misses part of the model, and \
             the true normaliser may be larger",
            100.0 * weights.largest_share
        ));
    }
    if weights.not_finite > 0 {
        warnings.push(format!(
            "{} log-weights were not finite and are left out: the interval does not hold",
            weights.not_finite
        ));
    }
    if residual.abs() > 0.1 {
        warnings.push(format!(
            "b is {:.2} nats {} log Z: the lower bound is loose by exp(r) - 1 - r with r = {residual:.2}",
            residual.abs(),
            if residual > 0.0 { "below" } else { "above" }
        ));
    }
    warnings
}
