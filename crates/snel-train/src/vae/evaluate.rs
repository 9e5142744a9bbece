//! How well a variational auto-encoder explains rows, as bounds.
//!
//! Of a row, `K` samples of `q(z|x)` give the parts of `ELBO = E_q[log p(x|z)] - KL(q || d) - E_q[E]`
//! and the importance-weighted `log mean exp(log p(x|z) + log d - E - log q)` (Burda, Grosse,
//! Salakhutdinov 2016). Both leave out the normaliser of the prior, which is the same for all rows.
//! Subtracting `b + exp(-b) Ẑ - 1`, whose mean is at least `log Z`, makes of each a number whose mean
//! is at most `log p(x)`: SNELBO, and the importance-weighted bound. Subtracting `log Ẑ`, whose mean
//! is at most `log Z`, gives no bound: as `K` and the samples of the prior grow it becomes
//! `log p(x)` itself.

use snel_core::engine::SampleSet;
use snel_core::lse::LogWeights;
use snel_core::rows::Rows;
use snel_core::vae::{LatentBase, LatentScored, VaeEngine};

use crate::evaluate::{Estimate, for_each_rows, log_weights};
use crate::file::FileError;
use crate::metrics::Validation;

/// Samples of `q(z|x)` that are scored at once, about.
const AT_ONCE: usize = 1 << 16;

/// What one row comes to, without the normaliser of the prior, nats.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct RowParts {
    /// Mean of `log p(x|z)`.
    pub(super) reconstruction: f64,
    /// `KL(q(z|x) || d)`.
    pub(super) divergence: f64,
    /// Mean of `E(z)`.
    pub(super) energy: f64,
    /// Standard error of the three together, by the samples of the row.
    pub(super) se: f64,
    /// The importance-weighted bound.
    pub(super) importance: f64,
    /// Its standard error, by the samples of the row.
    pub(super) importance_se: f64,
    /// Effective samples among those of the row.
    pub(super) ess: f64,
}

impl RowParts {
    /// ELBO without the normaliser.
    pub(super) fn elbo(&self) -> f64 {
        self.reconstruction - self.divergence - self.energy
    }

    /// Of a row with the samples `scored`, and the exact divergence if there is a formula for it.
    fn new(scored: &[LatentScored], divergence: Option<f64>) -> Self {
        let n = scored.len() as f64;
        let mean = |f: &dyn Fn(&LatentScored) -> f64| scored.iter().map(f).sum::<f64>() / n;
        let log_ratio = |s: &LatentScored| f64::from(s.log_posterior) - f64::from(s.log_base);
        // With a formula for the divergence, its samples are no part of the error.
        let varying = |s: &LatentScored| match divergence {
            Some(_) => f64::from(s.log_likelihood) - f64::from(s.energy),
            None => s.log_weight(),
        };
        let centre = mean(&varying);
        let variance = mean(&|s| (varying(s) - centre).powi(2));
        let mut weights = LogWeights::default();
        scored.iter().for_each(|s| {
            weights.add(s.log_weight());
        });
        Self {
            reconstruction: mean(&|s| f64::from(s.log_likelihood)),
            divergence: divergence.unwrap_or_else(|| mean(&log_ratio)),
            energy: mean(&|s| f64::from(s.energy)),
            se: (variance / (n - 1.0).max(1.0)).sqrt(),
            importance: weights.log_mean(),
            importance_se: weights.relative_error(),
            ess: weights.ess(),
        }
    }
}

/// Calls `visit` with what each row comes to, in order, by `samples` samples of `q(z|x)` each.
///
/// # Errors
/// A read error of the rows.
pub(super) fn for_each_row(
    engine: &dyn VaeEngine,
    rows: &dyn Rows,
    set: SampleSet,
    samples: u64,
    mut visit: impl FnMut(RowParts),
) -> Result<(), FileError> {
    let model = engine.model();
    let (latent, k) = (model.latent(), samples as usize);
    let at_once = (AT_ONCE / k).max(1);
    for_each_rows(rows, u64::MAX, |first, x| {
        for (block, x) in x.chunks(at_once * model.inputs).enumerate() {
            let n = x.len() / model.inputs;
            let mut scored = vec![LatentScored::default(); n * k];
            let number = (first + (block * at_once) as u64) * samples;
            engine.score_latents(set, number, x, &mut scored);
            let (mut means, mut deviations) = (vec![0.0; n * latent], vec![0.0; n * latent]);
            if model.base == LatentBase::Normal {
                engine.encode(x, &mut means, &mut deviations);
            }
            for (i, scored) in scored.chunks(k).enumerate() {
                let exact = (model.base == LatentBase::Normal).then(|| {
                    let of = i * latent..(i + 1) * latent;
                    divergence(&means[of.clone()], &deviations[of])
                });
                visit(RowParts::new(scored, exact));
            }
        }
    })
}

/// `KL(q || standard normal)` of a diagonal Gaussian.
fn divergence(means: &[f32], deviations: &[f32]) -> f64 {
    let term = |(mean, sd): (&f32, &f32)| {
        let (mean, sd) = (f64::from(*mean), f64::from(*sd));
        0.5 * (mean * mean + sd * sd - 1.0) - sd.ln()
    };
    means.iter().zip(deviations).map(term).sum()
}

/// Two estimates of the logarithm of the prior's normaliser.
pub(super) struct Normaliser {
    /// The learned one.
    pub(super) b: f64,
    /// `log Ẑ`.
    pub(super) log_z: Estimate,
    /// `b + exp(-b) Ẑ - 1`, whose mean is at least `log Z`.
    pub(super) at_b: Estimate,
}

impl Normaliser {
    pub(super) fn new(weights: &LogWeights, b: f64) -> Self {
        let log_z = Estimate { value: weights.log_mean(), se: weights.relative_error() };
        let mean_weight = (log_z.value - b).exp();
        let at_b = Estimate { value: b + mean_weight - 1.0, se: mean_weight * log_z.se };
        Self { b, log_z, at_b }
    }
}

/// SNELBO in short, as an interval of the prior's normaliser: `lower` with `b`, a bound in
/// expectation, `upper` with `log Ẑ`. Rows have as many samples as in training; of a single one the
/// error is not known and counts as none.
///
/// # Errors
/// A read error of the rows.
pub fn validate(
    engine: &dyn VaeEngine,
    rows: &dyn Rows,
    set: SampleSet,
    samples: u64,
) -> Result<Validation, FileError> {
    let model = engine.model();
    let (mut elbo, mut variance, mut count) = (0.0, 0.0, 0.0);
    let noise = SampleSet { step: set.step + 1, ..set };
    for_each_row(engine, rows, noise, model.posterior_samples, |row| {
        elbo += row.elbo();
        variance += row.se * row.se;
        count += 1.0;
    })?;
    let of_rows = Estimate { value: elbo / count, se: f64::sqrt(variance) / count };
    let (weights, not_finite) = log_weights(engine, model.latent(), set, samples);
    let normaliser = Normaliser::new(&weights, f64::from(engine.head().b));
    let (lower, upper) = (of_rows.minus(&normaliser.at_b), of_rows.minus(&normaliser.log_z));
    Ok(Validation {
        lower: lower.value,
        upper: upper.value,
        interval: Estimate::between(&lower, &upper),
        ess_fraction: weights.ess() / (weights.count() + not_finite) as f64,
        log_z: normaliser.log_z.value,
        b: normaliser.b,
    })
}
