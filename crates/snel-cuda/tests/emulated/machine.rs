//! The emulator itself: what it must report instead of hanging, or ending the process.

use std::path::PathBuf;

use snel_core::engine::{Engine, Scored};
use snel_cuda::CudaEngine;

use crate::cases::{Case, empty, plan, rows, small};
use crate::compilation::{available, changed_kernels};
use crate::emulator::Emulator;

/// The kernels with `statement` at the beginning of the backward pass.
fn with_statement(name: &str, statement: &str) -> PathBuf {
    let place = "    backward_output(block, sums);\n";
    changed_kernels(&format!("faults/{name}"), "gradient.cuh", |text| {
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
