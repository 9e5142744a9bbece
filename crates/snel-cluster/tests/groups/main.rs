//! Workers that sum among themselves, through all the layers: a coordinator and workers in the threads
//! of this process, and a library that stands in for NCCL.
//!
//! Whatever happens to a group, the model has the bytes of a run that had none. Nothing here shows
//! that a real NCCL does what its documentation says.

#![allow(clippy::unwrap_used, clippy::panic)] // what tests share fails by panic, too

mod ground;
// The stand-ins of the tests of NCCL itself.
#[allow(dead_code)]
#[path = "../../../snel-cuda/tests/nccl/host.rs"]
mod host;
mod place;

use std::sync::Arc;
use std::time::Duration;

use snel_cluster::worker::LinkError;

use crate::ground::{Death, Watched};
use crate::host::{ALL, Fake, Fault};
use crate::place::Place;

/// Two grounds are as good as one: nobody dies.
fn well(fake: &Arc<Fake>) -> Arc<Watched> {
    Watched::new(fake, Death::Never)
}

#[test]
fn a_group_leaves_the_bytes_of_a_run_without_one() {
    let place = Place::new();
    let alone = place.train_alone();
    for workers in [2, 3] {
        let fake = Arc::new(Fake::new());
        let grounds: Vec<Arc<Watched>> = (0..workers).map(|_| well(&fake)).collect();
        let run = place.begin(&format!("with-{workers}"), &grounds);
        assert!(run.model() == alone, "{workers} workers");
        for ended in run.end() {
            ended.unwrap();
        }
        let sums: Vec<u64> = grounds.iter().map(|ground| ground.sums()).collect();
        assert!(sums.iter().all(|sums| *sums > 100), "most steps were the group's: {sums:?}");
        fake.assert_clean();
    }
}

/// One that has not given its sums: the others wait for it in vain. One that has: the others hold the
/// sum, of a step that cannot be committed without its word.
#[test]
fn a_worker_that_dies_in_a_sum_costs_nothing() {
    let place = Place::new();
    let alone = place.train_alone();
    for (name, death) in [("before", Death::Before(20)), ("after", Death::After(20))] {
        let fake = Arc::new(Fake::new());
        let grounds = [well(&fake), Watched::new(&fake, death), well(&fake)];
        let run = place.begin(name, &grounds);
        assert!(run.model() == alone, "{name}");
        assert_eq!(run.status().recoveries, 1, "{name}");
        let ended = run.end_with_deaths();
        assert_eq!(ended.iter().filter(|end| end.is_none()).count(), 1, "one has died");
        assert!(grounds[0].joins() > 1, "those who are left made another group");
        assert!(grounds[0].sums() > 100, "and it worked: {}", grounds[0].sums());
        fake.assert_clean();
    }
}

/// Each group fails at its fifth sum.
#[test]
fn groups_that_fail_again_and_again_change_nothing() {
    let place = Place::new();
    let alone = place.train_alone();
    let fake = Arc::new(Fake::new());
    fake.inject(Fault::AsyncCode, ALL, 5, 6);
    let grounds = [well(&fake), well(&fake)];
    let run = place.begin("failing", &grounds);
    assert!(run.model() == alone);
    run.end();
    assert!(grounds[0].joins() > 1, "it is tried again");
    fake.assert_clean();
}

#[test]
fn groups_that_never_form_change_nothing() {
    let place = Place::new();
    let alone = place.train_alone();
    let fake = Arc::new(Fake::new());
    fake.inject(Fault::InitNever, 1, 0, 0);
    let grounds = [well(&fake), well(&fake)];
    let run = place.begin("lonely", &grounds);
    assert!(run.model() == alone);
    run.end();
    assert_eq!(grounds[0].sums(), 0);
    fake.assert_clean();
}

/// As one dies, another one's communicator does not come back from being aborted.
#[test]
fn a_worker_that_cannot_leave_its_group_ends() {
    let place = Place::new();
    let alone = place.train_alone();
    let fake = Arc::new(Fake::new());
    fake.inject(Fault::AbortHangs, 0, 0, 0);
    let grounds = [0, 1, 2].map(|i| match i {
        2 => Watched::patient(&fake, Death::Before(20), Duration::from_millis(300)),
        _ => Watched::patient(&fake, Death::Never, Duration::from_millis(300)),
    });
    let run = place.begin("stuck", &grounds);
    assert!(run.model() == alone);
    let stuck = run.end_with_deaths().into_iter().flatten().filter(|end| {
        matches!(end, Err(LinkError::Stuck(why)) if why.contains("ncclCommAbort has not returned"))
    });
    assert_eq!(stuck.count(), 1);
}
