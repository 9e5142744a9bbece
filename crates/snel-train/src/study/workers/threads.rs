//! A step on the threads of one engine, timed in its phases.

use std::sync::Arc;
use std::time::{Duration, Instant};

use snel_core::chunks::ChunkSet;
use snel_core::density::{Affine, Density, Scale};
use snel_core::engine::Engine;
use snel_core::objective::Objective;
use snel_core::optim::Optim;
use snel_core::problem::{Base, Model, Problem};
use snel_core::step::room_for;

use super::Phases;
use super::load::{DIM, Load, ROWS};
use crate::compute::Compute;
use crate::study::StudyError;
use crate::study::target::Target;

/// What the times are of.
pub(super) fn arithmetic(compute: Compute) -> Result<String, StudyError> {
    let (engine, _) =
        engine(Compute { threads: 1, ..compute }, &Load { width: 8, samples: 1, batch: 1 }, 1)?;
    Ok(engine.fingerprint().to_string())
}

/// Means over `steps` steps; a first one, which touches all memory, is not counted.
pub(super) fn time(
    compute: Compute,
    load: &Load,
    threads: u32,
    steps: u64,
) -> Result<Phases, StudyError> {
    let compute = Compute { threads: threads as usize, ..compute };
    let (mut engine, problem) = engine(compute, load, ROWS as usize)?;
    let batching = load.batching();
    let mut partial = room_for(&problem);
    let (mut compute, mut reduce, mut update) = (Duration::ZERO, Duration::ZERO, Duration::ZERO);
    for number in 0..=steps {
        let head = engine.head();
        let plan = batching.plan(head.step as u32, head.scale);
        let begin = Instant::now();
        partial.restart(plan.scale, plan.n_chunks());
        engine.accumulate(&plan, &ChunkSet::of(0..plan.n_chunks()), &mut partial)?;
        let summed = Instant::now();
        let reduced = partial.reduce();
        let checked = Instant::now();
        match reduced {
            Ok(reduced) => drop(engine.apply(&reduced)),
            // A step that would be repeated costs what it costs.
            Err(_) => engine.skip(),
        }
        if number > 0 {
            compute += summed - begin;
            reduce += checked - summed;
            update += checked.elapsed();
        }
    }
    let ms = |time: Duration| time.as_secs_f64() * 1e3 / steps as f64;
    Ok(Phases {
        compute_ms: ms(compute),
        reduce_ms: ms(reduce),
        finish_ms: ms(update),
        ..Phases::default()
    })
}

fn engine(
    compute: Compute,
    load: &Load,
    rows: usize,
) -> Result<(Box<dyn Engine>, Arc<Problem>), StudyError> {
    let at = Affine { mean: vec![0.0; DIM], scale: Scale::Diagonal(vec![1.0; DIM]) };
    let model =
        Model { energy: load.energy(), base: Base::Proposal, proposal: Density::Gaussian { at } };
    let problem = Arc::new(Problem::new(model, Objective::Snl, Optim::default(), 0));
    let rows = Arc::new(Target::Gaussian.rows(DIM, rows, 0));
    Ok((compute.engine(problem.clone(), rows)?, problem))
}
