//! The training loop.
//!
//! A step is plan, accumulate, reduce, apply; everything else happens once in a while. Where an
//! engine can, it makes several steps before it is heard of again; records, refusals and signs of
//! divergence are then gone through step by step. All that the next step depends on is in the
//! engine's state and in [`Progress`], and both are in every checkpoint: stopping and resuming changes
//! no bit.
//!
//! Fails with [`TrainError`]; whatever the failure, the newest checkpoint is whole and on disk.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use snel_core::collective::{Collective, CollectiveError};
use snel_core::engine::{Engine, EngineError, Head, StepOutcome, Update};
use snel_core::partial::StepError;
use snel_core::plan::Batching;
use snel_core::precision::EnergyError;
use snel_core::problem::{AnyModel, Problem};
use snel_core::rows::Rows;
use snel_core::step::{advance, room_for};

use crate::checkpoint::{Checkpoint, Progress};
use crate::config::Train;
use crate::divergence::{self, Divergence};
use crate::file::FileError;
use crate::metrics::{Averager, Record, Spent, StepSample, ValidationRecord, Walked, Weighed};
use crate::model_file::{ModelFile, ModelHeader};
use crate::pace::Pace;
use crate::sink::{Live, Sink};
use crate::store::{Store, StoreError};
use crate::trainee::Trainee;
use crate::watch::Watch;

/// Records of training steps in a whole run, about.
const RECORDS: u64 = 2000;
/// Samples that give `b` its first value, at least.
const START_SAMPLES: u64 = 4096;

/// What is said of an objective that does not train `b`.
const B_IS_REFITTED: &str = "b is refitted: the objective does not train it; validations and the model have \
     b = log Z as samples of their own estimate it";

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// All steps are done.
    Finished,
    /// Validation did not improve for `train.patience` validations.
    StoppedEarly,
    /// The user asked to stop; a checkpoint of this step is on disk.
    Interrupted {
        /// Steps done.
        step: u64,
    },
}

/// Why a run cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// Training went wrong.
    #[error("training diverged at step {step}")]
    Diverged {
        /// Steps done.
        step: u64,
        /// What happened.
        source: Divergence,
    },
    /// A checkpoint or model cannot be kept.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Metrics cannot be written, or rows not be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// The engine failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The group failed.
    #[error(transparent)]
    Collective(#[from] CollectiveError),
    /// The proposal's samples give no first value of `b`.
    #[error("no usable log-weight among {0} samples of the proposal")]
    NoStart(u64),
    /// The bound was never finite, so there is no best model, and the last one is worth nothing.
    #[error("no model to keep: the bound on the validation rows was never finite")]
    NoModel,
}

/// A run in progress.
pub struct Trainer<'a> {
    /// What is trained.
    pub problem: Arc<Problem<AnyModel>>,
    /// The work of a step.
    pub batching: Batching,
    /// Who computes.
    pub engine: &'a mut dyn Trainee,
    /// Who shares the work.
    pub collective: &'a mut dyn Collective,
    /// Rows that choose the best model.
    pub valid: &'a dyn Rows,
    /// `[train]` of the config.
    pub settings: Train,
    /// Where state is kept.
    pub store: &'a mut dyn Store,
    /// What a model file says besides the parameters; `step` is filled in.
    pub header: ModelHeader,
    /// State besides the engine's.
    pub progress: Progress,
    /// Who listens.
    pub sinks: Vec<Box<dyn Sink>>,
    /// Set from outside to stop after the steps in work.
    pub stop: &'a AtomicBool,
}

impl Trainer<'_> {
    /// Trains to the end, or until something stops it.
    ///
    /// # Errors
    /// [`TrainError`].
    pub fn run(&mut self) -> Result<Outcome, TrainError> {
        let steps = self.settings.steps;
        let record_every = (steps / RECORDS).max(1);
        let mut averager = Averager::default();
        let started = Instant::now();
        if self.head().step == 0 {
            let samples = START_SAMPLES.max(self.settings.samples.min(1 << 16));
            if !self.fit_b(samples)? {
                return Err(TrainError::NoStart(samples));
            }
        }
        if !self.problem.objective.trains_b() {
            self.note(B_IS_REFITTED);
        }
        let mut saved = self.head().step;
        let mut lr = 0.0;
        let mut partial = room_for(&self.problem);
        let (mut pace, mut outcomes) = (Pace::default(), Vec::new());
        let mut watch = Watch::default();
        // Of steps alone, for the ledger.
        let mut busy = 0.0;
        self.watch(&mut watch);
        // A run that had stopped early has not lost patience less by being resumed.
        if self.out_of_patience() {
            return Ok(Outcome::StoppedEarly);
        }
        while self.head().step < steps {
            self.boundary()?;
            let before = Instant::now();
            let head_before = self.head();
            let asked = pace.steps().min(self.undisturbed_steps());
            let Self { engine, collective, batching, .. } = self;
            let (engine, collective) = (engine.engine_mut(), &mut **collective);
            match advance(engine, collective, batching, asked, &mut partial, &mut outcomes) {
                Err(CollectiveError::Stopped) => {
                    self.save()?;
                    return Ok(Outcome::Interrupted { step: self.head().step });
                }
                done => done?,
            }
            let elapsed = before.elapsed();
            pace.took(elapsed);
            busy += elapsed.as_secs_f64();
            let seconds = elapsed.as_secs_f64() / outcomes.len() as f64;
            // Of one step, where there are chains.
            let step_size = head_before.step_size;
            for (i, outcome) in outcomes.drain(..).enumerate() {
                let StepOutcome { b, head, result } = outcome;
                match result {
                    Ok(update) => {
                        lr = update.applied.lr;
                        let sample = self.sample(&update, f64::from(b), step_size, seconds);
                        self.live(head.step, &sample);
                        averager.add(sample);
                        divergence::after_step(&mut self.progress.streaks, &update.statistics)
                            .map_err(|source| TrainError::Diverged { step: head.step, source })?;
                    }
                    Err(error) => self.refused(head.step - 1, error)?,
                }
                if head.step.is_multiple_of(record_every) || head.step == steps {
                    let refused = self.progress.refused;
                    let at = (before - started).as_secs_f64() + seconds * (i + 1) as f64;
                    if let Some(r) = averager.take(head.step, f64::from(head.b), lr, refused, at) {
                        self.record(&Record::Step(r))?;
                    }
                }
            }
            let head = self.head();
            let mut exhausted = false;
            if head.step.is_multiple_of(self.settings.valid_every) || head.step == steps {
                exhausted = self.validate(&mut watch, busy)?;
            }
            let stop = self.stop.load(Ordering::Relaxed);
            let last = exhausted || head.step == steps;
            if last || stop || head.step.is_multiple_of(self.settings.checkpoint_every) {
                self.save()?;
                saved = head.step;
            }
            if stop && !last {
                return Ok(Outcome::Interrupted { step: head.step });
            }
            if exhausted {
                return Ok(Outcome::StoppedEarly);
            }
        }
        // A run of zero steps, or one resumed at its end, still leaves a model.
        if saved == 0 || !self.store.has_best() {
            self.validate(&mut watch, busy)?;
            self.save()?;
        }
        Ok(Outcome::Finished)
    }

    /// Steps up to the next one after which more happens than a record.
    fn undisturbed_steps(&self) -> u64 {
        let Train { steps, valid_every, checkpoint_every, .. } = self.settings;
        let step = self.head().step;
        let until = |every: u64| step.checked_rem(every).map_or(u64::MAX, |done| every - done);
        until(valid_every).min(until(checkpoint_every)).min(steps - step)
    }

    /// Notes that step `step` was refused.
    fn refused(&mut self, step: u64, error: StepError) -> Result<(), TrainError> {
        self.progress.refused += 1;
        self.note(&format!("step {step} refused, parameters unchanged: {error}"));
        divergence::after_refusal(&mut self.progress.streaks, error)
            .map_err(|source| TrainError::Diverged { step, source })
    }

    /// `b := log Ẑ` from `samples` samples of their own. False, and `b` is as it was, if they give none.
    fn fit_b(&mut self, samples: u64) -> Result<bool, TrainError> {
        let step = self.head().step;
        let log_z = self.engine.fit_b(&self.problem, self.valid, step, samples)?;
        if log_z.is_finite() {
            self.engine.engine_mut().set_b(log_z as f32);
        }
        Ok(log_z.is_finite())
    }

    /// Evaluates on the validation rows and keeps the best model. True if patience is exhausted. The
    /// steps so far took `seconds`.
    fn validate(&mut self, watch: &mut Watch, seconds: f64) -> Result<bool, TrainError> {
        let samples = self.settings.valid_samples;
        if !self.problem.objective.trains_b() {
            // Samples that give no value give no finite bound either.
            self.fit_b(samples)?;
        }
        let validation = self.engine.validate(&self.problem, self.valid, samples)?;
        let step = self.head().step;
        let lower = validation.lower;
        let best = lower.is_finite() && self.progress.best.is_none_or(|best| lower > best);
        if best {
            self.progress.best = Some(lower);
            self.progress.best_step = step;
            self.progress.since_best = 0;
            let model = self.model();
            self.store.save_best(&model)?;
        } else {
            self.progress.since_best += 1;
        }
        let error = self.watch(watch);
        let spent = Spent { work: self.problem.work(&self.batching).times(step), seconds };
        let record = ValidationRecord::new(step, &validation, best, spent, error);
        self.record(&Record::Validation(record))?;
        if validation.ess_fraction < self.settings.min_ess {
            self.note(&format!(
                "step {step}: only {:.2e} of the validation samples are effective (train.min_ess \
                 = {:.0e}); the proposal is far from the model",
                validation.ess_fraction, self.settings.min_ess
            ));
        }
        Ok(self.out_of_patience())
    }

    /// The error of coarse products, if they are; a note of it if it is large.
    fn watch(&mut self, watch: &mut Watch) -> Option<EnergyError> {
        let watched = self.engine.watched(&self.problem)?;
        if let Some(warning) = watch.hear(&watched) {
            self.note(&format!("step {}: {warning}", self.head().step));
        }
        Some(watched.error)
    }

    fn head(&self) -> Head {
        self.engine.engine().head()
    }

    fn out_of_patience(&self) -> bool {
        self.settings.patience.is_some_and(|patience| self.progress.since_best >= patience)
    }

    /// The current parameters as a model file.
    pub fn model(&self) -> ModelFile {
        let state = self.engine.engine().snapshot();
        let header = ModelHeader { step: state.step, ..self.header.clone() };
        ModelFile { header, parameters: state.parameters.into() }
    }

    fn save(&mut self) -> Result<(), TrainError> {
        let checkpoint =
            checkpoint(self.engine.engine(), &self.progress, &self.problem, &self.header);
        Ok(self.store.save(&checkpoint)?)
    }

    fn boundary(&mut self) -> Result<(), TrainError> {
        let Self { engine, progress, problem, header, store, .. } = self;
        Ok(store.boundary(&|| checkpoint(engine.engine(), progress, problem, header))?)
    }

    fn record(&mut self, record: &Record) -> Result<(), TrainError> {
        for sink in &mut self.sinks {
            sink.record(record)?;
        }
        Ok(())
    }

    fn note(&mut self, text: &str) {
        self.sinks.iter_mut().for_each(|sink| sink.note(text));
    }

    /// What a step that took `seconds`, at log-normaliser `b` and with that step size of chains, adds to
    /// the record.
    fn sample(&self, update: &Update, b: f64, step_size: f64, seconds: f64) -> StepSample {
        let s = &update.statistics;
        let (weighed, walked) = if self.problem.objective.mcmc().is_some() {
            let (contrast, acceptance) = (s.contrast(), s.acceptance());
            let posterior_acceptance = s.posterior_acceptance();
            (None, Some(Walked { contrast, acceptance, posterior_acceptance, step_size }))
        } else {
            let (bound, log_z) = (s.bound(b), b + s.residual());
            (Some(Weighed { bound, log_z, ess_fraction: s.ess_fraction() }), None)
        };
        let gradient_norm = update.applied.gradient_norm;
        let points = self.problem.work(&self.batching).energies as f64;
        StepSample { weighed, walked, gradient_norm, points, seconds }
    }

    fn live(&mut self, step: u64, sample: &StepSample) {
        let live = Live {
            step,
            steps: self.settings.steps,
            weighed: sample.weighed,
            walked: sample.walked,
            points_per_second: sample.points / sample.seconds.max(1e-9),
        };
        self.sinks.iter_mut().for_each(|sink| sink.live(&live));
    }
}

/// All that a run needs to go on from here.
fn checkpoint(
    engine: &dyn Engine,
    progress: &Progress,
    problem: &Problem<AnyModel>,
    header: &ModelHeader,
) -> Checkpoint {
    Checkpoint {
        state: engine.snapshot(),
        progress: progress.clone(),
        model: problem.model.clone(),
        fingerprint: header.fingerprint.clone(),
    }
}

#[cfg(test)]
mod tests;
