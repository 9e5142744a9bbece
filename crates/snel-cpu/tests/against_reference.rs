//! The CPU engine against the f64 reference, and against itself with other numbers of threads.

#![allow(clippy::unwrap_used)] // a test may panic

use std::sync::Arc;

use ndarray::{Array1, ArrayView2};
use snel_core::activation::Activation;
use snel_core::chunks::ChunkSet;
use snel_core::collective::Alone;
use snel_core::density::{Affine, Density, Draws, Scale};
use snel_core::energy::Energy;
use snel_core::engine::{DensityEngine, Engine, SampleSet, Scored};
use snel_core::objective::Objective;
use snel_core::optim::{Optim, Schedule, Shape};
use snel_core::partial::Partial;
use snel_core::philox::{Key, Stream};
use snel_core::plan::{Batching, StepPlan};
use snel_core::problem::{Base, Model, Problem};
use snel_core::reference::{ReferenceEngine, energy_gradients};
use snel_core::rows::Matrix;
use snel_core::state::State;
use snel_core::statistics::Statistics;
use snel_core::step::{reduce_step, room_for};
use snel_cpu::{CpuEngine, InstructionSet};

fn optim() -> Optim {
    Optim {
        lr: 1e-3,
        b_lr: 1e-2,
        weight_decay: 1e-3,
        clip_norm: Some(5.0),
        schedule: Schedule { warmup: 3, shape: Shape::Cosine { steps: 20, floor: 0.0 } },
        ..Optim::default()
    }
}

fn normals(count: usize, seed: u32) -> Vec<f64> {
    let mut values = vec![0.0; count];
    Draws::new(Key::new(seed, Stream::Fit), 0, 0).normals(&mut values);
    values
}

fn data(n: usize, dim: usize) -> Arc<Matrix> {
    let values = normals(n * dim, 3).into_iter().map(|z| (0.2 + 0.9 * z) as f32).collect();
    Arc::new(Matrix::new(values, dim).unwrap())
}

fn at(dim: usize, sd: f64) -> Affine {
    let mut lower = vec![0.1; dim * (dim + 1) / 2];
    (0..dim).for_each(|i| lower[i * (i + 1) / 2 + i] = sd);
    Affine { mean: vec![0.1; dim], scale: Scale::Lower(lower) }
}

fn proposals(dim: usize) -> Vec<Density> {
    let gaussian = Density::Gaussian { at: at(dim, 1.2) };
    let student = Density::Student { df: 4.0, at: at(dim, 1.1) };
    let uniform = Density::Uniform { low: vec![-4.0; dim], high: vec![4.5; dim] };
    let components = vec![gaussian.clone(), student.clone(), uniform.clone()];
    vec![gaussian, student, uniform, Density::Mixture { weights: vec![0.5, 0.3, 0.2], components }]
}

/// Sizes that are no multiples of tiles, chunks or vectors.
fn problems() -> Vec<Problem> {
    let mut problems = Vec::new();
    for dim in [1, 3] {
        let mut energies = vec![Energy::Quadratic { dim }];
        for (i, activation) in Activation::ALL.into_iter().enumerate() {
            let widths = [vec![17], vec![], vec![33, 33, 33], vec![5, 40], vec![8, 8]][i].clone();
            energies.push(Energy::Mlp { dim, widths, activation, residual: i % 2 == 0 });
        }
        for (i, energy) in energies.into_iter().enumerate() {
            for (j, proposal) in proposals(dim).into_iter().enumerate() {
                let other = Density::Gaussian { at: at(dim, 1.0) };
                let base = [Base::None, Base::Proposal, Base::Density(other)][(i + j) % 3].clone();
                let model = Model { energy: energy.clone(), base, proposal };
                problems.push(Problem::new(model, Objective::ALL[(i + 2 * j) % 3], optim(), 8));
            }
        }
    }
    problems
}

fn random_state(problem: &Problem) -> State {
    let parameters = normals(problem.layout.len(), 9).into_iter().map(|z| (0.3 * z) as f32);
    State::new(parameters.collect())
}

fn batching(samples: u64, chunk: u64) -> Batching {
    Batching { batch: 60, samples, per_row: false, chunk, total_rows: 60, seed: 8 }
}

fn sum(engine: &mut dyn Engine, problem: &Problem) -> (Vec<f64>, Statistics) {
    let mut partial = room_for(problem);
    let reduced = reduce_step(engine, &mut Alone, &batching(470, 200), &mut partial).unwrap();
    let mut gradient = vec![0.0; problem.layout.len()];
    reduced.gradient(&mut gradient);
    (gradient, reduced.statistics.clone())
}

/// Σ over points of |c ∇E|, the size that rounding errors are relative to.
fn magnitudes(reference: &ReferenceEngine, problem: &Problem, plan: &StepPlan) -> Vec<f64> {
    let len = problem.layout.len();
    let parameters: Vec<f64> =
        reference.snapshot().parameters.iter().map(|&p| f64::from(p)).collect();
    let dim = problem.model.dim();
    let mut total = vec![0.0; len];
    let set = SampleSet { stream: Stream::Proposal, step: plan.step };
    let m = plan.samples() as usize;
    let (mut x, mut scored) = (vec![0.0f32; m * dim], vec![Scored::default(); m]);
    reference.score_samples(set, 0..plan.samples(), &mut x, &mut scored);
    let b = f64::from(reference.head().b);
    let weight = |s: &Scored| (s.tilted() - f64::from(s.log_proposal) - b).exp().max(1.0);
    let mean: f64 = scored.iter().map(weight).sum::<f64>() / m as f64;
    let mut rows = vec![0; plan.batch() as usize];
    plan.rows(0, &mut rows);
    let mut values = vec![0.0; rows.len() * dim];
    snel_core::rows::Rows::gather(&*data(60, dim), &rows, &mut values).unwrap();
    let samples = x.chunks(dim).zip(scored.iter().map(|s| weight(s) / m as f64));
    let rows = values.chunks(dim).map(|x| (x, 1.0 / plan.batch() as f64));
    for (x, c) in samples.chain(rows) {
        let x: Vec<f64> = x.iter().map(|&v| f64::from(v)).collect();
        let view = ArrayView2::from_shape((1, dim), &x).unwrap();
        let mut one = vec![0.0; len];
        one[len - 1] = c;
        energy_gradients(
            &problem.model.energy,
            &parameters,
            view,
            &Array1::from(vec![c]),
            &mut one,
        );
        total.iter_mut().zip(one).for_each(|(t, g)| *t += g.abs());
    }
    total.iter_mut().for_each(|t| *t += mean * 1e-3);
    total
}

/// Relative to the sum of magnitudes an f32 gradient is off by about (products in a chain) times
/// 2^-24: here at most 33 inputs, three layers and 200 points, under 500 terms, 3e-5; the weights
/// add the error of their exponent, up to 3e-6 times |lw| < 20, 6e-5.
const TOLERANCE: f64 = 1e-4;

#[test]
fn gradients_agree_with_the_reference() {
    for problem in problems() {
        let problem = Arc::new(problem);
        let dim = problem.model.dim();
        let plan = batching(470, 200).plan(0, 0);
        let mut reference = ReferenceEngine::new(problem.clone(), data(60, dim));
        let state = random_state(&problem);
        reference.restore(&state).unwrap();
        let (expected, e) = sum(&mut reference, &problem);
        let magnitudes = magnitudes(&reference, &problem, &plan);
        for set in InstructionSet::present() {
            let mut cpu = engine(&problem, 2, set);
            cpu.restore(&state).unwrap();
            let (gradient, a) = sum(&mut cpu, &problem);
            for i in 0..gradient.len() {
                let bound = TOLERANCE * magnitudes[i];
                let error = (gradient[i] - expected[i]).abs();
                let (g, e) = (gradient[i], expected[i]);
                assert!(error <= bound, "{set}, {problem:?} {i}: {g} {e}");
            }
            assert_eq!((a.rows, a.samples), (e.rows, e.samples));
            assert!((a.mean_row() - e.mean_row()).abs() < 1e-5 * (1.0 + e.mean_row().abs()));
            assert!((a.mean_weight() / e.mean_weight() - 1.0).abs() < TOLERANCE);
            assert!((a.ess_fraction() / e.ess_fraction() - 1.0).abs() < 2.0 * TOLERANCE);
        }
    }
}

fn engine(problem: &Arc<Problem>, threads: usize, set: InstructionSet) -> CpuEngine {
    let data = data(60, problem.model.dim());
    CpuEngine::with_instruction_set(problem.clone(), data, threads, set).unwrap()
}

#[test]
fn scores_agree_with_the_reference() {
    for problem in problems() {
        let problem = Arc::new(problem);
        let dim = problem.model.dim();
        let mut reference = ReferenceEngine::new(problem.clone(), data(60, dim));
        let state = random_state(&problem);
        reference.restore(&state).unwrap();
        let set = SampleSet { stream: Stream::Evaluation, step: 0 };
        let n = 1500;
        let draw = |engine: &dyn DensityEngine| {
            let (mut x, mut scored) = (vec![0.0; n * dim], vec![Scored::default(); n]);
            engine.score_samples(set, 7..7 + n as u64, &mut x, &mut scored);
            (x, scored)
        };
        let (x, expected) = draw(&reference);
        for set in InstructionSet::present() {
            let mut cpu = engine(&problem, 2, set);
            cpu.restore(&state).unwrap();
            let (same_x, scored) = draw(&cpu);
            assert_eq!(x, same_x, "{set}: samples are the same points");
            let mut again = vec![Scored::default(); n];
            cpu.score(&x, &mut again);
            assert_eq!(again, scored, "{set}: a sample scores like any other point");
            for (s, e) in scored.iter().zip(&expected) {
                for (a, b) in [
                    (s.energy, e.energy),
                    (s.log_base, e.log_base),
                    (s.log_proposal, e.log_proposal),
                ] {
                    let close = a == b || (a - b).abs() < 1e-4 * (1.0 + b.abs());
                    assert!(close, "{set}, {problem:?}: {s:?} {e:?}");
                }
            }
        }
    }
}

/// Ten steps with 1, 2, 3 and 7 threads end in the same bits.
#[test]
fn threads_do_not_change_a_bit() {
    for problem in problems().into_iter().step_by(5) {
        let problem = Arc::new(problem);
        for set in InstructionSet::present() {
            let run = |threads| {
                let mut engine = engine(&problem, threads, set);
                let mut partial = room_for(&problem);
                for _ in 0..10 {
                    let batching = batching(700, 64);
                    let step = reduce_step(&mut engine, &mut Alone, &batching, &mut partial);
                    engine.apply(&step.unwrap());
                }
                engine.snapshot()
            };
            let one = run(1);
            assert!(one.parameters.iter().any(|p| *p != 0.0));
            for threads in [2, 3, 7] {
                assert_eq!(run(threads), one, "{set}, {threads} threads");
            }
        }
    }
}

/// What the tests above cover. A machine without AVX-512 or NEON cannot test them; one that has
/// them must.
#[test]
fn every_instruction_set_of_this_machine_is_tested() {
    let names: Vec<String> = InstructionSet::present().iter().map(ToString::to_string).collect();
    assert!(names.contains(&"portable".to_owned()));
    #[cfg(target_arch = "x86_64")]
    {
        let has_avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
        assert_eq!(names.contains(&"avx2+fma".to_owned()), has_avx2);
        let has_avx512 = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512bw");
        assert_eq!(names.contains(&"avx512".to_owned()), has_avx512);
    }
    #[cfg(target_arch = "aarch64")]
    assert!(names.contains(&"neon".to_owned()));
}

#[test]
fn states_of_other_models_are_refused() {
    let problem = Arc::new(problems().remove(0));
    let mut engine = CpuEngine::new(problem, data(60, 1), 1).unwrap();
    assert!(engine.restore(&State::new(vec![0.0; 2])).is_err());
}

/// What a thread computed before, however wild, is in none of its later sums: else these would depend
/// on which thread had it. The second tile of points ends in the middle of a block of rows.
#[test]
fn points_that_are_no_numbers_leave_nothing_behind() {
    for problem in problems() {
        let dim = problem.model.dim();
        let state = random_state(&problem);
        let problem = Arc::new(problem);
        let plan = batching(61, 64).plan(0, 30);
        let sums = |before: &[f32]| {
            let mut engine = CpuEngine::new(problem.clone(), data(60, dim), 1).unwrap();
            engine.restore(&state).unwrap();
            engine.score(before, &mut vec![Scored::default(); before.len() / dim]);
            let mut partial = Partial::new(
                problem.layout.len(),
                plan.scale,
                plan.n_chunks(),
                problem.objective.separates_samples(),
            );
            engine.accumulate(&plan, &ChunkSet::of(0..plan.n_chunks()), &mut partial).unwrap();
            let mut bytes = Vec::new();
            partial.write_to(&mut bytes);
            bytes
        };
        assert!(sums(&vec![f32::NAN; 128 * dim]) == sums(&[]), "{:?}", problem.model);
    }
}
