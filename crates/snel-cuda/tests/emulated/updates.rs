//! Updates on the device against [`State::apply`].

use std::sync::Arc;

use snel_core::engine::Engine;
use snel_core::objective::Objective;
use snel_core::optim::{Optim, Schedule, Shape};
use snel_core::problem::Problem;
use snel_core::state::State;
use snel_cuda::{CudaEngine, Precision, Settings};

use crate::cases::{Case, plan, rows, small, whole};
use crate::compilation::available;
use crate::emulator::Emulator;

/// Three steps; calls `check` with the state of the device and that of the host, and the norms of
/// both, after each.
fn run(objective: Objective, optim: Optim, mut check: impl FnMut(&State, &State, [f64; 2])) {
    let case = Case { objective, ..Case::new() };
    let mut problem: Problem = (*case.problem()).clone();
    problem.optim = optim;
    let problem = Arc::new(problem);
    let settings = Settings { precision: Precision::Fp32, ..small() };
    let mut engine =
        CudaEngine::new(Arc::clone(&problem), rows(case.dim), Emulator::new(1), &settings).unwrap();
    let mut state = case.state();
    engine.restore(&state).unwrap();
    for step in 0..3 {
        let mut plan = plan();
        plan.step = step;
        let partial = whole(&mut engine, &problem, &plan);
        let reduced = partial.reduce().unwrap();
        let host = state.apply(&problem, &reduced, &mut Vec::new());
        let device = engine.apply(&reduced);
        assert_eq!(device.lr, host.lr);
        assert_eq!(engine.head(), state.head());
        check(&engine.snapshot(), &state, [device.gradient_norm, host.gradient_norm]);
    }
}

fn decaying() -> Optim {
    Optim {
        weight_decay: 0.1,
        lr: 0.01,
        schedule: Schedule { warmup: 2, shape: Shape::Constant },
        ..Optim::default()
    }
}

/// Without clipping every bit is the host's. The norm is the same sum in another order: 600 squares
/// of about one size.
#[test]
fn updates_have_the_bits_of_the_host() {
    if !available() {
        return;
    }
    for objective in [Objective::Snl, Objective::IsMle] {
        run(objective, decaying(), |device, host, [norm, right]| {
            assert_eq!(device, host);
            assert!((norm - right).abs() < 1e-14 * right, "{norm} {right}");
        });
    }
}

/// Clipping divides by the norm, whose last bits may be others: parameters agree to a rounding of
/// f32. The gradient is larger than the limit, so that the factor is not one.
#[test]
fn clipped_updates_agree_with_the_host() {
    if !available() {
        return;
    }
    let optim = Optim { clip_norm: Some(1e-3), epsilon: 1e-2, ..decaying() };
    run(Objective::Snl, optim, |device, host, [norm, _]| {
        assert!(norm > 1e-3);
        for (a, b) in device.parameters.iter().zip(&host.parameters) {
            assert!((a - b).abs() <= f32::EPSILON * b.abs(), "{a} {b}");
        }
    });
}

/// Sums that others made are uploaded; `b` and a skipped step reach the device and come back.
#[test]
fn what_the_host_changes_reaches_the_device() {
    if !available() {
        return;
    }
    let case = Case::new();
    let problem = case.problem();
    let settings = Settings { precision: Precision::Fp32, ..small() };
    let mut worker = case.engine(Emulator::new(1), &settings);
    let mut idle = case.engine(Emulator::new(2), &settings);
    for step in 0..2 {
        let mut plan = plan();
        plan.step = step;
        let partial = whole(&mut worker, &problem, &plan);
        let reduced = partial.reduce().unwrap();
        for engine in [&mut worker, &mut idle] {
            engine.apply(&reduced);
            engine.set_b(0.1 * step as f32);
            engine.skip();
        }
        assert_eq!(worker.digest(), idle.digest());
        assert_eq!(worker.head().step, 2 * u64::from(step) + 2);
        assert_eq!(worker.snapshot().head(), worker.head());
    }
}
