//! Loops compiled for the vector instructions of the machine.

use pulp::Arch;

/// Runs `work`, which must be `#[inline(always)]`, compiled for the best instruction set of this
/// machine.
///
/// Rust never fuses a product with a sum by itself, so a loop over independent elements has the
/// same bits on every instruction set.
#[inline(always)]
pub fn vectorised<R>(work: impl FnOnce() -> R) -> R {
    Arch::new().dispatch(work)
}
