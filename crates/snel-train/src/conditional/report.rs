//! `eval.json` of a conditional model.

use serde::{Deserialize, Serialize};
use snel_core::conditional::ConditionalEngine;
use snel_core::density::{Density, fit};
use snel_core::engine::SampleSet;
use snel_core::philox::Stream;
use snel_core::problem::Base;
use snel_core::rows::Rows;
use snel_data::Dataset;

use super::evaluate::{ConditionalEvaluation, evaluate};
use super::quadrature::{Quadrature, Truth, quadrature};
use super::rows::for_each_block;
use crate::config::{Config, Split};
use crate::eval_report::{Original, Yardstick, rows_of};
use crate::file::FileError;
use crate::model_file::ModelFile;
use crate::run::RunError;
use crate::setup::{columns_of, some_rows};

/// The final evaluation of a run of a conditional model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ConditionalReport {
    /// Name of the run.
    pub name: String,
    /// `train`, `valid` or `test`.
    pub split: Split,
    /// Steps the model had done.
    pub step: u64,
    /// Always `nats a row`.
    pub units: String,
    /// Likelihoods in standardised units, calibration in original ones.
    pub standardised: ConditionalEvaluation,
    /// What to add to a standardised log-density of the targets for the one in original units.
    pub log_det: f64,
    /// In original units.
    pub original: Original,
    /// The same by quadrature on some rows; none unless there is one target.
    pub quadrature: Option<Quadrature>,
    /// Mean log-likelihoods of simpler models on the same rows.
    pub yardsticks: Vec<Yardstick>,
    /// Fingerprint of the engine that evaluated.
    pub fingerprint: String,
}

/// Evaluates `model`, loaded in `engine`, as `[eval]` of the config says.
///
/// # Errors
/// [`RunError`] if rows cannot be read.
pub fn evaluate_run(
    config: &Config,
    dataset: &Dataset,
    model: &ModelFile,
    engine: &dyn ConditionalEngine,
) -> Result<ConditionalReport, RunError> {
    let inputs = engine.model().inputs;
    let header = &model.header;
    let rows = rows_of(dataset, config.eval.split);
    let scales = header.standardise.columns(inputs..header.columns.len());
    let log_det = scales.log_det();
    let set = SampleSet { stream: Stream::Evaluation, step: 0 };
    let samples = config.eval.samples;
    let evaluation = evaluate(engine, rows, set, samples, &header.columns[inputs..], &scales)?;
    // A toy's conditional density, in the model's units.
    let toy = dataset.toy.as_ref().filter(|toy| toy.targets() == engine.model().targets);
    let truth = |x: &[f32], y: &[f64]| {
        let mut row: Vec<f64> = x.iter().map(|&v| f64::from(v)).chain(y.iter().copied()).collect();
        header.standardise.invert(&mut row);
        toy.and_then(|toy| toy.conditional_log_density(&row)).unwrap_or(f64::NAN) - log_det
    };
    let of_one = |x: &[f32], y: f64| truth(x, &[y]);
    let known = toy.map(|_| &of_one as &Truth<'_>);
    let quadrature = quadrature(engine, rows, samples, known)?;

    let yardstick = |name: &str, standardised: f64| Yardstick {
        name: name.to_owned(),
        standardised,
        original: standardised + log_det,
    };
    let mut yardsticks = vec![yardstick("proposal", evaluation.proposal)];
    if let (Some(base), Base::Density(_)) = (evaluation.base, &engine.model().base) {
        yardsticks.push(yardstick("base density", base));
    }
    let fitted = some_rows(&*dataset.train, config.proposal.fit_rows, config.seed)?;
    let fitted = columns_of(&fitted, dataset.columns.len(), inputs);
    if let Ok(at) = fit::gaussian(&fitted, engine.model().targets) {
        let gaussian = Density::Gaussian { at };
        let mean = mean_over(rows, inputs, |_, y| gaussian.log_density(y))?;
        yardsticks.push(yardstick("one Gaussian for every x", mean));
    }
    if toy.is_some() {
        yardsticks.push(yardstick("true density", mean_over(rows, inputs, truth)?));
    }
    Ok(ConditionalReport {
        name: config.name.clone(),
        split: config.eval.split,
        step: header.step,
        units: "nats a row".to_owned(),
        log_det,
        original: Original::new(evaluation.lower, evaluation.upper, evaluation.interval, log_det),
        standardised: evaluation,
        quadrature,
        yardsticks,
        fingerprint: engine.fingerprint().to_string(),
    })
}

/// Mean of `log_density` over the rows.
fn mean_over(
    rows: &dyn Rows,
    inputs: usize,
    log_density: impl Fn(&[f32], &[f64]) -> f64,
) -> Result<f64, FileError> {
    let mut sum = 0.0;
    let targets = rows.dim() - inputs;
    for_each_block(rows, inputs, u64::MAX, |block| {
        for (x, y) in block.x.chunks(inputs).zip(block.y.chunks(targets)) {
            let y: Vec<f64> = y.iter().map(|&v| f64::from(v)).collect();
            sum += log_density(x, &y);
        }
    })?;
    Ok(sum / rows.len() as f64)
}
