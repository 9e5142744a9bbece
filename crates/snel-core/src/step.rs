//! One step's sums: plan, accumulate, reduce, and repeat with a coarser scale on overflow.
//!
//! Invariants
//! 1. Parameters are not touched: the caller applies the result, or skips the step.
//! 2. A repetition computes the same draws again, so every worker repeats alike.

use crate::collective::{Collective, CollectiveError};
use crate::engine::Engine;
use crate::partial::{Partial, Reduced, StepError};
use crate::plan::Batching;
use crate::problem::Problem;

/// Why a step has no sums.
#[derive(Debug, thiserror::Error)]
pub enum StepFault {
    /// This worker or the group failed.
    #[error(transparent)]
    Collective(#[from] CollectiveError),
    /// The sums are unusable; the run may go on with the next step.
    #[error(transparent)]
    Refused(#[from] StepError),
}

/// The sums of the engine's next step over all workers. `partial` is the memory to work in, left
/// from the step before.
///
/// # Errors
/// [`StepFault`]; the engine's state is as it was.
pub fn reduce_step<'a>(
    engine: &mut dyn Engine,
    collective: &mut dyn Collective,
    batching: &Batching,
    partial: &'a mut Partial,
) -> Result<Reduced<'a>, StepFault> {
    let head = engine.head();
    let mut plan = batching.plan(head.step as u32, head.scale);
    loop {
        partial.restart(plan.scale, plan.n_chunks());
        collective.sum(&plan, engine, partial)?;
        match partial.reduce() {
            // The new scale fits the largest magnitude of all chunks, so one repetition is enough;
            // were it not smaller, repeating would not help.
            Err(StepError::Overflow { scale, .. }) if scale < plan.scale => plan.scale = scale,
            _ => break,
        }
    }
    Ok(partial.reduce()?)
}

/// Memory for the sums of one step after another of `problem`.
pub fn room_for(problem: &Problem) -> Partial {
    Partial::new(problem.layout.len(), 0, 0, problem.objective.separates_samples())
}
