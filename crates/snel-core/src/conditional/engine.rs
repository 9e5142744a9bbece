//! What an engine of a conditional model can besides training it.

use std::ops::Range;

use super::ConditionalModel;
use crate::engine::{Engine, SampleSet, Scored};

/// Which samples of which rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowSamples {
    /// Stream and step that key their randomness.
    pub set: SampleSet,
    /// Number of the first row.
    pub first_row: u64,
    /// Samples that every row has, `M`.
    pub per_row: u64,
    /// Those that are meant, of each row: within `0..M`.
    pub range: Range<u64>,
}

impl RowSamples {
    /// The number of the first meant sample of row `row`, counted from the first one.
    pub fn number(&self, row: usize) -> u64 {
        (self.first_row + row as u64) * self.per_row + self.range.start
    }
}

/// Arithmetic of a conditional model: training, and densities of `y` at given `x`.
///
/// `x` is row-major, inputs only; every row of it has equally many `y`, one row's after another's.
/// Energies and log-densities are those of `y` at its `x`; the proposal is the one that does not
/// look at an observed `y`.
pub trait ConditionalEngine: Engine {
    /// The model that is trained.
    fn model(&self) -> &ConditionalModel;

    /// `b(x)` of every row of `x`.
    fn log_normalisers(&self, x: &[f32], out: &mut [f32]);

    /// Scores the points `y`.
    fn score(&self, x: &[f32], y: &[f32], out: &mut [Scored]);

    /// Draws proposal samples into `y` and scores them.
    fn score_samples(&self, samples: &RowSamples, x: &[f32], y: &mut [f32], out: &mut [Scored]);
}
