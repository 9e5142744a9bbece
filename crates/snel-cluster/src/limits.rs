//! The most bytes that the bodies of a run can have.

use crate::machine::Shape;

/// The most bytes that a state of this shape can have, header included.
pub(crate) fn state_limit(shape: &Shape) -> usize {
    shape.parameters as usize * 12 + shape.chains as usize * 4 + (64 << 20)
}

/// The same of a partial: two sums of 8 bytes a parameter, statistics, ranges of chunks, and what
/// chunks carry.
pub(crate) fn sum_limit(shape: &Shape) -> usize {
    let Shape { parameters, chunks, carried, .. } = shape;
    *parameters as usize * 16 + *chunks as usize * 16 + *carried as usize * 4 + (64 << 10)
}
