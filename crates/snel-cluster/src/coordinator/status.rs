//! What a coordinator shows of its runs and workers.

use std::time::Duration;

use snel_proto::v1;
use snel_train::metrics::ValidationRecord;
use tokio::sync::{broadcast, watch};

use crate::coordinator::tallies::Tallies;
use crate::machine::{MemberId, Stage};

/// A run, as seen from outside; cheap to clone.
#[derive(Clone)]
pub(super) struct RunView {
    /// The newest status.
    pub(super) status: watch::Receiver<v1::RunStatus>,
    /// What only those want to know who watch it.
    pub(super) inside: watch::Receiver<Inside>,
    /// Metrics and notes as they come.
    pub(super) updates: broadcast::Sender<Update>,
}

/// The inside of a run.
#[derive(Clone, Default)]
pub(super) struct Inside {
    pub(super) tallies: Tallies,
    /// Who takes part, how far it has come, and its chunks a second.
    pub(super) members: Vec<(MemberId, Stage, f64)>,
    /// The last validation.
    pub(super) validation: Option<ValidationRecord>,
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
    pub(super) member: MemberId,
    pub(super) hello: v1::Hello,
    pub(super) run: String,
    pub(super) leaving: bool,
    pub(super) silent: Duration,
}
