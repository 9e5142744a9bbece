//! Groups that lose a member.

use std::sync::Arc;
use std::time::{Duration, Instant};

use snel_core::chunks::ChunkSet;
use snel_core::collective::{Alone, Collective, CollectiveError};
use snel_core::engine::{Engine, EngineError};
use snel_core::objective::Objective;
use snel_core::reference::ReferenceEngine;
use snel_core::step::StepFault;
use snel_cuda::nccl::{Communicator, NcclCollective, NcclError, Patience, even_shares};

use crate::host::{ALL, Fake, Fault, HostDevice, PATIENCE, in_threads};
use crate::problem::{NoRows, bytes, collective, engine, first_step, problem, train};

/// Short enough to wait for, long enough for two threads to meet on a busy machine.
const MEETING: Duration = Duration::from_secs(1);

/// One of three dies after four steps. The others hear of it in the fifth, whose state is still the
/// one before, and go on as two; all ends as if one worker had been alone all the time.
#[test]
fn survivors_end_in_the_bits_of_one_worker() {
    let problem = problem(Objective::Snl);
    let alone = train(&mut engine(&problem), &problem, &mut Alone, 10).unwrap();
    let fake = Fake::new();
    fake.inject(Fault::Noticed, ALL, 0, 0);
    let group = in_threads(fake.group(3, PATIENCE), |_, communicator| {
        let mut engine = engine(&problem);
        let mut group = collective(communicator, even_shares(3));
        train(&mut engine, &problem, &mut group, 4).unwrap();
        (engine, group)
    });
    let mut group = group.into_iter();
    let mut survivors: Vec<_> = group.by_ref().take(2).collect();
    drop(group);
    in_threads(survivors.iter_mut().collect(), |_, (engine, group)| {
        let before = engine.digest();
        let error = train(engine, &problem, group, 1).unwrap_err();
        assert!(matches!(error, StepFault::Collective(CollectiveError::MemberLeft)), "{error}");
        assert!(group.failure().is_some_and(NcclError::is_of_others));
        assert_eq!(engine.digest(), before);
    });
    assert_eq!(fake.living(), 0);
    let again = fake.group(2, PATIENCE).into_iter().zip(survivors).collect();
    let digests = in_threads(again, |_, (communicator, (mut engine, _))| {
        let mut group = collective(communicator, even_shares(2));
        let state = train(&mut engine, &problem, &mut group, 6).unwrap();
        group.leave().unwrap();
        state.digest()
    });
    assert_eq!(digests, [alone.digest(); 2]);
    fake.assert_clean();
}

/// What a rank has summed of a step that fails can be used to finish it another way.
#[test]
fn a_failed_step_keeps_what_this_rank_has_summed() {
    let problem = problem(Objective::IsMle);
    let (plan, mut whole) = first_step(&problem);
    Alone.sum(&plan, &mut engine(&problem), &mut whole).unwrap();
    let fake = Fake::new();
    fake.inject(Fault::Stall, 1, 1, 0); // the first sum is that of the greeting
    let patience = Patience { reduce: MEETING, ..PATIENCE };
    let partials = fake.ranks(2, patience, |_, communicator| {
        let (plan, mut partial) = first_step(&problem);
        let mut group = collective(communicator.unwrap(), even_shares(2));
        let error = group.sum(&plan, &mut engine(&problem), &mut partial).unwrap_err();
        assert!(matches!(error, CollectiveError::MemberLeft), "{error}");
        partial
    });
    assert_eq!(*partials[0].chunks(), ChunkSet::of(0..5));
    let mut finished = partials[0].clone();
    engine(&problem).accumulate(&plan, &ChunkSet::of(5..10), &mut finished).unwrap();
    assert_eq!(bytes(&finished), bytes(&whole));
    fake.assert_clean();
}

/// Both ranks of a group take part in a sum as `take_part` says, in which rank 0 fails: rank 1 does not
/// have to wait for it. Returns the error of rank 0.
fn failure_of_rank_0(
    take_part: impl Fn(u32, Communicator) -> CollectiveError + Sync,
) -> CollectiveError {
    let fake = Fake::new();
    fake.inject(Fault::Noticed, ALL, 0, 0);
    let communicators = fake.group(2, PATIENCE);
    let start = Instant::now();
    let errors = in_threads(communicators, take_part);
    assert!(start.elapsed() < PATIENCE.reduce / 2);
    assert!(matches!(errors[1], CollectiveError::MemberLeft), "{}", errors[1]);
    fake.assert_clean();
    errors.into_iter().next().unwrap()
}

/// The rank that cannot read its data ends the communicator.
#[test]
fn an_engine_that_fails_lets_the_others_know() {
    let problem = problem(Objective::Snl);
    let error = failure_of_rank_0(|rank, communicator| {
        let (plan, mut partial) = first_step(&problem);
        let mut group = collective(communicator, even_shares(2));
        let mut well = engine(&problem);
        let mut ill = ReferenceEngine::new(problem.clone(), Arc::new(NoRows));
        // The rows are in the first chunks, so in the share of rank 0.
        let engine: &mut dyn Engine = if rank == 0 { &mut ill } else { &mut well };
        group.sum(&plan, engine, &mut partial).unwrap_err()
    });
    assert!(matches!(error, CollectiveError::Engine(EngineError::Rows(_))), "{error}");
}

/// So does one whose GPU fails.
#[test]
fn a_device_that_fails_lets_the_others_know() {
    let problem = problem(Objective::Snl);
    let error = failure_of_rank_0(|rank, communicator| {
        let (plan, mut partial) = first_step(&problem);
        let device = HostDevice { is_well: rank == 1 };
        let mut group = NcclCollective::new(communicator, device, even_shares(2));
        group.sum(&plan, &mut engine(&problem), &mut partial).unwrap_err()
    });
    let CollectiveError::Transport(error) = error else { panic!("{error}") };
    assert_eq!(error.to_string(), "host failed: a copy");
}

#[test]
fn a_stuck_library_is_no_member_that_left() {
    let problem = problem(Objective::Snl);
    let fake = Fake::new();
    fake.inject(Fault::Stall, ALL, 0, 0);
    fake.inject(Fault::AbortHangs, ALL, 0, 0);
    let patience = Patience { reduce: MEETING, abort: MEETING, ..PATIENCE };
    fake.ranks(1, patience, |_, communicator| {
        let (plan, mut partial) = first_step(&problem);
        let mut group = collective(communicator.unwrap(), even_shares(1));
        let error = group.sum(&plan, &mut engine(&problem), &mut partial).unwrap_err();
        let CollectiveError::Transport(told) = error else { panic!("{error}") };
        assert!(group.failure().is_some_and(NcclError::is_stuck));
        let text = told.to_string();
        assert!(text.contains("ncclCommAbort has not returned for 1 s; this process must end"));
        let cause = told.source().unwrap().to_string();
        assert!(cause.contains("rank 0 of 1: a sum took more than 1 s"), "{cause}");
    });
}
