//! Memory that vectors are loaded from.

use aligned_vec::{AVec, ConstAlign};

/// Values whose first lies at the start of a cache line, so that no vector straddles two.
pub(crate) type Buffer = AVec<f32, ConstAlign<64>>;

/// Values in a cache line, and in the widest vector.
const LINE: usize = 16;

/// A buffer of `len` zeros.
pub(crate) fn zeros(len: usize) -> Buffer {
    AVec::from_iter(64, std::iter::repeat_n(0.0, len))
}

/// Distance between the rows of a matrix of `width` columns: whole cache lines, an odd number of
/// them. With an even number, the same few columns of all rows would share a few sets of the
/// cache and push each other out.
pub(crate) fn stride(width: usize) -> usize {
    (width.div_ceil(LINE) | 1) * LINE
}
