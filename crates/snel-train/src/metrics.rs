//! What a run reports while it trains, and who listens.

use serde::{Deserialize, Serialize};
use snel_core::precision::EnergyError;
use snel_core::work::Work;

use crate::evaluate::Evaluation;

/// One line of `metrics.jsonl`. All likelihoods are nats a row in standardised units.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Record {
    /// Training steps since the record before.
    Step(StepRecord),
    /// A validation.
    Validation(ValidationRecord),
}

/// Averages over the steps since the record before; counts and times are totals.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepRecord {
    /// Steps done.
    pub step: u64,
    /// What weighted proposal samples say.
    #[serde(flatten)]
    pub weighed: Option<Weighed>,
    /// What chains say, where the objective has them instead.
    #[serde(flatten)]
    pub walked: Option<Walked>,
    /// Log-normaliser after the last step.
    pub b: f64,
    /// Norm of the energy's gradient, before clipping.
    pub gradient_norm: f64,
    /// Learning rate of the last step.
    pub lr: f64,
    /// Steps refused since the run began.
    pub refused: u64,
    /// Points a second at which the energy was evaluated.
    pub points_per_second: f64,
    /// Seconds of training since the run began or was resumed.
    pub seconds: f64,
}

/// What the proposal samples of training steps say; means over steps.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Weighed {
    /// Stochastic SNL bound on the minibatches.
    pub bound: f64,
    /// `b + log(mean weight)`: the samples' estimate of `log Z`.
    pub log_z: f64,
    /// Effective sample size as a fraction of the samples.
    pub ess_fraction: f64,
}

/// What the chains of training steps say; means over steps.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Walked {
    /// Mean of `log d - E` over the minibatch minus its mean over the chains. No likelihood.
    pub contrast: f64,
    /// Acceptance probability of a move.
    pub acceptance: f64,
    /// The same of the chains of posteriors, where there are any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub posterior_acceptance: Option<f64>,
    /// Step size of the chains.
    pub step_size: f64,
}

impl Weighed {
    /// `share` of `self` and the rest of `other`, value by value.
    #[must_use]
    pub fn mixed(&self, share: f64, other: &Self) -> Self {
        let mix = |a: f64, b: f64| share * a + (1.0 - share) * b;
        Self {
            bound: mix(self.bound, other.bound),
            log_z: mix(self.log_z, other.log_z),
            ess_fraction: mix(self.ess_fraction, other.ess_fraction),
        }
    }
}

impl Walked {
    /// `share` of `self` and the rest of `other`, value by value.
    #[must_use]
    pub fn mixed(&self, share: f64, other: &Self) -> Self {
        let mix = |a: f64, b: f64| share * a + (1.0 - share) * b;
        Self {
            contrast: mix(self.contrast, other.contrast),
            acceptance: mix(self.acceptance, other.acceptance),
            posterior_acceptance: self
                .posterior_acceptance
                .zip(other.posterior_acceptance)
                .map(|(mine, theirs)| mix(mine, theirs)),
            step_size: mix(self.step_size, other.step_size),
        }
    }
}

/// A validation in short.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ValidationRecord {
    /// Steps done.
    pub step: u64,
    /// Lower bound, SNL at the learned `b`.
    pub lower: f64,
    /// Upper bound, importance sampling.
    pub upper: f64,
    /// Effective sample size as a fraction of the samples.
    pub ess_fraction: f64,
    /// `log Ẑ` from fresh samples.
    pub log_z: f64,
    /// Learned log-normaliser.
    pub b: f64,
    /// The best lower bound so far.
    pub best: bool,
    /// 95 % interval of the mean log-likelihood, by the Monte-Carlo errors of both bounds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<[f64; 2]>,
    /// What the steps until here have cost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spent: Option<Spent>,
    /// Standard deviation of the error of energies, nats, where products are coarser than f32.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub energy_error: Option<f64>,
    /// What that error does to `log Ẑ`, nats.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_z_error: Option<f64>,
}

/// The budget ledger of a run: what its steps have cost. Validations, checkpoints and the final
/// evaluation are not in it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Spent {
    /// Evaluations since step 0, of all workers.
    #[serde(flatten)]
    pub work: Work,
    /// Seconds since the run began or was resumed.
    pub seconds: f64,
}

/// What a validation of any kind of model comes to; of a conditional one, means over the rows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Validation {
    /// Lower bound, SNL at the learned `b`.
    pub lower: f64,
    /// Upper bound, importance sampling.
    pub upper: f64,
    /// From the lower bound to the upper one, both moved outwards by 1.96 standard errors.
    pub interval: [f64; 2],
    /// Effective sample size as a fraction of the samples.
    pub ess_fraction: f64,
    /// `log Ẑ` from fresh samples.
    pub log_z: f64,
    /// Learned log-normaliser.
    pub b: f64,
}

impl From<&Evaluation> for Validation {
    fn from(evaluation: &Evaluation) -> Self {
        Self {
            lower: evaluation.lower.value,
            upper: evaluation.upper.value,
            interval: evaluation.interval,
            ess_fraction: evaluation.weights.ess_fraction,
            log_z: evaluation.log_z.value,
            b: evaluation.b,
        }
    }
}

impl ValidationRecord {
    /// The record of `validation` after `step` steps, which have cost `spent`. `error` is that of the
    /// energies, where it is watched.
    pub fn new(
        step: u64,
        validation: &Validation,
        best: bool,
        spent: Spent,
        error: Option<EnergyError>,
    ) -> Self {
        let Validation { lower, upper, interval, ess_fraction, log_z, b } = *validation;
        Self {
            step,
            lower,
            upper,
            ess_fraction,
            log_z,
            b,
            best,
            interval: Some(interval),
            spent: Some(spent),
            energy_error: error.map(|error| error.spread),
            log_z_error: error.map(|error| error.log_z),
        }
    }
}

impl Record {
    /// Steps done when the record was made.
    pub fn step(&self) -> u64 {
        match self {
            Self::Step(r) => r.step,
            Self::Validation(r) => r.step,
        }
    }
}

/// Averages steps into records.
#[derive(Debug, Default)]
pub struct Averager {
    steps: f64,
    weighed: Option<Weighed>,
    walked: Option<Walked>,
    gradient_norm: f64,
    points: f64,
    seconds: f64,
}

/// One applied step, as the averager wants it.
#[derive(Debug, Clone, Copy)]
pub struct StepSample {
    /// What its proposal samples say, if it weighs any.
    pub weighed: Option<Weighed>,
    /// What its chains say, if it has any.
    pub walked: Option<Walked>,
    /// Norm of the energy's gradient.
    pub gradient_norm: f64,
    /// Points at which the energy was evaluated.
    pub points: f64,
    /// Duration.
    pub seconds: f64,
}

impl Averager {
    /// Adds a step.
    pub fn add(&mut self, s: StepSample) {
        let old = self.steps / (self.steps + 1.0);
        self.steps += 1.0;
        let (weighed, walked) = (self.weighed, self.walked);
        self.weighed = s.weighed.map(|new| weighed.map_or(new, |before| before.mixed(old, &new)));
        self.walked = s.walked.map(|new| walked.map_or(new, |before| before.mixed(old, &new)));
        self.gradient_norm += s.gradient_norm;
        self.points += s.points;
        self.seconds += s.seconds;
    }

    /// The averages as a record, or none if no step was added; starts anew.
    pub fn take(
        &mut self,
        step: u64,
        b: f64,
        lr: f64,
        refused: u64,
        seconds: f64,
    ) -> Option<StepRecord> {
        let Self { steps, weighed, walked, gradient_norm, points, seconds: busy } =
            std::mem::take(self);
        (steps > 0.0).then(|| StepRecord {
            step,
            weighed,
            walked,
            b,
            gradient_norm: gradient_norm / steps,
            lr,
            refused,
            points_per_second: points / busy.max(1e-9),
            seconds,
        })
    }
}
