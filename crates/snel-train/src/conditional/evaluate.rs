//! The likelihood of a split as an interval for every row, and how well predictions are calibrated.
//!
//! At a row, `L_SNL = log d - E - b(x) - exp(-b(x)) Ẑ(x) + 1` is below `log p(y|x)` in expectation,
//! `L_IS = log d - E - log Ẑ(x)` above it. Samples of different rows are independent, so the
//! Monte-Carlo error of a mean over rows is that of independent terms.

use serde::{Deserialize, Serialize};
use snel_core::conditional::ConditionalEngine;
use snel_core::engine::{SampleSet, Scored};
use snel_core::lse::LogWeights;
use snel_core::problem::Base;
use snel_core::rows::Rows;
use snel_data::Standardise;

use super::distribution::Distribution;
use super::rows::{RowBlock, for_each_block, for_each_draw};
use crate::evaluate::{Estimate, log_weight};
use crate::file::FileError;
use crate::metrics::Validation;

/// Rows that give `b` its first value, at most.
const START_ROWS: u64 = 256;
/// Central intervals whose coverage is counted, and cells of the PIT histogram: one for each.
const LEVELS: usize = 20;
/// Effective samples of a row below which its numbers are guesses.
const MIN_ESS: f64 = 10.0;

/// The likelihood of one split, nats a row in standardised units, and calibration in original ones.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ConditionalEvaluation {
    /// Rows of the split.
    pub rows: u64,
    /// Proposal samples of each row.
    pub samples: u64,
    /// SNL at the learned `b(x)`.
    pub lower: Estimate,
    /// Importance sampling.
    pub upper: Estimate,
    /// 95 % interval of the split's mean log-likelihood, from the Monte-Carlo errors.
    pub interval: [f64; 2],
    /// Standard error of the mean over rows; NaN, `null` in JSON, for a single row.
    pub rows_se: f64,
    /// Mean of the learned `b(x)`.
    pub b: f64,
    /// Mean of `log Ẑ(x)`.
    pub log_z: f64,
    /// Root mean square of `b(x) - log Ẑ(x)`.
    pub b_error: f64,
    /// Mean effective sample size of a row as a fraction of its samples.
    pub ess_fraction: f64,
    /// Effective sample size of the row that has the fewest.
    pub least_ess: f64,
    /// Log-weights that were NaN or infinite; they are left out.
    pub not_finite: u64,
    /// Mean `log q(y|x)` of the rows, under the proposal that does not look at `y`.
    pub proposal: f64,
    /// Mean `log d(y|x)`; none without a base density.
    pub base: Option<f64>,
    /// Each target by itself.
    pub targets: Vec<TargetEvaluation>,
    /// What a reader must know before believing the numbers.
    pub warnings: Vec<String>,
}

/// Predictions of one target against what was observed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TargetEvaluation {
    /// Its column.
    pub name: String,
    /// Root mean squared error of the mean, original units.
    pub rmse: f64,
    /// Mean continuous ranked probability score, original units.
    pub crps: f64,
    /// Shares of rows within central intervals.
    pub coverage: Vec<Coverage>,
    /// Shares of rows by the distribution function at the observed value, in equal cells from 0 to
    /// 1: all alike if predictions are calibrated.
    pub pit: Vec<f64>,
}

impl TargetEvaluation {
    /// Share of rows within the central interval of nine tenths.
    pub fn within_nine_tenths(&self) -> f64 {
        let nine = self.coverage.iter().find(|c| (c.level - 0.9).abs() < 1e-9);
        nine.map_or(f64::NAN, |c| c.share)
    }
}

/// How often a central interval holds what was observed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Coverage {
    /// Probability of the interval.
    pub level: f64,
    /// Share of rows within it; should equal `level`.
    pub share: f64,
}

/// Bounds of one row.
pub(super) struct RowBounds {
    pub(super) lower: Estimate,
    pub(super) upper: Estimate,
    log_z: f64,
}

/// The bounds of a row with `log d - E` and `b(x)`, from the weights of its samples.
pub(super) fn bounds(tilted: f64, b: f64, weights: &LogWeights) -> RowBounds {
    let (log_z, se) = (weights.log_mean(), weights.relative_error());
    let mean_weight = (log_z - b).exp();
    RowBounds {
        lower: Estimate { value: tilted - b - mean_weight + 1.0, se: mean_weight * se },
        upper: Estimate { value: tilted - log_z, se },
        log_z,
    }
}

/// Sums over rows.
#[derive(Default)]
struct Sums {
    rows: f64,
    lower: f64,
    lower_variance: f64,
    upper: f64,
    upper_squared: f64,
    upper_variance: f64,
    b: f64,
    log_z: f64,
    b_error: f64,
    ess: f64,
    not_finite: u64,
    proposal: f64,
    base: f64,
}

/// Calls `visit` with every row of a block: what was observed, `b(x)`, the samples, their scores and
/// log-weights.
fn for_each_row(
    engine: &dyn ConditionalEngine,
    set: SampleSet,
    samples: u64,
    block: &RowBlock,
    mut visit: impl FnMut(usize, &Scored, f64, &[f32], &[f64]),
) {
    let inputs = engine.model().inputs;
    let rows = block.x.len() / inputs;
    let (mut b, mut observed) = (vec![0.0; rows], vec![Scored::default(); rows]);
    engine.log_normalisers(&block.x, &mut b);
    engine.score(&block.x, &block.y, &mut observed);
    for_each_draw(engine, set, samples, block.first, &block.x, |i, y, scored| {
        let log_weights: Vec<f64> = scored.iter().map(log_weight).collect();
        visit(i, &observed[i], f64::from(b[i]), y, &log_weights);
    });
}

impl Sums {
    fn add(&mut self, observed: &Scored, b: f64, log_weights: &[f64]) -> f64 {
        let mut weights = LogWeights::default();
        for lw in log_weights {
            self.not_finite += u64::from(!weights.add(*lw));
        }
        let RowBounds { lower, upper, log_z } = bounds(observed.tilted(), b, &weights);
        self.rows += 1.0;
        self.lower += lower.value;
        self.lower_variance += lower.se * lower.se;
        self.upper += upper.value;
        self.upper_squared += upper.value * upper.value;
        self.upper_variance += upper.se * upper.se;
        self.b += b;
        self.log_z += log_z;
        self.b_error += (b - log_z) * (b - log_z);
        self.ess += weights.ess() / log_weights.len() as f64;
        self.proposal += f64::from(observed.log_proposal);
        self.base += f64::from(observed.log_base);
        weights.ess()
    }

    fn lower(&self) -> Estimate {
        Estimate { value: self.lower / self.rows, se: self.lower_variance.sqrt() / self.rows }
    }

    fn upper(&self) -> Estimate {
        Estimate { value: self.upper / self.rows, se: self.upper_variance.sqrt() / self.rows }
    }

    fn rows_se(&self) -> f64 {
        let mean = self.upper / self.rows;
        let variance = (self.upper_squared / self.rows - mean * mean).max(0.0);
        (variance / (self.rows - 1.0)).sqrt()
    }
}

/// The first value of `b`: the logarithm of the mean weight over some rows, of about `samples`
/// samples in all.
///
/// # Errors
/// A read error of the rows.
pub fn first_b(
    engine: &dyn ConditionalEngine,
    rows: &dyn Rows,
    set: SampleSet,
    samples: u64,
) -> Result<f64, FileError> {
    let used = rows.len().min(START_ROWS);
    let per_row = samples.div_ceil(used.max(1)).max(16);
    let mut weights = LogWeights::default();
    for_each_block(rows, engine.model().inputs, used, |block| {
        for_each_draw(engine, set, per_row, block.first, &block.x, |_, _, scored| {
            scored.iter().for_each(|s| {
                weights.add(log_weight(s));
            });
        });
    })?;
    Ok(weights.log_mean())
}

/// Bounds on `rows` in short.
///
/// # Errors
/// A read error of the rows.
pub fn validate(
    engine: &dyn ConditionalEngine,
    rows: &dyn Rows,
    set: SampleSet,
    samples: u64,
) -> Result<Validation, FileError> {
    let mut sums = Sums::default();
    for_each_block(rows, engine.model().inputs, u64::MAX, |block| {
        for_each_row(engine, set, samples, block, |_, observed, b, _, log_weights| {
            sums.add(observed, b, log_weights);
        });
    })?;
    let (lower, upper) = (sums.lower(), sums.upper());
    Ok(Validation {
        lower: lower.value,
        upper: upper.value,
        interval: Estimate::between(&lower, &upper),
        ess_fraction: sums.ess / sums.rows,
        log_z: sums.log_z / sums.rows,
        b: sums.b / sums.rows,
    })
}

/// Sums over rows for one target.
struct TargetSums {
    squares: f64,
    crps: f64,
    pit: Vec<f64>,
}

/// Evaluates on `rows`; `names` and `scales` are those of the targets.
///
/// # Errors
/// A read error of the rows.
pub fn evaluate(
    engine: &dyn ConditionalEngine,
    rows: &dyn Rows,
    set: SampleSet,
    samples: u64,
    names: &[String],
    scales: &Standardise,
) -> Result<ConditionalEvaluation, FileError> {
    let model = engine.model();
    let targets = model.targets;
    let mut sums = Sums::default();
    let mut least_ess = f64::INFINITY;
    let mut starved = 0u64;
    let new = || TargetSums { squares: 0.0, crps: 0.0, pit: Vec::new() };
    let mut of_targets: Vec<TargetSums> = (0..targets).map(|_| new()).collect();
    for_each_block(rows, model.inputs, u64::MAX, |block| {
        for_each_row(engine, set, samples, block, |i, observed, b, y, log_weights| {
            let ess = sums.add(observed, b, log_weights);
            least_ess = least_ess.min(ess);
            starved += u64::from(ess < MIN_ESS);
            for (d, target) in of_targets.iter_mut().enumerate() {
                let original = |v: f32| f64::from(v) * scales.sd()[d] + scales.mean()[d];
                let seen = original(block.y[i * targets + d]);
                let values = y.iter().skip(d).step_by(targets).map(|&v| original(v));
                let Some(distribution) = Distribution::new(values, log_weights) else { continue };
                target.squares += (distribution.mean() - seen).powi(2);
                target.crps += distribution.crps(seen);
                target.pit.push(distribution.cdf(seen));
            }
        });
    })?;
    let (lower, upper) = (sums.lower(), sums.upper());
    let of_targets = of_targets.into_iter().zip(names).map(|(t, name)| t.finish(name));
    let mut warnings = Vec::new();
    if starved > 0 {
        warnings.push(format!(
            "at {starved} of {} rows fewer than {MIN_ESS} samples are effective: their bounds and \
             predictions are not to be trusted; use more samples or a proposal closer to the model",
            sums.rows
        ));
    }
    if sums.not_finite > 0 {
        warnings.push(format!(
            "{} log-weights were not finite and are left out: the interval does not hold",
            sums.not_finite
        ));
    }
    let b_error = (sums.b_error / sums.rows).sqrt();
    if b_error > 0.3 {
        warnings.push(format!(
            "b(x) is off log Z(x) by {b_error:.2} nats (root mean square): the lower bound is loose"
        ));
    }
    Ok(ConditionalEvaluation {
        rows: sums.rows as u64,
        samples,
        lower,
        upper,
        interval: Estimate::between(&lower, &upper),
        rows_se: sums.rows_se(),
        b: sums.b / sums.rows,
        log_z: sums.log_z / sums.rows,
        b_error,
        ess_fraction: sums.ess / sums.rows,
        least_ess,
        not_finite: sums.not_finite,
        proposal: sums.proposal / sums.rows,
        base: (model.base != Base::None).then(|| sums.base / sums.rows),
        targets: of_targets.collect(),
        warnings,
    })
}

impl TargetSums {
    fn finish(self, name: &str) -> TargetEvaluation {
        let n = self.pit.len() as f64;
        let share = |holds: &dyn Fn(f64) -> bool| {
            self.pit.iter().filter(|pit| holds(**pit)).count() as f64 / n
        };
        let coverage = (1..LEVELS).map(|k| {
            let level = k as f64 / LEVELS as f64;
            Coverage { level, share: share(&|pit| (pit - 0.5).abs() <= 0.5 * level) }
        });
        let cell = |pit: f64| ((pit * LEVELS as f64) as usize).min(LEVELS - 1);
        let pit = (0..LEVELS).map(|k| share(&|pit| cell(pit) == k));
        TargetEvaluation {
            name: name.to_owned(),
            rmse: (self.squares / n).sqrt(),
            crps: self.crps / n,
            coverage: coverage.collect(),
            pit: pit.collect(),
        }
    }
}
