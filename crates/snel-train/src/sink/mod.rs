//! Where metrics go.

mod jsonl;
pub mod tensorboard;

pub use jsonl::JsonLines;
pub(crate) use jsonl::read as read_json_lines;

use crate::file::FileError;
use crate::metrics::Record;

/// A run in motion, after every step.
#[derive(Debug, Clone, Copy)]
pub struct Live {
    /// Steps done.
    pub step: u64,
    /// Steps to do.
    pub steps: u64,
    /// Stochastic SNL bound, averaged over the last steps.
    pub bound: f64,
    /// Effective sample size as a fraction.
    pub ess_fraction: f64,
    /// Proposal samples and data rows a second.
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
