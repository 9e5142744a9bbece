//! Rows with samples of `y` at each of them, block by block.

use snel_core::conditional::{ConditionalEngine, RowSamples};
use snel_core::engine::{SampleSet, Scored};
use snel_core::rows::Rows;

use crate::evaluate::for_each_rows;
use crate::file::FileError;

/// Points that are scored at once, unless a single row has more.
const BLOCK: usize = 1 << 17;

/// Rows `x`, inputs and targets apart.
pub(super) struct RowBlock {
    /// Number of the first one.
    pub(super) first: u64,
    /// Row-major.
    pub(super) x: Vec<f32>,
    /// Row-major.
    pub(super) y: Vec<f32>,
}

/// Calls `visit` with the first `limit` rows, in blocks, in order.
///
/// # Errors
/// A read error of the rows.
pub(super) fn for_each_block(
    rows: &dyn Rows,
    inputs: usize,
    limit: u64,
    mut visit: impl FnMut(&RowBlock),
) -> Result<(), FileError> {
    let dim = rows.dim();
    for_each_rows(rows, limit, |first, values| {
        let (mut x, mut y) = (Vec::new(), Vec::new());
        for row in values.chunks_exact(dim) {
            x.extend(&row[..inputs]);
            y.extend(&row[inputs..]);
        }
        visit(&RowBlock { first, x, y });
    })
}

/// Draws `samples` values of `y` at each row of `x`, of which the first has number `first`, and
/// calls `visit` with the row's place, its samples and their scores.
pub(super) fn for_each_draw(
    engine: &dyn ConditionalEngine,
    set: SampleSet,
    samples: u64,
    first: u64,
    x: &[f32],
    mut visit: impl FnMut(usize, &[f32], &[Scored]),
) {
    let (inputs, targets) = (engine.model().inputs, engine.model().targets);
    let m = samples as usize;
    let at_once = (BLOCK / m.max(1)).max(1);
    for (k, x) in x.chunks(at_once * inputs).enumerate() {
        let n = x.len() / inputs;
        let (mut y, mut scored) = (vec![0.0; n * m * targets], vec![Scored::default(); n * m]);
        let first_row = first + (k * at_once) as u64;
        let draw = RowSamples { set, first_row, per_row: samples, range: 0..samples };
        engine.score_samples(&draw, x, &mut y, &mut scored);
        for (i, (y, scored)) in y.chunks(m * targets).zip(scored.chunks(m)).enumerate() {
            visit(k * at_once + i, y, scored);
        }
    }
}
