//! One step, again and again: a race that shows once in a thousand times shows here.

use snel_core::chunks::ChunkSet;
use snel_core::engine::Engine;
use snel_core::plan::Batching;
use snel_cuda::{Precision, Settings};

use crate::cases::{Case, bytes, diagonal, empty};
use crate::compilation::available;
use crate::emulator::Emulator;

/// Repeats of each precision; `SNEL_TEST_REPEATS` changes it.
const REPEATS: u32 = 10_000;

#[test]
fn a_step_has_the_same_bits_every_time() {
    if !available() {
        return;
    }
    let repeats = match std::env::var("SNEL_TEST_REPEATS") {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("SNEL_TEST_REPEATS is {text}")),
        Err(_) => REPEATS,
    };
    let proposal = snel_core::density::Density::Gaussian { at: diagonal(8) };
    let case = Case { dim: 8, widths: vec![64; 3], proposal, ..Case::new() };
    // More chunks than some GPUs have multiprocessors, with tails.
    let batching = Batching {
        batch: 150,
        samples: 20_000,
        per_row: false,
        chunk: 128,
        total_rows: 200,
        seed: 5,
    };
    let (problem, plan) = (case.problem(), batching.plan(2, 30));
    let all = ChunkSet::of(0..plan.n_chunks());
    for precision in Precision::ALL {
        let settings = Settings { precision, ..Settings::default() };
        let mut engine = case.engine(Emulator::new(0), &settings);
        let mut partial = empty(&problem, &plan);
        engine.accumulate(&plan, &all, &mut partial).unwrap();
        let first = bytes(&partial);
        for repeat in 1..repeats {
            partial.restart(plan.scale, plan.n_chunks());
            engine.accumulate(&plan, &all, &mut partial).unwrap();
            assert!(bytes(&partial) == first, "{precision}: repeat {repeat} differs");
        }
        println!("{precision}: {repeats} times the same {} bytes", first.len());
    }
}
