//! The emulator itself: what it must report instead of hanging, or ending the process.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use snel_core::collective::Alone;
use snel_core::engine::{DensityEngine, Engine, Scored};
use snel_core::plan::Batching;
use snel_core::step::{advance, room_for};
use snel_cuda::CudaEngine;

use crate::cases::{Case, empty, plan, rows, small};
use crate::compilation::{available, changed_kernels};
use crate::emulator::Emulator;

/// The kernels with `statement` before a barrier in the middle of a tile.
fn with_statement(name: &str, statement: &str) -> PathBuf {
    let place = "        __syncthreads();\n        backward(block, sums);\n";
    changed_kernels(&format!("faults/{name}"), "step.cuh", |text| {
        assert!(text.contains(place));
        text.replace(place, &format!("{statement}\n{place}"))
    })
}

fn report(name: &str, statement: &str) -> String {
    let (case, plan) = (Case::new(), plan());
    let problem = case.problem();
    let device = Emulator::new(1).with_sources(with_statement(name, statement));
    let mut engine = CudaEngine::new(case.problem(), rows(case.dim), device, &small()).unwrap();
    engine.restore(&case.state()).unwrap();
    let mut partial = empty(&problem, &plan);
    let all = snel_core::chunks::ChunkSet::of(0..plan.n_chunks());
    format!("{:?}", engine.accumulate(&plan, &all, &mut partial).unwrap_err())
}

#[test]
fn faults_are_reported() {
    if !available() {
        return;
    }
    for (name, statement, expected) in [
        ("barrier", "if (threadIdx.x < 40) __syncthreads();", "barriers diverge"),
        ("exit", "if (threadIdx.x == 7) return;", "diverge"),
        ("missing", "if (threadIdx.x % 2) __syncwarp();", "deadlock"),
        (
            "two",
            "if (threadIdx.x % 2) {\n__syncwarp();\n} else {\n__syncwarp();\n}",
            "collectives diverge",
        ),
        ("memory", "*(volatile int*)8 = 1;", "no memory"),
    ] {
        let found = report(name, statement);
        assert!(found.contains(expected), "{name}: {found}");
    }
}

/// Scores cannot return an error: they are NaN, and the next step says why, once.
#[test]
fn a_failure_while_scoring_is_nan_and_then_an_error() {
    if !available() {
        return;
    }
    let (case, plan) = (Case::new(), plan());
    let problem = case.problem();
    let place = "        if (t < count) {\n            const Shared& found";
    let sources = changed_kernels("faults/score", "snel.cu", |text| {
        assert!(text.contains(place));
        text.replace(place, &format!("*(volatile int*)8 = 1;\n{place}"))
    });
    let mut engine = case.engine(Emulator::new(1).with_sources(sources), &small());
    let mut scored = [Scored::default(); 2];
    engine.score(&[0.5; 6], &mut scored);
    assert!(scored.iter().all(|s| s.energy.is_nan() && s.log_proposal.is_nan()));
    let all = snel_core::chunks::ChunkSet::of(0..plan.n_chunks());
    let mut partial = empty(&problem, &plan);
    assert!(engine.accumulate(&plan, &all, &mut partial).is_err());
    assert!(engine.accumulate(&plan, &all, &mut partial).is_ok());
}

/// Of a row chunk and a sample chunk.
const BATCHING: Batching =
    Batching { batch: 16, samples: 16, per_row: false, chunk: 16, total_rows: 200, seed: 5 };

/// A batch is waited for once, and tells all about its steps.
#[test]
fn a_batch_has_one_wait() {
    if !available() {
        return;
    }
    let case = Case::new();
    let device = Emulator::new(1);
    let waits = Arc::clone(&device.waits);
    let mut engine = case.engine(device, &small());
    let before = waits.load(Ordering::Relaxed);
    let mut outcomes = Vec::new();
    engine.advance(&BATCHING, 5, &mut outcomes).unwrap();
    assert_eq!((outcomes.len(), engine.head().step), (5, 5));
    assert_eq!(waits.load(Ordering::Relaxed) - before, 1);
}

/// A device that fails in the middle of a batch has moved parameters that nobody will ask for: the
/// state is the host's, and the same steps can be made again from there.
#[test]
fn a_failure_in_a_batch_leaves_the_state_of_the_host() {
    if !available() {
        return;
    }
    let place = "    if (a.control->stalled != 0) return;\n    const Block block";
    let sources = changed_kernels("faults/batch", "snel.cu", |text| {
        assert!(text.contains(place));
        text.replace(place, &format!("if (a.step == 3) *(volatile int*)8 = 1;\n{place}"))
    });
    let case = Case::new();
    let mut engine = case.engine(Emulator::new(1).with_sources(sources), &small());
    let mut partial = room_for(&case.problem());
    let mut outcomes = Vec::new();
    let mut go = |engine: &mut CudaEngine<Emulator>, steps| {
        advance(engine, &mut Alone, &BATCHING, steps, &mut partial, &mut outcomes)
    };
    go(&mut engine, 1).unwrap();
    // The host's copy from here on, at step 1.
    let (head, digest) = (engine.head(), engine.digest());
    go(&mut engine, 1).unwrap();
    assert!(format!("{:?}", go(&mut engine, 4).unwrap_err()).contains("no memory"));
    assert_eq!((engine.head(), engine.digest()), (head, digest));
    go(&mut engine, 2).unwrap();
    assert_eq!(engine.head().step, 3);
}
