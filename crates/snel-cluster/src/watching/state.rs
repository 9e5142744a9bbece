//! How things are, for those who watch.

use serde::Serialize;
use snel_train::metrics::ValidationRecord;

use crate::coordinator::tallies::Tallies;

/// A coordinator.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct State {
    /// Counts its starts.
    pub(crate) incarnation: u64,
    pub(crate) version: &'static str,
    /// Milliseconds since 1970.
    pub(crate) now_ms: u64,
    /// The oldest first.
    pub(crate) runs: Vec<RunState>,
    pub(crate) workers: Vec<WorkerState>,
}

/// A run.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct RunState {
    pub(crate) name: String,
    pub(crate) phase: &'static str,
    /// Steps committed, and those of the whole run.
    pub(crate) step: u64,
    pub(crate) steps: u64,
    pub(crate) epoch: u64,
    /// Milliseconds of a step, smoothed.
    pub(crate) step_ms: f64,
    /// Names of those that take part.
    pub(crate) workers: Vec<String>,
    /// 0 for all there are.
    pub(crate) workers_wanted: u32,
    pub(crate) recoveries: u64,
    pub(crate) last_recovery_ms: f64,
    pub(crate) digest_mismatches: u64,
    /// Why it failed.
    pub(crate) error: Option<String>,
    /// The last one.
    pub(crate) validation: Option<ValidationRecord>,
    #[serde(skip)]
    pub(crate) tallies: Tallies,
}

/// A worker.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct WorkerState {
    pub(crate) name: String,
    pub(crate) host: String,
    pub(crate) state: String,
    /// Empty if it waits for work.
    pub(crate) run: String,
    pub(crate) threads: u32,
    pub(crate) chunks_per_second: f64,
    /// Milliseconds since it was heard of.
    pub(crate) silent_ms: u64,
}
