//! The seam between a step and those who share its work.

use crate::partial::{Partial, PartialError};

/// Why the sums of all workers could not be brought together.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CollectiveError {
    /// Two workers' sums do not belong together.
    #[error("the workers' sums do not fit together")]
    Partial(#[from] PartialError),
    /// Another member of the group is gone.
    #[error("a member of the group left during the reduction")]
    MemberLeft,
}

/// Sums partials over all workers of a run.
pub trait Collective: Send {
    /// Replaces `partial` by the sum of all workers' partials; every worker gets the same.
    ///
    /// # Errors
    /// [`CollectiveError`]; `partial` is then this worker's own still.
    fn all_reduce(&mut self, partial: &mut Partial) -> Result<(), CollectiveError>;
}

/// A worker alone: its partial is the sum already.
#[derive(Debug, Clone, Copy, Default)]
pub struct Alone;

impl Collective for Alone {
    fn all_reduce(&mut self, _: &mut Partial) -> Result<(), CollectiveError> {
        Ok(())
    }
}
