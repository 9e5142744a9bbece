//! Steps with chains: against the f64 reference, against closed forms, and against themselves with other
//! numbers of threads.

#![allow(clippy::unwrap_used)] // a test may panic

use std::sync::Arc;

use snel_core::activation::Activation;
use snel_core::collective::Alone;
use snel_core::density::{Affine, Density, Draws, Scale};
use snel_core::energy::Energy;
use snel_core::engine::{Engine, EngineError};
use snel_core::mcmc::{Kernel, Mcmc, Persistent, Start};
use snel_core::objective::Objective;
use snel_core::optim::{Optim, Schedule, Shape};
use snel_core::partial::StepError;
use snel_core::philox::{Key, Stream};
use snel_core::plan::Batching;
use snel_core::problem::{Base, Model, Problem};
use snel_core::reference::ReferenceEngine;
use snel_core::rows::Matrix;
use snel_core::state::State;
use snel_core::step::{StepFault, reduce_step, room_for};
use snel_cpu::{CpuEngine, InstructionSet};

/// Chains of a step; no multiple of a tile or a chunk.
const MOVED: u64 = 300;
const ROWS: usize = 70;

fn normals(count: usize, seed: u32) -> Vec<f64> {
    let mut values = vec![0.0; count];
    Draws::new(Key::new(seed, Stream::Fit), 0, 0).normals(&mut values);
    values
}

fn data(dim: usize) -> Arc<Matrix> {
    let values = normals(ROWS * dim, 3).into_iter().map(|z| (0.2 + 0.9 * z) as f32).collect();
    Arc::new(Matrix::new(values, dim).unwrap())
}

fn batching() -> Batching {
    let total_rows = ROWS as u64;
    Batching { batch: 50, samples: MOVED, per_row: false, chunk: 140, total_rows, seed: 8 }
}

fn persistent() -> Start {
    Start::Persistent(Persistent { chains: 2 * MOVED, moved: MOVED, reinit: 0.2 })
}

fn at(dim: usize, sd: f64) -> Affine {
    let mut lower = vec![0.1; dim * (dim + 1) / 2];
    (0..dim).for_each(|i| lower[i * (i + 1) / 2 + i] = sd);
    Affine { mean: vec![0.1; dim], scale: Scale::Lower(lower) }
}

/// Every kind of energy and base, with every start and kernel somewhere.
fn problems() -> Vec<Problem> {
    let dim = 3;
    let gaussian = Density::Gaussian { at: at(dim, 1.2) };
    let student = Density::Student { df: 4.0, at: at(dim, 1.1) };
    let mixture = Density::Mixture {
        weights: vec![0.6, 0.4],
        components: vec![gaussian.clone(), student.clone()],
    };
    let mlp = |widths: &[usize], activation, residual| Energy::Mlp {
        dim,
        widths: widths.to_vec(),
        activation,
        residual,
    };
    let energies = [
        Energy::Quadratic { dim },
        mlp(&[17], Activation::Silu, false),
        mlp(&[], Activation::Silu, false),
        mlp(&[33, 33, 33], Activation::Tanh, true),
        mlp(&[5, 40], Activation::Softplus, false),
        mlp(&[8, 8], Activation::Gelu, true),
    ];
    let bases = [Base::Proposal, Base::None, Base::Density(student)];
    let kernels = [Kernel::Ula { noise: 0.7 }, Kernel::Mala, Kernel::Hmc { leapfrog: 3 }];
    let starts = [persistent(), Start::Proposal, Start::Data];
    let mut problems = Vec::new();
    for (i, energy) in energies.into_iter().enumerate() {
        for (j, kernel) in kernels.into_iter().enumerate() {
            let base = bases[(i + j) % 3].clone();
            let proposal = if i % 2 == 0 { gaussian.clone() } else { mixture.clone() };
            let model = Model { energy: energy.clone(), base, proposal };
            let mcmc = Mcmc {
                start: starts[(i / 2 + j) % 3],
                kernel,
                moves: 3,
                step_size: 0.3,
                adapt: true,
                posterior: None,
            };
            problems.push(Problem::new(model, Objective::Mcmc(mcmc), Optim::default(), 8));
        }
    }
    problems
}

/// The first state but for random parameters.
fn random_state(problem: &Problem) -> State {
    let parameters = normals(problem.layout.len(), 9).into_iter().map(|z| (0.3 * z) as f32);
    State { parameters: parameters.collect(), ..problem.initial_state() }
}

/// A step's gradient, `[contrast, acceptance]`, and the state after it.
fn step(engine: &mut dyn Engine, problem: &Problem) -> (Vec<f64>, [f64; 2], State) {
    let mut partial = room_for(problem);
    let reduced = reduce_step(engine, &mut Alone, &batching(), &mut partial).unwrap();
    let mut gradient = vec![0.0; problem.layout.len()];
    reduced.gradient(&mut gradient);
    let s = reduced.statistics;
    assert_eq!((s.rows, s.samples, s.chains), (50, 0, MOVED));
    let scalars = [s.contrast(), s.acceptance()];
    engine.apply(&reduced);
    (gradient, scalars, engine.snapshot())
}

/// Three moves in f32 against f64. Points of order one are rounded to 6e-8 and gradients have errors of
/// 1e-6 by three layers; maps of step size 0.3 stretch errors by less than two a move, so places agree
/// to 1e-5, unless a chain is accepted by one engine and refused by the other: with a probability of
/// 1e-5 a move, 900 moves, that is one chain in a hundred steps. Gradients are means over points whose
/// terms are below 20.
#[test]
fn steps_agree_with_the_reference() {
    for problem in problems() {
        let problem = Arc::new(problem);
        let state = random_state(&problem);
        let mut reference = ReferenceEngine::new(problem.clone(), data(3));
        reference.restore(&state).unwrap();
        let (expected, scalars, after) = step(&mut reference, &problem);
        for set in InstructionSet::present() {
            let mut cpu =
                CpuEngine::with_instruction_set(problem.clone(), data(3), 2, set).unwrap();
            cpu.restore(&state).unwrap();
            let (gradient, found, state) = step(&mut cpu, &problem);
            for (i, (g, e)) in gradient.iter().zip(&expected).enumerate() {
                assert!((g - e).abs() < 1e-4 * (1.0 + e.abs()), "{set}, {problem:?} {i}: {g} {e}");
            }
            assert_eq!(gradient[problem.layout.b()], 0.0, "nothing is learned of b");
            for (f, e) in found.iter().zip(scalars) {
                assert!((f - e).abs() < 1e-4 * (1.0 + e.abs()), "{set}, {problem:?}: {f} {e}");
            }
            assert_eq!(state.chains.len(), after.chains.len());
            for (f, e) in state.chains.iter().zip(&after.chains) {
                assert!((f - e).abs() < 1e-4 * (1.0 + e.abs()), "{set}, {problem:?}: {f} {e}");
            }
            assert!((state.step_size / after.step_size - 1.0).abs() < 1e-4);
        }
    }
}

/// A step moves its own chains and no others; a refused one moves none.
#[test]
fn chains_move_where_they_are_kept() {
    let problem = Arc::new(problems().remove(0));
    let mut engine = CpuEngine::new(problem.clone(), data(3), 2).unwrap();
    let first = engine.snapshot();
    assert_eq!(first.chains.len() as u64, 2 * MOVED * 3);
    let moved = |a: &State, b: &State| {
        let pairs = a.chains.chunks(3).zip(b.chains.chunks(3));
        pairs.filter(|(a, b)| a != b).count() as u64
    };
    let second = step(&mut engine, &problem).2;
    assert_eq!(moved(&first, &second), MOVED);
    let third = step(&mut engine, &problem).2;
    assert_eq!((moved(&second, &third), moved(&first, &third)), (MOVED, 2 * MOVED));
    engine.skip();
    let skipped = engine.snapshot();
    assert_eq!((skipped.step, skipped.chains), (3, third.chains));
    assert_eq!(skipped.step_size, third.step_size);
    // Energies that are no numbers refuse the step.
    let broken = State { parameters: vec![f32::NAN; first.parameters.len()], ..first.clone() };
    engine.restore(&broken).unwrap();
    let mut partial = room_for(&*problem);
    let error = reduce_step(&mut engine, &mut Alone, &batching(), &mut partial).unwrap_err();
    assert!(matches!(error, StepFault::Refused(StepError::NotFinite { .. })), "{error}");
    let fewer = State { chains: Vec::new(), ..first };
    let error = engine.restore(&fewer).unwrap_err();
    assert!(matches!(error, EngineError::Chains { found: 0, expected: 1800 }), "{error}");
}

/// Ten steps with 1, 2, 3 and 7 threads end in the same bits, chains included.
#[test]
fn threads_do_not_change_a_bit() {
    for problem in problems().into_iter().step_by(3) {
        let problem = Arc::new(problem);
        let run = |threads| {
            let mut engine = CpuEngine::new(problem.clone(), data(3), threads).unwrap();
            let mut partial = room_for(&*problem);
            let small = Batching { chunk: 64, ..batching() };
            for _ in 0..10 {
                let step = reduce_step(&mut engine, &mut Alone, &small, &mut partial);
                engine.apply(&step.unwrap());
            }
            engine.snapshot()
        };
        let one = run(1);
        assert!(one.parameters.iter().any(|p| *p != 0.0));
        for threads in [2, 3, 7] {
            assert_eq!(run(threads), one, "{threads} threads");
        }
    }
}

/// The maximum-likelihood Gaussian has the rows' moments. Persistent chains, with the quadratic energy on
/// top of a base of its own, find it: natural parameters to precision and mean. The tolerance is three
/// times what the noise of 1,200 chains leaves when the learning rate falls to zero.
#[test]
fn persistent_chains_find_the_maximum_likelihood_gaussian() {
    let rows = data(2);
    let (n, values) = (ROWS as f64, rows.values());
    let mean = |d: usize| values.chunks(2).map(|x| f64::from(x[d])).sum::<f64>() / n;
    let means = [mean(0), mean(1)];
    let covariance = |i: usize, j: usize| {
        let term = |x: &[f32]| (f64::from(x[i]) - means[i]) * (f64::from(x[j]) - means[j]);
        values.chunks(2).map(term).sum::<f64>() / n
    };
    let [a, b, c] = [covariance(0, 0), covariance(0, 1), covariance(1, 1)];
    let det = a * c - b * b;
    // The base is N(0.3, 1.5²): its precision is the chains' already.
    let base = 1.0 / 2.25;
    let precision = [c / det - base, -b / det, a / det - base];
    let full = [c / det, -b / det, a / det];
    let linear = [
        0.3 * base - (full[0] * means[0] + full[1] * means[1]),
        0.3 * base - (full[1] * means[0] + full[2] * means[1]),
    ];
    let wide = Affine { mean: vec![0.3; 2], scale: Scale::Diagonal(vec![1.5; 2]) };
    let proposal = Density::Gaussian { at: wide };
    for kernel in [Kernel::Mala, Kernel::Hmc { leapfrog: 3 }] {
        let energy = Energy::Quadratic { dim: 2 };
        let model = Model { energy, base: Base::Proposal, proposal: proposal.clone() };
        let start = Start::Persistent(Persistent { chains: 1200, moved: 1200, reinit: 0.0 });
        let mcmc = Mcmc { start, kernel, moves: 2, step_size: 0.5, adapt: true, posterior: None };
        let schedule = Schedule { warmup: 0, shape: Shape::Cosine { steps: 800, floor: 0.0 } };
        let optim = Optim { lr: 0.03, weight_decay: 0.0, schedule, ..Optim::default() };
        let problem = Arc::new(Problem::new(model, Objective::Mcmc(mcmc), optim, 4));
        let mut engine = CpuEngine::new(problem.clone(), rows.clone(), 2).unwrap();
        let batching = Batching { batch: ROWS as u64, samples: 1200, ..batching() };
        let mut partial = room_for(&*problem);
        for _ in 0..800 {
            let step = reduce_step(&mut engine, &mut Alone, &batching, &mut partial);
            engine.apply(&step.unwrap());
        }
        let found = engine.snapshot().parameters;
        let expected = precision.into_iter().chain(linear);
        for (found, expected) in found.iter().zip(expected) {
            assert!((f64::from(*found) - expected).abs() < 0.08, "{kernel:?}: {found} {expected}");
        }
    }
}
