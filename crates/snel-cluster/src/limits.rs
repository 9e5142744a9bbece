//! The most bytes that the bodies of a run can have.

use crate::machine::Shape;

/// The most bytes that a state of this shape can have, header included.
pub(crate) fn state_limit(shape: &Shape) -> usize {
    shape.parameters as usize * 12 + (64 << 20)
}

/// The same of a partial: two sums of 8 bytes a parameter, statistics, ranges of chunks.
pub(crate) fn sum_limit(shape: &Shape) -> usize {
    shape.parameters as usize * 16 + shape.chunks as usize * 8 + (64 << 10)
}
