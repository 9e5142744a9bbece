//! Log-densities of the rows of a file, written to another.
//!
//! Rows are read, scored and written in chunks: any file can be scored in the memory of a chunk.

use std::path::{Path, PathBuf};

use serde::Serialize;
use snel_core::engine::{DensityEngine, SampleSet, Scored};
use snel_core::philox::Stream;
use snel_core::problem::AnyModel;
use snel_data::{DataError, ReadOptions, RowWriter, Source, open};

use crate::evaluate::{Estimate, WeightSummary, log_weights, warnings};
use crate::file::{FileError, write_atomically};
use crate::model_file::ModelFile;
use crate::run::RunError;
use crate::watch;

/// The side file of a score: what is needed to trust the densities.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ScoreSummary {
    /// Rows scored.
    pub rows: u64,
    /// Their mean log-density, original units.
    pub mean_log_density: f64,
    /// The log-normaliser that was subtracted.
    pub b: f64,
    /// Its estimate from fresh samples.
    pub log_z: Estimate,
    /// 95 % interval of `log Z`: densities with the exact normaliser differ by `b - log Z`.
    pub log_z_interval: [f64; 2],
    /// What was added for original units.
    pub log_det: f64,
    /// How evenly the samples carry the weight.
    pub weights: WeightSummary,
    /// What a reader must know.
    pub warnings: Vec<String>,
}

/// Why a file cannot be scored.
#[derive(Debug, thiserror::Error)]
pub enum ScoreError {
    /// The rows cannot be read, or the result not be written.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The side file cannot be written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The file has other columns than the model.
    #[error(
        "{} has neither the model's columns nor as many: {} are missing; it has {}",
        path.display(), missing.join(", "), found.join(", ")
    )]
    Columns {
        /// The file.
        path: PathBuf,
        /// Columns of the model that it lacks.
        missing: Vec<String>,
        /// Columns that it has.
        found: Vec<String>,
    },
}

/// The values as the engine takes them.
pub(crate) fn narrow(values: &[f64], columns: &[String]) -> Result<Vec<f32>, DataError> {
    let narrow = values.iter().map(|&value| value as f32).collect::<Vec<_>>();
    match narrow.iter().position(|value| !value.is_finite()) {
        None => Ok(narrow),
        Some(at) => {
            let column = columns[at % columns.len()].clone();
            Err(DataError::OutOfRange { column, value: values[at] })
        }
    }
}

/// Scores the rows of `data` and writes a column `log_density` to `out` (nats, original units),
/// and a [`ScoreSummary`] to `out` with `.json` appended.
///
/// # Errors
/// [`ScoreError`].
pub fn score_file(
    model: &ModelFile,
    engine: &dyn DensityEngine,
    data: &Path,
    out: &Path,
    samples: u64,
) -> Result<ScoreSummary, ScoreError> {
    let mut source = matching_source(data, &model.header.columns)?;
    let mut writer = RowWriter::create(out, &["log_density".to_owned()])?;
    let scales = &model.header.standardise;
    let b = f64::from(model.b());
    let offset = scales.log_det() - b;
    let (mut rows, mut sum) = (0, 0.0);
    let mut chunk = Vec::new();
    while source.next_chunk(&mut chunk)? > 0 {
        scales.apply(&mut chunk);
        let x = narrow(&chunk, &model.header.columns)?;
        let mut scored = vec![Scored::default(); x.len() / scales.dim()];
        engine.score(&x, &mut scored);
        let densities: Vec<f64> = scored.iter().map(|s| s.tilted() + offset).collect();
        rows += densities.len() as u64;
        sum += densities.iter().sum::<f64>();
        writer.push(&densities)?;
    }
    let set = SampleSet { stream: Stream::Evaluation, step: 0 };
    let (weights, not_finite) = log_weights(engine, scales.dim(), set, samples);
    let log_z = Estimate { value: weights.log_mean(), se: weights.relative_error() };
    let weights = WeightSummary::new(&weights, not_finite);
    let mut warnings = warnings(&weights, log_z.value - b);
    if let AnyModel::Density(shape) = &model.header.model {
        warnings.extend(watch::look(engine, &shape.energy).and_then(|watched| watched.warning()));
    }
    let summary = ScoreSummary {
        rows,
        mean_log_density: sum / rows as f64,
        b,
        log_z,
        log_z_interval: log_z.interval(),
        log_det: scales.log_det(),
        warnings,
        weights,
    };
    let mut side = out.as_os_str().to_owned();
    side.push(".json");
    let side = PathBuf::from(side);
    let json = serde_json::to_string_pretty(&summary)
        .map_err(|e| FileError::at("write", &side)(e.into()))?;
    writer.finish()?;
    write_atomically(&side, json.as_bytes())?;
    Ok(summary)
}

/// Opens `data` at the model's columns: by name if it has them all, else all of its columns if
/// they are as many.
fn matching_source(data: &Path, columns: &[String]) -> Result<Source, ScoreError> {
    let whole = open(data, &ReadOptions::default())?;
    let missing: Vec<String> =
        columns.iter().filter(|c| !whole.columns().contains(c)).cloned().collect();
    if missing.is_empty() {
        let named = ReadOptions { columns: columns.to_vec(), ..ReadOptions::default() };
        return Ok(open(data, &named)?);
    }
    if whole.dim() == columns.len() {
        return Ok(whole);
    }
    let found = whole.columns().to_vec();
    Err(ScoreError::Columns { path: data.to_path_buf(), missing, found })
}

impl From<ScoreError> for RunError {
    fn from(error: ScoreError) -> Self {
        match error {
            ScoreError::Data(error) => Self::Setup(error.into()),
            ScoreError::File(error) => Self::File(error),
            columns @ ScoreError::Columns { .. } => Self::Score(columns),
        }
    }
}
