//! Predictions for the rows of a file, written to another.
//!
//! Rows are read, predicted and written in chunks: any file can be predicted in the memory of a
//! chunk. Numbers are those of weighted proposal samples, in original units. Where the file has the
//! targets, too, the 95 % interval of each row's log-likelihood is written beside them.

use std::path::{Path, PathBuf};

use serde::Serialize;
use snel_core::conditional::ConditionalEngine;
use snel_core::engine::{SampleSet, Scored};
use snel_core::lse::LogWeights;
use snel_core::philox::Stream;
use snel_data::{DataError, ReadOptions, RowWriter, Source, Standardise, open};

use super::distribution::Distribution;
use super::evaluate::bounds;
use super::rows::for_each_draw;
use crate::evaluate::log_weight;
use crate::model_file::ModelFile;
use crate::score::narrow;

/// What to predict.
#[derive(Debug, Clone, PartialEq)]
pub struct PredictOptions {
    /// Proposal samples of each row.
    pub samples: u64,
    /// Levels of the quantiles, each between 0 and 1.
    pub quantiles: Vec<f64>,
    /// Probability of the shortest interval.
    pub interval: f64,
    /// Where densities on a grid go, and how many nodes it has.
    pub density: Option<(PathBuf, usize)>,
}

/// What a prediction came to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PredictSummary {
    /// Rows predicted.
    pub rows: u64,
    /// Columns written.
    pub columns: Vec<String>,
    /// Proposal samples of each row.
    pub samples: u64,
    /// Mean effective sample size of a row as a fraction of its samples.
    pub ess_fraction: f64,
    /// Effective sample size of the row that has the fewest.
    pub least_ess: f64,
    /// What a reader must know.
    pub warnings: Vec<String>,
}

/// Why a file cannot be predicted.
#[derive(Debug, thiserror::Error)]
pub enum PredictError {
    /// The rows cannot be read, or the result not be written.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The file lacks inputs of the model.
    #[error(
        "{} has neither the model's inputs nor as many columns: {} are missing; it has {}",
        path.display(), missing.join(", "), found.join(", ")
    )]
    Columns {
        /// The file.
        path: PathBuf,
        /// Inputs of the model that it lacks.
        missing: Vec<String>,
        /// Columns that it has.
        found: Vec<String>,
    },
    /// A grid of more than one target.
    #[error("a density on a grid wants a model of one target; this one has {0}")]
    Targets(usize),
}

/// Effective samples of a row below which its numbers are guesses.
const MIN_ESS: f64 = 10.0;

/// Predicts the targets at the rows of `data` and writes them to `out`, a row for each: of every
/// target mean, median, mode (the sample of the highest density of all targets together), quantiles
/// and the ends of the shortest interval; then the effective samples behind them, and the interval of
/// the log-likelihood if the targets are there.
///
/// # Errors
/// [`PredictError`].
pub fn predict_file(
    model: &ModelFile,
    engine: &dyn ConditionalEngine,
    data: &Path,
    out: &Path,
    options: &PredictOptions,
) -> Result<PredictSummary, PredictError> {
    let (inputs, targets) = (engine.model().inputs, engine.model().targets);
    let names = &model.header.columns;
    let target_scales = model.header.standardise.columns(inputs..names.len());
    let (mut source, observed) = matching_source(data, names, inputs)?;
    let width = source.dim();
    let scales = model.header.standardise.columns(0..width);
    let columns = columns(&names[inputs..], options, observed);
    let mut writer = RowWriter::create(out, &columns)?;
    let mut grid = match &options.density {
        Some(_) if targets != 1 => return Err(PredictError::Targets(targets)),
        Some((path, nodes)) => {
            Some(Grid::create(path, &names[inputs], *nodes, target_scales.clone())?)
        }
        None => None,
    };
    let set = SampleSet { stream: Stream::Evaluation, step: 0 };
    let (mut rows, mut ess_sum, mut least_ess, mut starved) = (0u64, 0.0, f64::INFINITY, 0u64);
    let mut chunk = Vec::new();
    while source.next_chunk(&mut chunk)? > 0 {
        scales.apply(&mut chunk);
        let all = narrow(&chunk, &names[..width])?;
        let (mut x, mut seen) = (Vec::new(), Vec::new());
        for row in all.chunks_exact(width) {
            x.extend_from_slice(&row[..inputs]);
            seen.extend_from_slice(&row[inputs..]);
        }
        let mut b = vec![0.0; x.len() / inputs];
        let mut at_seen = vec![Scored::default(); if observed { b.len() } else { 0 }];
        engine.log_normalisers(&x, &mut b);
        engine.score(&x, &seen, &mut at_seen);
        let mut values = Vec::new();
        for_each_draw(engine, set, options.samples, rows, &x, |i, y, scored| {
            let log_weights: Vec<f64> = scored.iter().map(log_weight).collect();
            let mut weights = LogWeights::default();
            log_weights.iter().for_each(|lw| {
                weights.add(*lw);
            });
            for d in 0..targets {
                let original =
                    |v: f32| f64::from(v) * target_scales.sd()[d] + target_scales.mean()[d];
                let of_target = || y.iter().skip(d).step_by(targets).map(|&v| original(v));
                let mode = highest(scored).and_then(|at| of_target().nth(at));
                push_target(of_target(), &log_weights, mode, options, &mut values);
            }
            values.push(weights.ess());
            if let Some(seen) = at_seen.get(i) {
                let bounds = bounds(seen.tilted(), f64::from(b[i]), &weights);
                let ends = [bounds.lower.interval()[0], bounds.upper.interval()[1]];
                values.extend(ends.map(|end| end + target_scales.log_det()));
            }
            ess_sum += weights.ess() / options.samples as f64;
            least_ess = least_ess.min(weights.ess());
            starved += u64::from(weights.ess() < MIN_ESS);
            if let Some(grid) = &mut grid {
                let x = &x[i * inputs..][..inputs];
                grid.add(engine, rows + i as u64, x, y, weights.log_mean());
            }
        });
        rows += (x.len() / inputs) as u64;
        writer.push(&values)?;
        if let Some(grid) = &mut grid {
            grid.write()?;
        }
    }
    writer.finish()?;
    if let Some(grid) = grid {
        grid.writer.finish()?;
    }
    let warning = || {
        format!(
            "at {starved} of {rows} rows fewer than {MIN_ESS} samples are effective; use more \
             samples"
        )
    };
    Ok(PredictSummary {
        rows,
        columns,
        samples: options.samples,
        ess_fraction: ess_sum / rows as f64,
        least_ess,
        warnings: if starved > 0 { vec![warning()] } else { Vec::new() },
    })
}

/// The place of the sample of highest density.
fn highest(scored: &[Scored]) -> Option<usize> {
    let finite = scored.iter().enumerate().filter(|(_, s)| s.tilted().is_finite());
    finite.max_by(|a, b| a.1.tilted().total_cmp(&b.1.tilted())).map(|(at, _)| at)
}

fn columns(targets: &[String], options: &PredictOptions, observed: bool) -> Vec<String> {
    let mut columns = Vec::new();
    for name in targets {
        columns.extend(["mean", "median", "mode"].map(|what| format!("{name}_{what}")));
        columns.extend(options.quantiles.iter().map(|q| format!("{name}_q{q}")));
        columns.extend(["low", "high"].map(|end| format!("{name}_{end}")));
    }
    columns.push("effective_samples".to_owned());
    if observed {
        columns.extend(["log_density_low", "log_density_high"].map(str::to_owned));
    }
    columns
}

fn push_target(
    values: impl Iterator<Item = f64>,
    log_weights: &[f64],
    mode: Option<f64>,
    options: &PredictOptions,
    out: &mut Vec<f64>,
) {
    let Some(distribution) = Distribution::new(values, log_weights) else {
        // No sample has any weight: there is nothing to say about this row.
        out.extend(vec![f64::NAN; 5 + options.quantiles.len()]);
        return;
    };
    out.extend([distribution.mean(), distribution.quantile(0.5), mode.unwrap_or(f64::NAN)]);
    out.extend(options.quantiles.iter().map(|q| distribution.quantile(*q)));
    out.extend(distribution.shortest_interval(options.interval));
}

/// Densities on a grid over the range of each row's samples: columns `row`, the target, `density`.
struct Grid {
    nodes: usize,
    scales: Standardise,
    writer: RowWriter,
    values: Vec<f64>,
}

impl Grid {
    fn create(
        path: &Path,
        target: &str,
        nodes: usize,
        scales: Standardise,
    ) -> Result<Self, DataError> {
        let columns = ["row", target, "density"].map(str::to_owned);
        let writer = RowWriter::create(path, &columns)?;
        Ok(Self { nodes, scales, writer, values: Vec::new() })
    }

    fn add(
        &mut self,
        engine: &dyn ConditionalEngine,
        row: u64,
        x: &[f32],
        samples: &[f32],
        log_z: f64,
    ) {
        let low = samples.iter().copied().fold(f32::INFINITY, f32::min);
        let high = samples.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let step = (high - low) / (self.nodes.max(2) - 1) as f32;
        let y: Vec<f32> = (0..self.nodes).map(|i| low + i as f32 * step).collect();
        let mut scored = vec![Scored::default(); y.len()];
        engine.score(x, &y, &mut scored);
        for (y, s) in y.iter().zip(&scored) {
            let density = (s.tilted() - log_z + self.scales.log_det()).exp();
            let y = f64::from(*y) * self.scales.sd()[0] + self.scales.mean()[0];
            self.values.extend([row as f64, y, density]);
        }
    }

    fn write(&mut self) -> Result<(), DataError> {
        let values = std::mem::take(&mut self.values);
        self.writer.push(&values)
    }
}

/// Opens `data` at the model's columns, of which the first are the inputs: by name at all of them,
/// or at the inputs; else all of its columns if they are as many as the inputs. True if the targets
/// are there, too.
fn matching_source(
    data: &Path,
    names: &[String],
    inputs: usize,
) -> Result<(Source, bool), PredictError> {
    let whole = open(data, &ReadOptions::default())?;
    let missing = |names: &[String]| -> Vec<String> {
        names.iter().filter(|c| !whole.columns().contains(c)).cloned().collect()
    };
    let by_name = |columns: &[String]| {
        open(data, &ReadOptions { columns: columns.to_vec(), ..ReadOptions::default() })
    };
    if missing(names).is_empty() {
        return Ok((by_name(names)?, true));
    }
    let missing = missing(&names[..inputs]);
    if missing.is_empty() {
        return Ok((by_name(&names[..inputs])?, false));
    }
    if whole.dim() == inputs {
        return Ok((whole, false));
    }
    let found = whole.columns().to_vec();
    Err(PredictError::Columns { path: data.to_path_buf(), missing, found })
}
