//! Communicators that nothing happens to.

use snel_cuda::nccl::{Communicator, Interrupt, NcclError};

use crate::host::{Fake, PATIENCE, sum};

/// Values whose sum over ranks is known, with the ends of what a gradient may hold.
fn values(rank: u32, round: i64) -> Vec<i64> {
    let rank = i64::from(rank);
    vec![rank, -rank * 7, round, 1 << 60, -(1 << 60), i64::from(u32::MAX) * (rank - round), 0]
}

#[test]
fn sums_are_exact() {
    for world in [1, 2, 4] {
        let fake = Fake::new();
        fake.ranks(world, PATIENCE, |rank, communicator| {
            let mut communicator = communicator.unwrap();
            for round in 0..20 {
                let mut expected = vec![0; 7];
                for other in 0..world {
                    expected.iter_mut().zip(values(other, round)).for_each(|(e, v)| *e += v);
                }
                let found = sum(&mut communicator, &values(rank, round)).unwrap();
                assert_eq!(found, expected, "rank {rank} of {world}, round {round}");
            }
            communicator.leave().unwrap();
        });
        fake.assert_clean();
    }
}

#[test]
fn two_communicators_of_one_process_do_not_meet() {
    let fake = Fake::new();
    let alone = |id| fake.join(id, (0, 1), PATIENCE, &Interrupt::default()).unwrap();
    let (mut one, mut other): (Communicator, Communicator) = (alone(fake.id()), alone(fake.id()));
    assert_eq!(sum(&mut one, &[1, 2]).unwrap(), [1, 2]);
    assert_eq!(sum(&mut other, &[30, 40, 50]).unwrap(), [30, 40, 50]);
    drop(one);
    assert_eq!(sum(&mut other, &[5]).unwrap(), [5]);
    other.leave().unwrap();
    fake.assert_clean();
}

#[test]
fn an_id_makes_one_communicator() {
    let fake = Fake::new();
    let id = fake.id();
    let join = || fake.join(id, (0, 1), PATIENCE, &Interrupt::default());
    join().unwrap().leave().unwrap();
    let again = join().unwrap_err();
    assert!(matches!(again, NcclError::IdReused { .. }), "{again}");
    fake.assert_clean();
}

#[test]
fn a_place_that_is_none_is_refused() {
    let fake = Fake::new();
    for place in [(1, 1), (0, 0), (0, 1 << 31)] {
        let refused = fake.join(fake.id(), place, PATIENCE, &Interrupt::default()).unwrap_err();
        assert!(matches!(refused, NcclError::NoSuchPlace { .. }), "{refused}");
    }
    fake.assert_clean();
}

#[test]
fn abort_twice_is_abort_once() {
    let fake = Fake::new();
    let interrupt = Interrupt::default();
    let mut communicator = fake.join(fake.id(), (0, 1), PATIENCE, &interrupt).unwrap();
    communicator.abort().unwrap();
    assert_eq!(fake.living(), 0);
    interrupt.raise();
    interrupt.raise();
    communicator.abort().unwrap();
    let ended = sum(&mut communicator, &[1]).unwrap_err();
    assert!(matches!(ended, NcclError::Ended { .. }), "{ended}");
    drop(communicator);
    fake.assert_clean();
}

#[test]
fn a_communicator_that_is_dropped_has_ended() {
    let fake = Fake::new();
    drop(fake.join(fake.id(), (0, 1), PATIENCE, &Interrupt::default()).unwrap());
    fake.assert_clean();
}
