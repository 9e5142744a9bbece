//! `eval.json` of a variational auto-encoder.

use serde::{Deserialize, Serialize};
use snel_core::engine::SampleSet;
use snel_core::philox::Stream;
use snel_core::rows::Rows;
use snel_core::vae::{Likelihood, VaeEngine};
use snel_data::Dataset;

use super::evaluate::{Normaliser, for_each_row};
use crate::config::{Config, Split};
use crate::eval_report::rows_of;
use crate::evaluate::{Estimate, WeightSummary, log_weights, warnings};
use crate::file::FileError;
use crate::model_file::ModelFile;
use crate::run::RunError;

/// Effective samples of a row below which its importance-weighted bound is loose.
const MIN_ESS: f64 = 2.0;

/// The final evaluation of a run of a variational auto-encoder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VaeReport {
    /// Name of the run.
    pub name: String,
    /// `train`, `valid` or `test`.
    pub split: Split,
    /// Steps the model had done.
    pub step: u64,
    /// Always `nats a row`.
    pub units: String,
    /// In the model's units.
    pub evaluation: VaeEvaluation,
    /// What to add to a log-density in the model's units for one in original units; none for a
    /// Bernoulli likelihood, which gives probabilities.
    pub log_det: Option<f64>,
    /// The objective does not train `b`: it was refitted, `log Ẑ` of samples that neither trained nor
    /// evaluated.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub b_refitted: bool,
    /// Fingerprint of the engine that evaluated.
    pub fingerprint: String,
}

/// Bounds on one split, nats a row. Standard errors are Monte-Carlo errors: of the samples of
/// `q(z|x)` and of the prior's normaliser.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VaeEvaluation {
    /// Rows of the split.
    pub rows: u64,
    /// Samples of `q(z|x)` for each row, `K`.
    pub posterior_samples: u64,
    /// SNELBO at the learned `b`: below the log-likelihood in expectation.
    pub snelbo: Estimate,
    /// The same with `log Ẑ` for `b`, the ELBO in the limit of many samples of the prior; no bound.
    pub elbo: Estimate,
    /// The importance-weighted bound at the learned `b`: below the log-likelihood in expectation, and
    /// above SNELBO.
    pub importance: Estimate,
    /// The same with `log Ẑ` for `b`: tends to the log-likelihood with more samples of both kinds; no
    /// bound.
    pub log_likelihood: Estimate,
    /// Standard error of the mean SNELBO over rows: how much another split of this size would differ.
    /// NaN, `null` in JSON, for a single row.
    pub rows_se: f64,
    /// The same of the importance-weighted bound.
    pub importance_rows_se: f64,
    /// Mean of `log p(x|z)`.
    pub reconstruction: f64,
    /// Mean of `KL(q(z|x) || d)`.
    pub divergence: f64,
    /// Mean of `E(z)`.
    pub energy: f64,
    /// Learned log-normaliser of the prior.
    pub b: f64,
    /// `log Ẑ` of the prior.
    pub log_z: Estimate,
    /// `b - log Ẑ`, with the standard error of `log Ẑ`.
    pub b_minus_log_z: Estimate,
    /// How evenly the samples of the prior carry the weight.
    pub weights: WeightSummary,
    /// Mean effective number of a row's samples.
    pub posterior_ess: f64,
    /// That of the row that has the fewest.
    pub least_posterior_ess: f64,
    /// What a reader must know before believing the numbers.
    pub warnings: Vec<String>,
}

/// A sum over rows of values with errors of their own.
#[derive(Default)]
struct Sum {
    values: f64,
    squares: f64,
    variances: f64,
}

impl Sum {
    fn add(&mut self, value: f64, se: f64) {
        self.values += value;
        self.squares += value * value;
        self.variances += se * se;
    }

    fn mean(&self, n: f64) -> Estimate {
        Estimate { value: self.values / n, se: self.variances.sqrt() / n }
    }

    fn rows_se(&self, n: f64) -> f64 {
        let mean = self.values / n;
        ((self.squares / n - mean * mean).max(0.0) / (n - 1.0)).sqrt()
    }
}

/// Evaluates on `rows` with `samples` samples of the prior and `posterior` of each row.
///
/// # Errors
/// A read error of the rows.
pub(super) fn evaluate(
    engine: &dyn VaeEngine,
    rows: &dyn Rows,
    stream: Stream,
    samples: u64,
    posterior: u64,
) -> Result<VaeEvaluation, FileError> {
    let (mut elbo, mut importance) = (Sum::default(), Sum::default());
    let (mut reconstruction, mut divergence, mut energy) = (0.0, 0.0, 0.0);
    let (mut ess, mut least_ess, mut n) = (0.0, f64::INFINITY, 0.0);
    for_each_row(engine, rows, SampleSet { stream, step: 1 }, posterior, |row| {
        elbo.add(row.elbo(), row.se);
        importance.add(row.importance, row.importance_se);
        reconstruction += row.reconstruction;
        divergence += row.divergence;
        energy += row.energy;
        ess += row.ess;
        least_ess = row.ess.min(least_ess);
        n += 1.0;
    })?;
    let latent = engine.model().latent();
    let set = SampleSet { stream, step: 0 };
    let (weights, not_finite) = log_weights(engine, latent, set, samples);
    let Normaliser { b, log_z, at_b } = Normaliser::new(&weights, f64::from(engine.head().b));
    let residual = log_z.value - b;
    let weights = WeightSummary::new(&weights, not_finite);
    let mut warnings = warnings(&weights, residual);
    if ess / n < MIN_ESS {
        warnings.push(format!(
            "of {posterior} samples of q(z|x) only {:.1} are effective on average: the \
             importance-weighted bound is not much tighter than SNELBO",
            ess / n
        ));
    }
    let (of_elbo, of_importance) = (elbo.mean(n), importance.mean(n));
    Ok(VaeEvaluation {
        rows: n as u64,
        posterior_samples: posterior,
        snelbo: of_elbo.minus(&at_b),
        elbo: of_elbo.minus(&log_z),
        importance: of_importance.minus(&at_b),
        log_likelihood: of_importance.minus(&log_z),
        rows_se: elbo.rows_se(n),
        importance_rows_se: importance.rows_se(n),
        reconstruction: reconstruction / n,
        divergence: divergence / n,
        energy: energy / n,
        b,
        log_z,
        b_minus_log_z: Estimate { value: -residual, se: log_z.se },
        weights,
        posterior_ess: ess / n,
        least_posterior_ess: least_ess,
        warnings,
    })
}

/// Evaluates `model`, loaded in `engine`, as `[eval]` of the config says.
///
/// # Errors
/// [`RunError`] if rows cannot be read.
pub fn evaluate_run(
    config: &Config,
    dataset: &Dataset,
    model: &ModelFile,
    engine: &dyn VaeEngine,
) -> Result<VaeReport, RunError> {
    let rows = rows_of(dataset, config.eval.split);
    let posterior = config.eval.posterior_samples.unwrap_or(1);
    let evaluation = evaluate(engine, rows, Stream::Evaluation, config.eval.samples, posterior)?;
    let is_density = engine.model().likelihood != Likelihood::Bernoulli;
    Ok(VaeReport {
        name: config.name.clone(),
        split: config.eval.split,
        step: model.header.step,
        units: "nats a row".to_owned(),
        evaluation,
        log_det: is_density.then(|| model.header.standardise.log_det()),
        b_refitted: !model.header.objective.trains_b(),
        fingerprint: engine.fingerprint().to_string(),
    })
}
