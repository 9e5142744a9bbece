//! Steps: plan, accumulate, reduce, repeat with a coarser scale on overflow; then apply or skip.
//!
//! Invariants
//! 1. [`reduce_step`] does not touch parameters.
//! 2. A repetition computes the same draws again, so every worker repeats alike.
//! 3. How many steps [`advance`] is asked for changes no bit.

use crate::collective::{Collective, CollectiveError};
use crate::engine::{Engine, StepOutcome, Update};
use crate::partial::{Partial, Reduced, StepError};
use crate::plan::Batching;
use crate::problem::{Parametric, Problem};

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

/// Makes at least one step, and at most `steps`; fills `outcomes` with what each came to. `partial`
/// is memory to work in.
///
/// # Errors
/// [`CollectiveError`]; the engine's state is as it was, or that of [`Engine::advance`].
pub fn advance(
    engine: &mut dyn Engine,
    collective: &mut dyn Collective,
    batching: &Batching,
    steps: u64,
    partial: &mut Partial,
    outcomes: &mut Vec<StepOutcome>,
) -> Result<(), CollectiveError> {
    outcomes.clear();
    if collective.is_alone() {
        engine.advance(batching, steps, outcomes)?;
    }
    if outcomes.is_empty() {
        outcomes.push(one_step(engine, collective, batching, partial)?);
    }
    Ok(())
}

fn one_step(
    engine: &mut dyn Engine,
    collective: &mut dyn Collective,
    batching: &Batching,
    partial: &mut Partial,
) -> Result<StepOutcome, CollectiveError> {
    let b = engine.head().b;
    let result = match reduce_step(engine, collective, batching, partial) {
        Ok(reduced) => {
            let applied = engine.apply(&reduced);
            Ok(Update { statistics: reduced.statistics.clone(), applied })
        }
        Err(StepFault::Refused(error)) => {
            engine.skip();
            Err(error)
        }
        Err(StepFault::Collective(error)) => return Err(error),
    };
    Ok(StepOutcome { b, head: engine.head(), result })
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
pub fn room_for<M: Parametric>(problem: &Problem<M>) -> Partial {
    let separates = problem.model.separates_samples(problem.objective);
    Partial::new(problem.layout.len(), 0, 0, separates).carrying(problem.carried_words())
}
