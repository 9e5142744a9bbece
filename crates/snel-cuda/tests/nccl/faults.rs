//! Everything that may go wrong with a communicator ends in its error, soon, and leaves nothing.
//!
//! Deadlines of up to a second are waited for; those of [`PATIENCE`] must not be, so an
//! error that comes within half of them has not waited for one.

use std::error::Error;
use std::time::{Duration, Instant};

use snel_cuda::nccl::StreamError;
use snel_cuda::nccl::{Communicator, Interrupt, NcclError, Patience, Place, ResultCode, Stream};

use crate::host::{ALL, BrokenStream, Fake, Fault, PATIENCE, in_threads, sum};

/// Short enough to wait for.
const SHORT: Duration = Duration::from_millis(250);
/// Long enough for threads to meet on a busy machine, too.
const MEETING: Duration = Duration::from_secs(1);

fn soon<T>(work: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let found = work();
    assert!(start.elapsed() < PATIENCE.abort / 2, "took {:?}", start.elapsed());
    found
}

fn alone(fake: &Fake, patience: Patience) -> Result<Communicator, NcclError> {
    fake.join(fake.id(), (0, 1), patience, &Interrupt::default())
}

#[test]
fn those_who_do_not_come_are_not_waited_for_for_ever() {
    let fake = Fake::new();
    let patience = Patience { join: SHORT, ..PATIENCE };
    let lonely = fake.join(fake.id(), (0, 2), patience, &Interrupt::default());
    let error = soon(|| lonely.unwrap_err());
    assert!(matches!(error, NcclError::Deadline { what: "joining", .. }), "{error}");
    assert!(error.is_of_others());
    assert_eq!(
        error.to_string(),
        "rank 0 of 2: joining took more than 0.25 s; one of the others is late or gone"
    );
    fake.assert_clean();
}

#[test]
fn a_communicator_that_is_never_ready_is_given_up() {
    let fake = Fake::new();
    fake.inject(Fault::InitNever, ALL, 0, 0);
    let error = soon(|| alone(&fake, Patience { join: SHORT, ..PATIENCE }).unwrap_err());
    assert!(matches!(error, NcclError::Deadline { what: "joining", .. }), "{error}");
    fake.assert_clean();
}

/// NCCL promises to return at once, and does not.
#[test]
fn a_call_that_does_not_return_is_named() {
    let fake = Fake::new();
    fake.inject(Fault::InitBlocks, ALL, 0, 0);
    let patience = Patience { join: SHORT, abort: SHORT, ..PATIENCE };
    let error = soon(|| alone(&fake, patience).unwrap_err());
    assert!(error.is_stuck() && !error.is_of_others());
    assert_eq!(
        error.to_string(),
        "rank 0 of 1: ncclCommInitRankConfig has not returned for 0.25 s; this process must end"
    );
}

#[test]
fn a_failure_of_others_comes_from_the_communicator() {
    let fake = Fake::new();
    fake.inject(Fault::AsyncCode, ALL, 3, 6);
    let errors = fake.ranks(2, PATIENCE, |rank, communicator| {
        let mut communicator = communicator.unwrap();
        for _ in 0..3 {
            assert_eq!(sum(&mut communicator, &[i64::from(rank) + 1]).unwrap(), [3]);
        }
        soon(|| sum(&mut communicator, &[1]).unwrap_err())
    });
    for error in errors {
        let NcclError::Call { call: "ncclAllReduce", code: ResultCode::REMOTE_ERROR, .. } = error
        else {
            panic!("{error}")
        };
        assert!(error.is_of_others());
        let text = error.to_string();
        assert!(text.contains("ncclRemoteError (6): remote process exited"), "{text}");
        assert!(text.ends_with("; as the test wants it"), "{text}");
    }
    fake.assert_clean();
}

#[test]
fn codes_that_nobody_knows_are_errors() {
    for (fault, code) in [(Fault::Code, 77), (Fault::AsyncCode, 1 << 30), (Fault::Code, -1)] {
        let fake = Fake::new();
        fake.inject(fault, ALL, 1, code);
        let mut communicator = alone(&fake, PATIENCE).unwrap();
        assert_eq!(sum(&mut communicator, &[4]).unwrap(), [4]);
        let error = soon(|| sum(&mut communicator, &[4]).unwrap_err());
        let text = error.to_string();
        let expected = format!("a code that this version does not know ({code}): unknown result");
        assert!(text.contains(&expected), "{text}");
        assert!(!error.is_of_others() && !error.is_stuck());
        fake.assert_clean();
    }
}

/// The sum of one rank is never begun: what a frozen GPU looks like to the others.
#[test]
fn a_sum_that_is_never_done_is_given_up() {
    let fake = Fake::new();
    fake.inject(Fault::Stall, 1, 2, 0);
    let patience = Patience { reduce: MEETING, ..PATIENCE };
    let errors = fake.ranks(2, patience, |_, communicator| {
        let mut communicator = communicator.unwrap();
        sum(&mut communicator, &[1]).unwrap();
        sum(&mut communicator, &[1]).unwrap();
        soon(|| sum(&mut communicator, &[1]).unwrap_err())
    });
    for error in errors {
        assert!(matches!(error, NcclError::Deadline { what: "a sum", .. }), "{error}");
    }
    fake.assert_clean();
}

#[test]
fn an_abort_may_take_its_time() {
    let fake = Fake::new();
    fake.inject(Fault::Stall, ALL, 0, 0);
    fake.inject(Fault::SlowAbort, ALL, 0, 300);
    let mut communicator = alone(&fake, Patience { reduce: SHORT, ..PATIENCE }).unwrap();
    let start = Instant::now();
    let error = soon(|| sum(&mut communicator, &[1]).unwrap_err());
    assert!(start.elapsed() >= SHORT + Duration::from_millis(300), "the caller is told after it");
    assert!(matches!(error, NcclError::Deadline { .. }), "{error}");
    fake.assert_clean();
}

#[test]
fn an_abort_that_hangs_is_told_with_its_cause() {
    let fake = Fake::new();
    fake.inject(Fault::Stall, ALL, 0, 0);
    fake.inject(Fault::AbortHangs, ALL, 0, 0);
    let patience = Patience { reduce: SHORT, abort: SHORT, ..PATIENCE };
    let mut communicator = alone(&fake, patience).unwrap();
    let error = soon(|| sum(&mut communicator, &[1]).unwrap_err());
    assert!(error.is_stuck(), "{error}");
    assert!(error.to_string().contains("ncclCommAbort has not returned"), "{error}");
    assert!(error.source().unwrap().to_string().contains("a sum took more than"));
    // It stays so, and nobody is held up.
    soon(|| {
        assert!(sum(&mut communicator, &[1]).unwrap_err().is_stuck());
        assert!(communicator.abort().unwrap_err().is_stuck());
        drop(communicator);
    });
}

#[test]
fn an_abort_on_demand_that_hangs_is_told_too() {
    let fake = Fake::new();
    fake.inject(Fault::AbortHangs, ALL, 0, 0);
    let patience = Patience { abort: SHORT, ..PATIENCE };
    let mut communicator = alone(&fake, patience).unwrap();
    assert!(soon(|| communicator.abort().unwrap_err()).is_stuck());
    let other = alone(&fake, patience).unwrap();
    soon(|| drop(other));
}

#[test]
fn an_interrupt_ends_a_wait() {
    let fake = Fake::new();
    let (id, interrupt) = (fake.id(), Interrupt::default());
    let joining = |rank, interrupt: &Interrupt| fake.join(id, (rank, 2), PATIENCE, interrupt);
    std::thread::scope(|scope| {
        let first = scope.spawn(|| joining(0, &interrupt).unwrap());
        let _second = joining(1, &Interrupt::default()).unwrap();
        let mut first = first.join().unwrap();
        // The second rank does not take part; somebody says so after a while.
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(50));
            interrupt.raise();
        });
        let error = soon(|| sum(&mut first, &[1]).unwrap_err());
        assert!(matches!(error, NcclError::Interrupted { what: "a sum", .. }), "{error}");
        assert!(error.is_of_others());
    });
    let raised = soon(|| fake.join(fake.id(), (0, 2), PATIENCE, &interrupt).unwrap_err());
    assert!(matches!(raised, NcclError::Interrupted { what: "joining", .. }), "{raised}");
    fake.assert_clean();
}

/// Whether or not NCCL notices that a rank is gone.
#[test]
fn survivors_go_on_with_a_new_communicator() {
    for noticed in [true, false] {
        let fake = Fake::new();
        let patience = if noticed {
            fake.inject(Fault::Noticed, ALL, 0, 0);
            PATIENCE
        } else {
            Patience { reduce: MEETING, ..PATIENCE }
        };
        let mut group = fake.group(3, patience);
        in_threads(group.iter_mut().collect(), |rank, communicator| {
            assert_eq!(sum(communicator, &[i64::from(rank) + 1]).unwrap(), [6]);
        });
        drop(group.remove(1));
        in_threads(group.iter_mut().collect(), |_, communicator| {
            let error = soon(|| sum(communicator, &[1]).unwrap_err());
            assert!(error.is_of_others(), "{error}");
        });
        assert_eq!(fake.living(), 0, "survivors have aborted");
        // The group is still there, and in nobody's way.
        in_threads(fake.group(2, PATIENCE), |rank, mut communicator| {
            assert_eq!(sum(&mut communicator, &[i64::from(rank) + 1]).unwrap(), [3]);
            communicator.leave().unwrap();
        });
        drop(group);
        fake.assert_clean();
    }
}

#[test]
fn those_who_do_not_leave_are_left() {
    let patience = Patience { leave: SHORT, ..PATIENCE };
    let fake = Fake::new();
    fake.inject(Fault::LeaveNever, ALL, 0, 0);
    let error = soon(|| alone(&fake, patience).unwrap().leave().unwrap_err());
    assert!(matches!(error, NcclError::Deadline { what: "leaving", .. }), "{error}");
    fake.assert_clean();
}

#[test]
fn a_broken_gpu_is_told_apart_from_broken_peers() {
    let fake = Fake::new();
    for enters in [false, true] {
        let stream = Box::new(BrokenStream { enters, like: fake.stream() });
        let joined = join_with(&fake, stream);
        let error = match joined {
            Ok(mut communicator) => soon(|| sum(&mut communicator, &[1]).unwrap_err()),
            Err(error) => error,
        };
        assert!(matches!(error, NcclError::Stream { .. }) && !error.is_of_others(), "{error}");
        let cause =
            if enters { "an illegal memory access was encountered" } else { "no such device" };
        assert_eq!(error.source().unwrap().to_string(), cause);
    }
    fake.assert_clean();
}

fn join_with(fake: &Fake, stream: Box<dyn Stream>) -> Result<Communicator, NcclError> {
    let (id, place) = (fake.id(), Place { rank: 0, world: 1 });
    Communicator::join(fake.library.clone(), id, place, stream, PATIENCE, Interrupt::default())
}

/// Even a fault of this program leaves no communicator behind.
#[test]
fn a_panic_of_the_owner_ends_the_communicator() {
    struct Panics(u64);
    impl Stream for Panics {
        fn enter(&self) -> Result<(), StreamError> {
            Ok(())
        }
        fn handle(&self) -> u64 {
            self.0
        }
        fn is_idle(&self) -> Result<bool, StreamError> {
            panic!("a panic that a test asked for")
        }
    }
    let fake = Fake::new();
    let mut communicator = join_with(&fake, Box::new(Panics(fake.stream().handle()))).unwrap();
    let error = soon(|| sum(&mut communicator, &[1]).unwrap_err());
    assert!(matches!(error, NcclError::Panicked { .. }) && !error.is_of_others(), "{error}");
    let ended = sum(&mut communicator, &[1]).unwrap_err();
    assert!(matches!(ended, NcclError::Ended { .. }), "{ended}");
    fake.assert_clean();
}
