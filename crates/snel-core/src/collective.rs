//! The seam between a step and those who share its work.

use std::error::Error;

use crate::chunks::ChunkSet;
use crate::engine::{Engine, EngineError};
use crate::partial::{Partial, PartialError};
use crate::plan::StepPlan;

/// Why the sums of all workers could not be brought together.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CollectiveError {
    /// This worker's engine failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// Two workers' sums do not belong together.
    #[error("the workers' sums do not fit together")]
    Partial(#[from] PartialError),
    /// Another member of the group is gone.
    #[error("a member of the group left during the reduction")]
    MemberLeft,
    /// The group ends the run before this step.
    #[error("the run was asked to stop")]
    Stopped,
    /// The group goes on without this worker.
    #[error("this worker was sent away: {0}")]
    SentAway(String),
    /// The way to the others failed.
    #[error("the group cannot be reached")]
    Transport(#[source] Box<dyn Error + Send + Sync>),
}

/// Sums the chunks of a step over all workers of a run.
pub trait Collective: Send {
    /// Fills `partial`, which is empty, with the sums of all chunks of `plan`. The collective
    /// decides which of them `engine` computes; every worker ends with the same sums.
    ///
    /// # Errors
    /// [`CollectiveError`]; the engine's state is as it was.
    fn sum(
        &mut self,
        plan: &StepPlan,
        engine: &mut dyn Engine,
        partial: &mut Partial,
    ) -> Result<(), CollectiveError>;

    /// True if nobody else takes part in any step: an engine may then make several by itself
    /// ([`Engine::advance`]).
    fn is_alone(&self) -> bool {
        false
    }
}

/// A worker alone computes everything itself.
#[derive(Debug, Clone, Copy, Default)]
pub struct Alone;

impl Collective for Alone {
    fn sum(
        &mut self,
        plan: &StepPlan,
        engine: &mut dyn Engine,
        partial: &mut Partial,
    ) -> Result<(), CollectiveError> {
        Ok(engine.accumulate(plan, &ChunkSet::of(0..plan.n_chunks()), partial)?)
    }

    fn is_alone(&self) -> bool {
        true
    }
}
