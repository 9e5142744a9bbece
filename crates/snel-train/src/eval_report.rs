//! `eval.json`: the log-likelihood of a split in both units, with yardsticks.
//!
//! Standardised units are the model's; original units are the file's. A log-density in original
//! units is the standardised one plus `log_det`, minus the sum of the log standard deviations.

use serde::{Deserialize, Serialize};
use snel_core::density::Density;
use snel_core::density::fit;
use snel_core::engine::{DensityEngine, SampleSet};
use snel_core::philox::Stream;
use snel_core::problem::{AnyModel, Base};
use snel_core::rows::Rows;
use snel_data::Dataset;

use crate::config::{Config, Split};
use crate::evaluate::{Estimate, Evaluation, evaluate, evaluate_by, for_each_row_block};
use crate::file::FileError;
use crate::model_file::ModelFile;
use crate::run::RunError;
use crate::sample::{Annealed, Back};
use crate::setup::some_rows;
use crate::watch;

/// The final evaluation of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EvalReport {
    /// Name of the run.
    pub name: String,
    /// `train`, `valid` or `test`.
    pub split: Split,
    /// Steps the model had done.
    pub step: u64,
    /// Always `nats a row`.
    pub units: String,
    /// In standardised units.
    pub standardised: Evaluation,
    /// What to add to a standardised log-density for the one in original units.
    pub log_det: f64,
    /// In original units.
    pub original: Original,
    /// Mean log-likelihoods of simpler models on the same rows.
    pub yardsticks: Vec<Yardstick>,
    /// The same by annealed importance sampling, if it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annealed: Option<AnnealedReport>,
    /// The objective does not train `b`: it was refitted, `log Ẑ` of samples that neither trained nor
    /// evaluated.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub b_refitted: bool,
    /// Fingerprint of the engine that evaluated.
    pub fingerprint: String,
}

/// The bounds in original units; standard errors are those of the standardised ones.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Original {
    /// SNL lower bound.
    pub lower: f64,
    /// Importance-sampling upper bound.
    pub upper: f64,
    /// 95 % interval.
    pub interval: [f64; 2],
}

/// The evaluation with weights of annealed importance sampling.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AnnealedReport {
    /// Temperatures, `K`.
    pub temperatures: u32,
    /// Evaluations of the energy, by both ways and the search for step sizes.
    pub energies: u64,
    /// In standardised units.
    pub standardised: Evaluation,
    /// In original units.
    pub original: Original,
    /// `log Z` by the way back: a bound from above as far as its chains started in the model.
    pub back: Back,
}

impl Original {
    /// From the bounds in standardised units.
    pub(crate) fn new(lower: Estimate, upper: Estimate, interval: [f64; 2], log_det: f64) -> Self {
        Self {
            lower: lower.value + log_det,
            upper: upper.value + log_det,
            interval: interval.map(|v| v + log_det),
        }
    }

    fn of(evaluation: &Evaluation, log_det: f64) -> Self {
        Self::new(evaluation.lower, evaluation.upper, evaluation.interval, log_det)
    }
}

/// A simpler model's mean log-likelihood.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Yardstick {
    /// Which model.
    pub name: String,
    /// Nats a row, standardised units.
    pub standardised: f64,
    /// Nats a row, original units.
    pub original: f64,
}

/// The rows of a split.
pub fn rows_of(dataset: &Dataset, split: Split) -> &dyn Rows {
    match split {
        Split::Train => &*dataset.train,
        Split::Valid => &dataset.valid,
        Split::Test => &dataset.test,
    }
}

/// Evaluates `model`, loaded in `engine`, as `[eval]` of the config says.
///
/// # Errors
/// [`RunError`] if rows cannot be read.
pub fn evaluate_run(
    config: &Config,
    dataset: &Dataset,
    model: &ModelFile,
    engine: &dyn DensityEngine,
) -> Result<EvalReport, RunError> {
    let rows = rows_of(dataset, config.eval.split);
    let set = SampleSet { stream: Stream::Evaluation, step: 0 };
    let has_base = *model.header.model.base() != Base::None;
    let mut evaluation = evaluate(engine, rows, set, config.eval.samples, has_base)?;
    if let AnyModel::Density(shape) = &model.header.model {
        evaluation.warnings.extend(watch::look(engine, &shape.energy).and_then(|w| w.warning()));
    }
    let log_det = model.header.standardise.log_det();
    let original = Original::of(&evaluation, log_det);
    let yardstick = |name: &str, standardised: f64| Yardstick {
        name: name.to_owned(),
        standardised,
        original: standardised + log_det,
    };
    let mut yardsticks = vec![yardstick("proposal", evaluation.proposal)];
    if let (Some(base), Base::Density(_)) = (evaluation.base, model.header.model.base()) {
        yardsticks.push(yardstick("base density", base));
    }
    let fitted = some_rows(&*dataset.train, config.proposal.fit_rows, config.seed)?;
    // A yardstick that cannot be fitted is left out: columns may be dependent.
    if let Ok(at) = fit::gaussian(&fitted, rows.dim()) {
        let gaussian = Density::Gaussian { at };
        let mean = mean_over(engine, rows, |x| gaussian.log_density(x))?;
        yardsticks.push(yardstick("full-covariance Gaussian", mean));
    }
    if let Some(toy) = &dataset.toy {
        let scales = &model.header.standardise;
        let truth = mean_over(engine, rows, |x| {
            let mut x = x.to_vec();
            scales.invert(&mut x);
            toy.log_density(&x) - log_det
        })?;
        yardsticks.push(yardstick("true density", truth));
    }
    Ok(EvalReport {
        name: config.name.clone(),
        split: config.eval.split,
        step: model.header.step,
        units: "nats a row".to_owned(),
        standardised: evaluation,
        log_det,
        original,
        yardsticks,
        annealed: None,
        b_refitted: !model.header.objective.trains_b(),
        fingerprint: engine.fingerprint().to_string(),
    })
}

/// The evaluation of `model`, loaded in `engine`, on `rows` with the weights of `annealed`.
///
/// # Errors
/// [`RunError`] if rows cannot be read.
pub fn annealed_report(
    rows: &dyn Rows,
    model: &ModelFile,
    engine: &dyn DensityEngine,
    annealed: &Annealed,
) -> Result<AnnealedReport, RunError> {
    let Annealed { weights, not_finite, back, temperatures, energies } = *annealed;
    let has_base = *model.header.model.base() != Base::None;
    let mut standardised = evaluate_by(&weights, not_finite, engine, rows, has_base)?;
    standardised.warnings = annealed.warnings();
    let original = Original::of(&standardised, model.header.standardise.log_det());
    Ok(AnnealedReport { temperatures, energies, standardised, original, back })
}

/// Mean of `log_density` over the rows, given as f64 in the model's units.
fn mean_over(
    engine: &dyn DensityEngine,
    rows: &dyn Rows,
    log_density: impl Fn(&[f64]) -> f64,
) -> Result<f64, FileError> {
    let mut sum = 0.0;
    for_each_row_block(engine, rows, |x, _| {
        for row in x.chunks_exact(rows.dim()) {
            let row: Vec<f64> = row.iter().map(|&v| f64::from(v)).collect();
            sum += log_density(&row);
        }
    })?;
    Ok(sum / rows.len() as f64)
}
