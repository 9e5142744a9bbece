//! Where metrics go.

mod jsonl;
pub mod tensorboard;

pub use jsonl::JsonLines;
pub(crate) use jsonl::read as read_json_lines;

use crate::file::FileError;
use crate::metrics::{Record, Walked, Weighed};

/// A run in motion, after every step.
#[derive(Debug, Clone, Copy)]
pub struct Live {
    /// Steps done.
    pub step: u64,
    /// Steps to do.
    pub steps: u64,
    /// What weighted proposal samples say.
    pub weighed: Option<Weighed>,
    /// What chains say.
    pub walked: Option<Walked>,
    /// Points a second at which the energy was evaluated.
    pub points_per_second: f64,
}

/// A listener to a run.
pub trait Sink {
    /// After each step; most listeners do not care.
    fn live(&mut self, _live: &Live) {}

    /// A record of metrics.
    ///
    /// # Errors
    /// [`FileError`] if it cannot be kept; the run stops, its newest checkpoint being whole.
    fn record(&mut self, record: &Record) -> Result<(), FileError>;

    /// A sentence for the user.
    fn note(&mut self, _text: &str) {}
}
