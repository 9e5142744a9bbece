//! What a coordinator shows of its runs and workers.

use std::time::Duration;

use snel_proto::v1;
use tokio::sync::{broadcast, watch};

/// A run, as seen from outside; cheap to clone.
#[derive(Clone)]
pub(super) struct RunView {
    /// The newest status.
    pub(super) status: watch::Receiver<v1::RunStatus>,
    /// Metrics and notes as they come.
    pub(super) updates: broadcast::Sender<Update>,
}

/// Something new about a run.
#[derive(Debug, Clone)]
pub(super) enum Update {
    /// A line of `metrics.jsonl`.
    Record(String),
    /// A sentence.
    Note(String),
}

/// A worker, as seen from outside.
pub(super) struct Seen {
    pub(super) hello: v1::Hello,
    pub(super) run: String,
    pub(super) leaving: bool,
    pub(super) silent: Duration,
}
