//! NCCL between processes that share the GPU: the bits of one process alone, whatever becomes of
//! the others.
//!
//! Ranks that share a GPU take turns on it, which is slow and says nothing of how fast NCCL is.
//! NCCL allows it from 2.30 on.

use std::time::{Duration, Instant};

use snel_core::collective::Alone;
use snel_core::engine::Engine;
use snel_core::objective::Objective;
use snel_cuda::nccl::Library;

use crate::emulator;
use crate::task::{STEPS, Task, engine, train};
use crate::world::World;

/// For a whole run of a world, whose own deadlines are shorter.
const PATIENCE: Duration = Duration::from_secs(150);

/// Whether worlds of so many ranks can be tested here; if not, a line says why.
fn available(ranks: u32) -> bool {
    if !emulator::available() {
        return false;
    }
    let required = std::env::var_os("SNEL_REQUIRE_NCCL").is_some();
    let version = match Library::load() {
        Ok(library) => library.version().to_string(),
        Err(error) => {
            assert!(!required, "{error}");
            println!("skipped: {error}");
            return false;
        }
    };
    let able = ranks == 1 || shares_gpus(&version);
    if !able {
        assert!(!required, "NCCL {version}: 2.30 is needed");
        println!("skipped: NCCL {version} has no several ranks on one GPU; 2.30 has");
    }
    able
}

/// Whether a version like 2.30.7 allows several ranks on one GPU.
fn shares_gpus(version: &str) -> bool {
    let numbers: Vec<u32> = version.split('.').map(|number| number.parse().unwrap()).collect();
    numbers >= vec![2, 30]
}

/// The digest that one process ends with.
fn alone(objective: Objective) -> String {
    let mut engine = engine(objective);
    let before = engine.digest();
    train(&mut engine, &mut Alone, objective, STEPS).unwrap();
    assert_ne!(engine.digest(), before);
    format!("{:032x}", engine.digest())
}

fn ends_as_one_process(ranks: u32) {
    if !available(ranks) {
        return;
    }
    for objective in [Objective::Snl, Objective::IsMle] {
        let (expected, start) = (alone(objective), Instant::now());
        let mut world = World::start(ranks, &Task::Train(objective).name());
        for rank in 0..ranks {
            let digest = world.hear(rank, "digest", PATIENCE).unwrap_or_else(|e| panic!("{e}"));
            assert_eq!(digest, expected, "{objective:?}, rank {rank} of {ranks}");
        }
        for rank in 0..ranks {
            world.end(rank, PATIENCE).unwrap_or_else(|e| panic!("{e}"));
        }
        println!("{objective:?}: {ranks} ranks over NCCL and one process end with {expected}");
        println!("{STEPS} steps took {:?}, starts included", start.elapsed());
    }
}

#[test]
fn one_rank_ends_as_one_process() {
    ends_as_one_process(1);
}

#[test]
fn two_ranks_end_as_one_process() {
    ends_as_one_process(2);
}

#[test]
fn four_ranks_end_as_one_process() {
    ends_as_one_process(4);
}

#[test]
fn a_killed_rank_costs_no_bit() {
    const RANKS: u32 = 3;
    if !available(RANKS) {
        return;
    }
    let expected = alone(Task::LOSE_OBJECTIVE);
    let mut world = World::start(RANKS, &Task::Lose.name());
    for rank in 0..RANKS {
        // Once all say so, the survivors are on their way into a sum that will never be.
        world.hear(rank, "ready", PATIENCE).unwrap_or_else(|e| panic!("{e}"));
    }
    world.kill(RANKS - 1);
    for rank in 0..RANKS - 1 {
        let digest = world.hear(rank, "digest", PATIENCE).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(digest, expected, "rank {rank}");
        world.end(rank, PATIENCE).unwrap_or_else(|e| panic!("{e}"));
    }
    println!("two survivors of three and one process end with {expected}");
}

#[test]
fn versions_that_share_gpus_are_told_from_others() {
    assert!(["2.30.0", "2.30.7", "2.31.2", "3.0.0"].into_iter().all(shares_gpus));
    assert!(!["2.29.9", "2.9.30", "2.5.0"].into_iter().any(shares_gpus));
}
