//! Thousands of damaged files and messages of every format: none makes a reader panic, hang or ask
//! for absurd memory. Damage is seeded, so that a failure names the round that shows it again.
//!
//! `just fuzz` searches further, with coverage.

// A test may panic and print.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

use cap::Cap;
use snel_tests::hostile::{Draws, TARGETS, Target, damage};
use std::alloc::System;

/// A reader holds a chunk of rows and the file, both small here. Far above what the harness
/// itself takes; far below what a header can claim.
const MEMORY: usize = 256 << 20;

/// More than [`MEMORY`], so that a small excess is told with its round.
#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, 4 * MEMORY);

/// Reads damaged files; panics unless enough of them were taken, and enough refused, to say that
/// both answers were tried.
fn survive(name: &str, rounds: u32) {
    let target = TARGETS.iter().find(|target| target.name == name).unwrap();
    let Target { read, seeds, .. } = target;
    let seeds = seeds();
    assert!(seeds.iter().all(|seed| read(seed)), "{name}: a sound file is refused");
    let mut taken = 0;
    for round in 0..rounds {
        let bytes = damage(&seeds, &mut Draws::new(round));
        let read = std::panic::catch_unwind(|| read(&bytes));
        taken += u32::from(read.unwrap_or_else(|_| panic!("{name}: round {round} panics")));
        let peak = ALLOCATOR.max_allocated();
        assert!(peak < MEMORY, "{name}: {peak} bytes of memory by round {round}");
    }
    println!("{name}: {taken} of {rounds} taken");
    assert!(taken > rounds / 100 && taken < rounds / 10 * 9, "{name}: {taken} of {rounds} taken");
}

#[test]
fn config() {
    survive("config", 30_000);
}

#[test]
fn csv() {
    survive("csv", 30_000);
}

#[test]
fn npy() {
    survive("npy", 30_000);
}

#[test]
fn npz() {
    survive("npz", 30_000);
}

#[test]
fn parquet() {
    survive("parquet", 30_000);
}

#[test]
fn idx() {
    survive("idx", 30_000);
}

#[test]
fn container() {
    survive("container", 30_000);
}

#[test]
fn partial() {
    survive("partial", 30_000);
}

#[test]
fn frames() {
    survive("frames", 30_000);
}

#[test]
fn record() {
    survive("record", 30_000);
}
