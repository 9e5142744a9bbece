//! What becomes of a step by its sum. Coordinator and workers must come to the same.

use snel_core::partial::{Partial, StepError};

use crate::machine::{Digest, Verdict};

/// None if the sum does not cover all chunks.
pub(crate) fn verdict(sum: &Partial, digest: Digest) -> Option<Verdict> {
    match sum.reduce() {
        Err(StepError::Incomplete { .. }) => None,
        Err(StepError::Overflow { scale, .. }) if scale < sum.scale() => {
            Some(Verdict::Redo { digest })
        }
        result => Some(Verdict::Step { digest, refused: result.is_err() }),
    }
}
