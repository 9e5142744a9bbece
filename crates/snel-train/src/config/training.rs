//! `[optim]` and `[train]`: how a step moves, how many there are.

use serde::{Deserialize, Serialize};

use super::check::{Check, MOST};

/// `b` must follow what the energy does to `log Z`, so it moves faster than a weight.
const DEFAULT_B_LR_RATIO: f64 = 5.0;
/// An Adam step moves a parameter by about its learning rate, and `f32` must hold the result.
const MOST_LR: f64 = 1e3;
const DEFAULT_WEIGHT_DECAY: f64 = 1e-2;
const DEFAULT_STEP_FACTOR: f64 = 0.1;

/// The optimiser. Keys that the algorithm or the schedule does not use are unset.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Optim {
    /// The update rule.
    pub algorithm: Algorithm,
    /// Learning rate, above 0, at most 1000.
    pub lr: f64,
    /// Learning rate of the log-normaliser b, above 0, at most 1000. Default: 5 times `lr`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub b_lr: Option<f64>,
    /// Learning rate of the energy, above 0, at most 1000. Default: a twentieth of `lr`; vae only, where
    /// `lr` is that of encoder and decoder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub energy_lr: Option<f64>,
    /// Decoupled weight decay, times the learning rate; never applied to b.
    /// Default 1e-2; adamw only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight_decay: Option<f64>,
    /// Decay of the mean of gradients, from 0 and below 1.
    pub beta1: f64,
    /// Decay of the mean of squared gradients, from 0 and below 1.
    pub beta2: f64,
    /// Added to the root of the mean square, above 0.
    pub epsilon: f64,
    /// Longest gradient of the energy, Euclidean norm over all its parameters; `inf` for no limit.
    /// A single heavy sample can make a gradient a thousand times longer than usual.
    pub clip_norm: f64,
    /// How the learning rates change over the run, after `warmup`.
    pub schedule: Schedule,
    /// Steps over which the learning rates rise linearly from 0.
    pub warmup: u64,
    /// Learning rate at the last step, as a share of `lr`. Default 0; cosine only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub final_lr_ratio: Option<f64>,
    /// Steps between two falls. Default: a third of `train.steps`; step only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step_every: Option<u64>,
    /// Factor of each fall. Above 0 and at most 1, default 0.1; step only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step_factor: Option<f64>,
}

impl Default for Optim {
    fn default() -> Self {
        Self {
            algorithm: Algorithm::Adamw,
            lr: 1e-3,
            b_lr: None,
            energy_lr: None,
            weight_decay: None,
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            clip_norm: 10.0,
            schedule: Schedule::Cosine,
            warmup: 0,
            final_lr_ratio: None,
            step_every: None,
            step_factor: None,
        }
    }
}

/// The update rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Algorithm {
    /// Kingma & Ba 2015.
    Adam,
    /// Adam with decoupled weight decay (Loshchilov & Hutter 2019).
    Adamw,
}

/// How the learning rates change over a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Schedule {
    /// Not at all.
    Constant,
    /// Half a cosine from `lr` down to `final_lr_ratio * lr` at the last step.
    Cosine,
    /// Times `step_factor` every `step_every` steps.
    Step,
}

impl Optim {
    /// Learning rate of b.
    pub fn b_lr(&self) -> f64 {
        self.b_lr.unwrap_or((DEFAULT_B_LR_RATIO * self.lr).min(MOST_LR))
    }

    /// Weight decay; 0 for adam.
    pub fn weight_decay(&self) -> f64 {
        match self.algorithm {
            Algorithm::Adam => 0.0,
            Algorithm::Adamw => self.weight_decay.unwrap_or(DEFAULT_WEIGHT_DECAY),
        }
    }

    /// Writes out the defaults that hang on other keys.
    pub(super) fn resolve(&mut self, steps: u64) {
        self.b_lr = Some(self.b_lr());
        if self.algorithm == Algorithm::Adamw {
            self.weight_decay.get_or_insert(DEFAULT_WEIGHT_DECAY);
        }
        match self.schedule {
            Schedule::Constant => {}
            Schedule::Cosine => {
                self.final_lr_ratio.get_or_insert(0.0);
            }
            Schedule::Step => {
                self.step_every.get_or_insert(steps.div_ceil(3).max(1));
                self.step_factor.get_or_insert(DEFAULT_STEP_FACTOR);
            }
        }
    }

    pub(super) fn check(&self, steps: u64, check: &mut Check<'_>) {
        let positive = |v: f64| v > 0.0 && v.is_finite();
        let rate = |v: f64| v > 0.0 && v <= MOST_LR;
        check.that(rate(self.lr), "optim.lr", "a number above 0, at most 1000");
        check.that(self.b_lr.is_none_or(rate), "optim.b_lr", "a number above 0, at most 1000");
        let allowed = "a number above 0, at most 1000";
        check.that(self.energy_lr.is_none_or(rate), "optim.energy_lr", allowed);
        let decay = self.weight_decay.is_none_or(|v| (0.0..=1e3).contains(&v));
        check.that(decay, "optim.weight_decay", "a number from 0 to 1000");
        let share = 0.0..1.0;
        check.that(share.contains(&self.beta1), "optim.beta1", "a number from 0 and below 1");
        check.that(share.contains(&self.beta2), "optim.beta2", "a number from 0 and below 1");
        check.that(positive(self.epsilon), "optim.epsilon", "a number above 0");
        check.that(self.clip_norm > 0.0, "optim.clip_norm", "a number above 0, or inf");
        let floor = self.final_lr_ratio.is_none_or(|v| (0.0..=1.0).contains(&v));
        check.that(floor, "optim.final_lr_ratio", "a number from 0 to 1");
        check.count("optim.step_every", self.step_every, 1..=MOST);
        let factor = self.step_factor.is_none_or(|v| v > 0.0 && v <= 1.0);
        check.that(factor, "optim.step_factor", "a number above 0, at most 1");
        if check.clean("optim") && check.clean("train") {
            let allowed = format!("a whole number from 0 to `train.steps`, which is {steps}");
            check.that(self.warmup <= steps, "optim.warmup", &allowed);
        }
        if check.clean("optim") {
            if self.algorithm == Algorithm::Adam {
                let allowed = "allowed with algorithm = \"adamw\"";
                check.unused("optim.weight_decay", "optim.algorithm", allowed);
            }
            if self.schedule != Schedule::Cosine {
                let allowed = "allowed with schedule = \"cosine\"";
                check.unused("optim.final_lr_ratio", "optim.schedule", allowed);
            }
            if self.schedule != Schedule::Step {
                let allowed = "allowed with schedule = \"step\"";
                check.unused("optim.step_every", "optim.schedule", allowed);
                check.unused("optim.step_factor", "optim.schedule", allowed);
            }
        }
    }
}

/// The loop: how many steps, of what size, and what happens between them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Train {
    /// Optimiser steps.
    pub steps: u64,
    /// Data rows a step, n.
    pub batch: usize,
    /// Proposal samples a step, M.
    pub samples: u64,
    /// Samples of q(z|x) for each row of a step. Default 1; vae only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub posterior_samples: Option<u64>,
    /// Rows or samples in one chunk, the unit of work and of determinism.
    /// Default: derived from `batch` and `samples`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chunk: Option<usize>,
    /// Steps between two validations.
    pub valid_every: u64,
    /// Proposal samples of a validation.
    pub valid_samples: u64,
    /// Steps between two checkpoints.
    pub checkpoint_every: u64,
    /// Checkpoints kept; older ones are deleted.
    pub keep: usize,
    /// Stop after this many validations without improvement. Default: never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub patience: Option<u64>,
    /// Warn when the effective sample size falls below this share of `samples`; 0 never warns.
    pub min_ess: f64,
}

impl Default for Train {
    fn default() -> Self {
        Self {
            steps: 10_000,
            batch: 256,
            samples: 1024,
            posterior_samples: None,
            chunk: None,
            valid_every: 500,
            valid_samples: 100_000,
            checkpoint_every: 1000,
            keep: 3,
            patience: None,
            min_ess: 1e-3,
        }
    }
}

impl Train {
    pub(super) fn check(&self, check: &mut Check<'_>) {
        // Steps and chunks are numbered in 32 bits, in the counters of the random numbers.
        check.count("train.steps", Some(self.steps), 1..=u64::from(u32::MAX));
        check.count("train.batch", Some(self.batch), 1..=1 << 32);
        check.count("train.samples", Some(self.samples), 1..=MOST);
        check.count("train.posterior_samples", self.posterior_samples, 1..=1024);
        check.count("train.chunk", self.chunk, 1..=1 << 32);
        if let Some(chunk) = self.chunk.filter(|&chunk| chunk > 0 && check.clean("train")) {
            let points = (self.batch as u64).saturating_add(self.samples);
            let least = points.div_ceil(1 << 31);
            let allowed = format!("at least {least} for {points} rows and samples a step");
            check.that(chunk as u64 >= least, "train.chunk", &allowed);
        }
        check.count("train.valid_every", Some(self.valid_every), 1..=MOST);
        check.count("train.valid_samples", Some(self.valid_samples), 2..=MOST);
        check.count("train.checkpoint_every", Some(self.checkpoint_every), 1..=MOST);
        check.count("train.keep", Some(self.keep), 1..=1_000_000);
        check.count("train.patience", self.patience, 1..=MOST);
        let share = (0.0..1.0).contains(&self.min_ess);
        check.that(share, "train.min_ess", "a number from 0 and below 1");
    }
}
