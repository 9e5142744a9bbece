//! Scaling studies: how the method behaves as samples, dimensions and workers grow.
//!
//! | module | holds |
//! |---|---|
//! | [`samples`], [`dimension`] | the sweeps: which cells, which predictions, which pictures |
//! | [`measure`] | one cell: three objectives at known parameters, many times over |
//! | [`target`], [`theory`] | models whose normaliser and gradient are known, and closed forms |
//! | [`crate::estimate`], [`fit`], [`check`] | means with errors, exponents with errors, verdicts |
//! | [`workers`] | threads and processes in their phases, and a model of larger clusters |
//! | [`table`] | `study.csv`, from which a study goes on |
//! | [`page`] | pictures and `study.html` |
//!
//! Invariants
//! 1. Numbers but for times and memory depend on the settings alone: not on threads, not on
//!    interruptions.
//! 2. A cell that is in the table is not measured again; a table of other settings is refused.

pub mod check;
pub mod dimension;
pub mod fit;
pub mod measure;
pub mod page;
pub mod samples;
mod sweep;
pub mod table;
pub mod target;
pub(crate) mod theory;
pub mod watch;
pub mod workers;

#[cfg(test)]
mod tests;

use snel_core::collective::CollectiveError;
use snel_core::engine::EngineError;
use snel_core::partial::StepError;

use crate::compute::ComputeError;
use crate::file::FileError;
use crate::plot::PlotError;
use crate::run::RunError;
pub use sweep::Sweep;
use table::TableError;

/// How far a sweep goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// Seconds: to see that it works.
    Quick,
    /// A few minutes on two cores.
    Usual,
    /// As far as it makes sense: hours.
    Deep,
}

/// Why a study ended early. What was measured before is in its table.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StudyError {
    /// It was asked to stop.
    #[error("the study was stopped")]
    Stopped,
    /// Its table.
    #[error(transparent)]
    Table(#[from] TableError),
    /// No engine.
    #[error(transparent)]
    Compute(#[from] ComputeError),
    /// The engine failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// A sum failed.
    #[error("a gradient could not be summed")]
    Sum(#[source] CollectiveError),
    /// The sums of a gradient cannot be used.
    #[error("no gradient of {what}")]
    Refused {
        /// Which.
        what: String,
        /// Why.
        source: StepError,
    },
    /// A picture could not be drawn.
    #[error(transparent)]
    Plot(#[from] PlotError),
    /// The pictures could not be kept.
    #[error(transparent)]
    Pictures(#[from] RunError),
    /// Processes could not be timed.
    #[error("cannot time worker processes")]
    Processes(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The disk.
    #[error(transparent)]
    File(#[from] FileError),
}

impl From<CollectiveError> for StudyError {
    fn from(error: CollectiveError) -> Self {
        match error {
            CollectiveError::Stopped => Self::Stopped,
            other => Self::Sum(other),
        }
    }
}
