//! `[eval]`, `[output]` and `[cluster]`: what is measured at the end, where the run is written, and
//! when its workers count as lost.

use std::ops::RangeInclusive;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::check::{Check, MOST};

/// The final evaluation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Eval {
    /// Fresh proposal samples behind the bounds of the log-likelihood.
    pub samples: u64,
    /// Samples of q(z|x) for each row, behind the importance-weighted bound. Default 100; vae only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub posterior_samples: Option<u64>,
    /// Rows that are scored.
    pub split: Split,
}

impl Default for Eval {
    fn default() -> Self {
        Self { samples: 1_000_000, posterior_samples: None, split: Split::Test }
    }
}

/// A part of the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Split {
    /// Rows that gradients are taken on.
    Train,
    /// Rows that early stopping looks at.
    Valid,
    /// Rows that training never sees.
    Test,
}

impl Eval {
    pub(super) fn check(&self, check: &mut Check<'_>) {
        // One sample has no standard error.
        check.count("eval.samples", Some(self.samples), 2..=MOST);
        check.count("eval.posterior_samples", self.posterior_samples, 2..=1 << 20);
    }
}

/// Where the run is written, and what beside the model and the metrics.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Output {
    /// The run folder; a relative one is meant from the working directory.
    /// Default: `runs/` and the run's name; set in a loaded config.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dir: Option<PathBuf>,
    /// Write TensorBoard events.
    pub tensorboard: bool,
    /// Write the report, `report.html`.
    pub report: bool,
}

impl Default for Output {
    fn default() -> Self {
        Self { dir: None, tensorboard: true, report: true }
    }
}

impl Output {
    /// Writes out the folder that hangs on the run's name.
    pub(super) fn resolve(&mut self, name: &str) {
        self.dir.get_or_insert_with(|| PathBuf::from("runs").join(name));
    }

    pub(super) fn check(check: &mut Check<'_>) {
        check.not_empty("output.dir");
    }
}

/// A run of several workers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Cluster {
    /// A worker that is silent for so long counts as lost, milliseconds. Default: what the
    /// coordinator was started with; never less, for that sets how often workers are heard.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure_budget_ms: Option<u64>,
}

impl Cluster {
    /// Budgets that make sense: shorter ones are within what a busy machine does anyway.
    pub const FAILURE_BUDGETS_MS: RangeInclusive<u64> = 50..=3_600_000;

    pub(super) fn check(&self, check: &mut Check<'_>) {
        let key = "cluster.failure_budget_ms";
        check.count(key, self.failure_budget_ms, Self::FAILURE_BUDGETS_MS);
    }
}
