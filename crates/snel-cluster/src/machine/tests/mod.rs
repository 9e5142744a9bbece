//! Plays whole runs against the machine, each from a seed: workers that keep the protocol, a network
//! that delays, and whatever may go wrong.
//!
//! A seed fails if a promise of the machine is broken at any action (`promises.rs`, `ledger.rs`), if
//! a worker ever has a state that an undisturbed run does not pass through, or if the run does not
//! end in time once nothing goes wrong any more. To see one:
//! `SNEL_SEED=17 cargo test -p snel-cluster replay -- --nocapture`.
//!
//! In many seeds workers sum among themselves (`fabric.rs`), and in most of those that fails now and
//! then (`grouped.rs` looks at what the machine makes of it).
//!
//! What is not played: a record that loses entries, which the shell must not allow; a memory that
//! fails while nobody else can compare, which nothing can find.

mod coordinator;
mod dice;
mod fabric;
mod faults;
mod group_scripts;
mod grouped;
mod ledger;
mod network;
mod play;
mod problem;
mod processes;
mod promises;
mod scripted;
mod tally;
mod worker;
mod workload;
mod world;

use std::time::Instant;

use faults::Fault;
use tally::Tally;
use world::{Ending, World};

/// Turns that a run seldom takes; some seeds must.
const RARE: [&str; 13] = [
    "start from disk",
    "start from a snapshot",
    "sum sent late",
    "commit told late",
    "repetition",
    "repetition told late",
    "membership at the end",
    "step by a group",
    "repetition by a group",
    "group over in a round",
    "some of a group hold the sum",
    "sums of a group differ",
    "a sum that does not count",
];

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

/// Others are played with `SNEL_FIRST`, and more with `SNEL_SEEDS`.
#[test]
fn ten_thousand_seeds() {
    let first = number("SNEL_FIRST").unwrap_or(0);
    let seeds = number("SNEL_SEEDS").unwrap_or(10_000);
    let (mut tally, mut failed) = (Tally::default(), Vec::new());
    let start = Instant::now();
    for seed in first..first + seeds {
        match World::run(seed, false) {
            Ok(seen) => tally.add(seen),
            Err(why) => failed.push((seed, why)),
        }
        if failed.len() == 10 {
            break;
        }
    }
    println!("{seeds} seeds in {:.1?}: {tally:#?}", start.elapsed());
    for (seed, why) in &failed {
        println!("SNEL_SEED={seed}: {why}");
    }
    assert!(failed.is_empty(), "the first seed that fails is {}", failed[0].0);
    if seeds >= 10_000 {
        let unseen = RARE.iter().find(|turn| !tally.seen.contains_key(*turn));
        assert_eq!(unseen, None, "no run took this turn");
        let unplayed = Fault::all().find(|fault| !tally.faults.contains_key(fault));
        assert_eq!(unplayed, None, "this fault was never played");
        let share = |ending| tally.per_mille(ending, seeds);
        assert!(share(Ending::Finished) > 800, "most runs come to their end");
        assert!(share(Ending::Undetectable) < 10, "few runs say nothing");
    }
}

/// Tells what happens in the seed of `SNEL_SEED`, or of the first.
#[test]
fn replay() {
    let seed = number("SNEL_SEED").unwrap_or(0);
    match World::run(seed, true) {
        Ok(tally) => println!("{tally:?}"),
        Err(why) => panic!("SNEL_SEED={seed}: {why}"),
    }
}
