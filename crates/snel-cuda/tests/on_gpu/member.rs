//! What a rank does: the other side of `worlds.rs` and `rehearsal.rs`.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use snel_core::collective::CollectiveError;
use snel_core::engine::Engine;
use snel_core::step::StepFault;
use snel_cuda::driver::Gpu;
use snel_cuda::nccl::{
    Communicator, Interrupt, Library, NcclCollective, NcclError, Patience, Place, UniqueId,
    even_shares,
};
use snel_cuda::sources;

use crate::emulator;
use crate::task::{FIRST_STEPS, STEPS, Task, engine, train};
use crate::world::Seat;

/// Long enough for ranks that take turns on one GPU.
const PATIENCE: Patience = Patience {
    join: Duration::from_mins(1),
    reduce: Duration::from_secs(15),
    leave: Duration::from_secs(30),
    abort: Duration::from_secs(30),
};

/// A process of a world; by itself it does nothing.
#[test]
#[ignore = "started by other tests, once for each rank"]
fn member() {
    let Some(seat) = Seat::of_this_process() else {
        println!("skipped: no world has started this");
        return;
    };
    match Task::named(&seat.task) {
        Task::Meet => meet(&seat),
        Task::Fail => panic!("as it was told"),
        Task::Train(_) => train_together(&seat),
        Task::Lose => lose_one(&seat),
    }
}

/// Passes an id on, as for NCCL, and waits to be killed if it is the last.
fn meet(seat: &Seat) {
    let id = seat.unique_id(0, || UniqueId::from_bytes(std::array::from_fn(|i| i as u8)));
    seat.say("id", &format!("{:?}", id.to_bytes()));
    if seat.place.rank + 1 == seat.place.world {
        wait_to_be_killed();
    }
}

fn train_together(seat: &Seat) {
    let Task::Train(objective) = Task::named(&seat.task) else { return };
    let mut engine = engine(objective);
    let mut group = join(seat, 0, seat.place);
    train(&mut engine, &mut group, objective, STEPS).unwrap();
    group.leave().unwrap();
    seat.say("digest", &format!("{:032x}", engine.digest()));
}

/// All train for a while; the last one is killed then. The others hear of it in the step that
/// follows, whose state is still the one before, and go on without it.
fn lose_one(seat: &Seat) {
    let objective = Task::LOSE_OBJECTIVE;
    let Place { rank, world } = seat.place;
    let mut engine = engine(objective);
    let mut group = join(seat, 0, seat.place);
    train(&mut engine, &mut group, objective, FIRST_STEPS).unwrap();
    seat.say("ready", "");
    if rank + 1 == world {
        wait_to_be_killed();
    }
    let (before, start) = (engine.digest(), Instant::now());
    let error = train(&mut engine, &mut group, objective, 1).unwrap_err();
    let took = start.elapsed();
    println!("after {took:?}: {error} ({:?})", group.failure());
    assert!(matches!(error, StepFault::Collective(CollectiveError::MemberLeft)), "{error}");
    assert!(group.failure().is_some_and(NcclError::is_of_others));
    // The sum's deadline, and an abort that is done within its own.
    assert!(took < PATIENCE.reduce + PATIENCE.abort, "{took:?}");
    assert_eq!(engine.digest(), before);
    drop(group);
    let mut group = join(seat, 1, Place { rank, world: world - 1 });
    train(&mut engine, &mut group, objective, STEPS - FIRST_STEPS).unwrap();
    group.leave().unwrap();
    seat.say("digest", &format!("{:032x}", engine.digest()));
}

/// A group of NCCL's whose stream is that of a device of its own. The engine has another one: its
/// sums are on the host when the group takes them.
fn join(seat: &Seat, round: u32, place: Place) -> NcclCollective<Gpu> {
    let library = Arc::new(Library::load().unwrap());
    let id = seat.unique_id(round, || library.unique_id(place).unwrap());
    let index = emulator::index().unwrap();
    let gpu = Gpu::open(index, sources::FILES).unwrap();
    let stream = Box::new(gpu.stream());
    let joined = Communicator::join(library, id, place, stream, PATIENCE, Interrupt::default());
    let communicator = joined.unwrap_or_else(|error| panic!("{error}: {error:?}"));
    NcclCollective::new(communicator, gpu, even_shares(place.world))
}

/// An hour, should nobody come.
fn wait_to_be_killed() {
    thread::sleep(Duration::from_hours(1));
    panic!("nobody has killed this");
}
