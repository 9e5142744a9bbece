//! The CPU engine of conditional models against the f64 reference, and against itself with other
//! numbers of threads.

#![allow(clippy::unwrap_used)] // a test may panic

use std::sync::Arc;

use snel_core::activation::Activation;
use snel_core::collective::Alone;
use snel_core::conditional::{
    ConditionalEngine, ConditionalModel, ConditionalProposal, Defensive, MixtureLoss,
    MixtureNetwork, RowSamples,
};
use snel_core::density::{Affine, Density, Draws, Scale};
use snel_core::engine::{Engine, SampleSet, Scored};
use snel_core::objective::Objective;
use snel_core::optim::Optim;
use snel_core::philox::{Key, Stream};
use snel_core::plan::Batching;
use snel_core::problem::{Base, Problem};
use snel_core::reference::ConditionalReference;
use snel_core::rows::Matrix;
use snel_core::state::State;
use snel_core::statistics::Statistics;
use snel_core::step::{reduce_step, room_for};
use snel_cpu::{ConditionalCpuEngine, InstructionSet};

const ROWS: usize = 150;

fn normals(count: usize, seed: u32) -> Vec<f64> {
    let mut values = vec![0.0; count];
    Draws::new(Key::new(seed, Stream::Fit), 0, 0).normals(&mut values);
    values
}

fn gaussian(dim: usize, mean: f64, sd: f64) -> Density {
    let scale = Scale::Diagonal(vec![sd; dim]);
    Density::Gaussian { at: Affine { mean: vec![mean; dim], scale } }
}

fn proposals(dim: usize) -> Vec<ConditionalProposal> {
    let student = Density::Student {
        df: 4.0,
        at: Affine { mean: vec![0.1; dim], scale: Scale::Diagonal(vec![1.1; dim]) },
    };
    let noise = Density::Mixture {
        weights: vec![0.4, 0.6],
        components: vec![gaussian(dim, 0.0, 0.3), gaussian(dim, 0.0, 1.0)],
    };
    let network = |loss, pretrain, defensive| {
        let defensive =
            Some(Defensive { weight: 0.1, density: student.clone() }).filter(|_| defensive);
        let widths = vec![11];
        MixtureNetwork { widths, components: 3, loss, pretrain, defensive }
    };
    vec![
        ConditionalProposal::Fixed(gaussian(dim, 0.1, 1.2)),
        ConditionalProposal::Fixed(Density::Uniform { low: vec![-5.0; dim], high: vec![5.0; dim] }),
        ConditionalProposal::Observed { noise, elsewhere: student.clone() },
        ConditionalProposal::Network(network(MixtureLoss::Both, 0, true)),
        ConditionalProposal::Network(network(MixtureLoss::Kl, 0, false)),
        ConditionalProposal::Network(network(MixtureLoss::Likelihood, 9, true)),
    ]
}

/// Sizes that are no multiples of tiles, chunks or vectors.
fn problems() -> Vec<Arc<Problem<ConditionalModel>>> {
    let mut problems = Vec::new();
    for (inputs, targets) in [(1, 1), (3, 2)] {
        for (i, proposal) in proposals(targets).into_iter().enumerate() {
            for (j, objective) in Objective::ALL.into_iter().enumerate() {
                let looks = matches!(proposal, ConditionalProposal::Observed { .. });
                let base = match (i + j) % 3 {
                    0 if !looks => Base::Proposal,
                    1 => Base::None,
                    _ => Base::Density(gaussian(targets, 0.0, 1.0)),
                };
                let model = ConditionalModel {
                    inputs,
                    targets,
                    activation: Activation::ALL[(i + j) % 5],
                    features: [vec![17, 9], vec![], vec![33]][(i + 2 * j) % 3].clone(),
                    energy: [vec![19], vec![20, 7]][(i + j) % 2].clone(),
                    log_normaliser: [vec![], vec![10]][i % 2].clone(),
                    base,
                    proposal: proposal.clone(),
                };
                model.check().unwrap();
                problems.push(Arc::new(Problem::new(model, objective, Optim::default(), 8)));
            }
        }
    }
    problems
}

fn data(dim: usize) -> Arc<Matrix> {
    let values = normals(ROWS * dim, 3).into_iter().map(|z| (0.2 + 0.9 * z) as f32).collect();
    Arc::new(Matrix::new(values, dim).unwrap())
}

fn random_state(problem: &Problem<ConditionalModel>) -> State {
    let parameters = normals(problem.layout.len(), 9).into_iter().map(|z| (0.3 * z) as f32);
    State::new(parameters.collect())
}

fn batching(samples: u64, chunk: u64) -> Batching {
    Batching { batch: 140, samples, per_row: true, chunk, total_rows: ROWS as u64, seed: 8 }
}

fn sum(
    engine: &mut dyn Engine,
    problem: &Problem<ConditionalModel>,
    batching: &Batching,
) -> (Vec<f64>, Statistics) {
    let mut partial = room_for(problem);
    let reduced = reduce_step(engine, &mut Alone, batching, &mut partial).unwrap();
    let mut gradient = vec![0.0; problem.layout.len()];
    reduced.gradient(&mut gradient);
    (gradient, reduced.statistics.clone())
}

fn engine(
    problem: &Arc<Problem<ConditionalModel>>,
    threads: usize,
    set: InstructionSet,
) -> ConditionalCpuEngine {
    let data = data(problem.model.dim());
    ConditionalCpuEngine::with_instruction_set(problem.clone(), data, threads, set).unwrap()
}

/// Relative to the largest sum over rows of magnitudes in a segment, an f32 gradient is off by about
/// (terms in a sum) times 2^-24: here a row's points and a layer's inputs, under 500, 3e-5; weights
/// add the error of their exponent, up to 3e-6 times 20, 6e-5.
const TOLERANCE: f64 = 1e-4;

/// With 11 samples a row's points are one tile, with 300 they are three, gone through twice where
/// the objective asks for the sum of weights.
#[test]
fn gradients_agree_with_the_reference() {
    for (k, problem) in problems().into_iter().enumerate() {
        let batching = batching([11, 300][k % 2], 37);
        let state = random_state(&problem);
        let mut reference = ConditionalReference::new(problem.clone(), data(problem.model.dim()));
        reference.restore(&state).unwrap();
        let (expected, e) = sum(&mut reference, &problem, &batching);
        let mut magnitudes = vec![0.0; expected.len()];
        let rows = Batching { chunk: 1, ..batching.clone() }.plan(0, 0);
        for index in 0..rows.n_chunks() {
            let row = reference.chunk(&rows, index).unwrap().gradient;
            magnitudes.iter_mut().zip(row).for_each(|(m, g)| *m += g.abs());
        }
        for set in InstructionSet::present() {
            let mut cpu = engine(&problem, 2, set);
            cpu.restore(&state).unwrap();
            let (gradient, a) = sum(&mut cpu, &problem, &batching);
            for segment in problem.layout.segments() {
                let largest = magnitudes[segment.range()].iter().copied().fold(0.0, f64::max);
                for i in segment.range() {
                    let (g, e) = (gradient[i], expected[i]);
                    let close = (g - e).abs() <= TOLERANCE * largest;
                    assert!(close, "{set} {k} {} {i}: {g} {e} of {largest}", segment.name);
                }
            }
            assert_eq!((a.rows, a.samples), (e.rows, e.samples));
            assert!((a.mean_row() - e.mean_row()).abs() < 1e-5 * (1.0 + e.mean_row().abs()));
            assert!((a.mean_weight() / e.mean_weight() - 1.0).abs() < TOLERANCE);
            assert!((a.ess_fraction() / e.ess_fraction() - 1.0).abs() < 2.0 * TOLERANCE);
        }
    }
}

#[test]
fn scores_agree_with_the_reference() {
    for problem in problems() {
        let ConditionalModel { inputs, targets, .. } = problem.model;
        let state = random_state(&problem);
        let mut reference = ConditionalReference::new(problem.clone(), data(problem.model.dim()));
        reference.restore(&state).unwrap();
        let (rows, points) = (131, 140);
        let x: Vec<f32> = normals(rows * inputs, 4).into_iter().map(|z| z as f32).collect();
        let set = SampleSet { stream: Stream::Evaluation, step: 0 };
        let samples = RowSamples { set, first_row: 5, per_row: 1000, range: 860..1000 };
        let draw = |engine: &dyn ConditionalEngine| {
            let mut y = vec![0.0; rows * points * targets];
            let mut scored = vec![Scored::default(); rows * points];
            engine.score_samples(&samples, &x, &mut y, &mut scored);
            let mut b = vec![0.0; rows];
            engine.log_normalisers(&x, &mut b);
            (y, scored, b)
        };
        let (y, expected, b) = draw(&reference);
        let close = |a: f32, b: f32| a == b || (a - b).abs() < 1e-4 * (1.0 + b.abs());
        for set in InstructionSet::present() {
            let mut cpu = engine(&problem, 2, set);
            cpu.restore(&state).unwrap();
            let (same_y, scored, same_b) = draw(&cpu);
            assert!(y.iter().zip(&same_y).all(|(a, b)| close(*a, *b)), "{set}: the same points");
            assert!(b.iter().zip(&same_b).all(|(a, b)| close(*a, *b)));
            let mut again = vec![Scored::default(); rows * points];
            cpu.score(&x, &same_y, &mut again);
            assert_eq!(again, scored, "{set}: a sample scores like any other point");
            for (s, e) in scored.iter().zip(&expected) {
                let all = close(s.energy, e.energy)
                    && close(s.log_base, e.log_base)
                    && close(s.log_proposal, e.log_proposal);
                assert!(all, "{set}: {s:?} {e:?}");
            }
        }
    }
}

/// Ten steps with 1, 2, 3 and 7 threads end in the same bits.
#[test]
fn threads_do_not_change_a_bit() {
    for problem in problems().into_iter().step_by(4) {
        for set in InstructionSet::present() {
            let run = |threads| {
                let mut engine = engine(&problem, threads, set);
                let mut partial = room_for(&*problem);
                for _ in 0..10 {
                    let batching = batching(20, 9);
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

/// A row that is not a number is refused in its step and leaves nothing behind.
#[test]
fn a_bad_row_leaves_nothing_behind() {
    let problem = problems().remove(0);
    let dim = problem.model.dim();
    let run = |bad: bool| {
        let mut values = normals(16 * dim, 3).into_iter().map(|z| z as f32).collect::<Vec<_>>();
        let mut refused = 0;
        let state = random_state(&problem);
        let mut gradients = Vec::new();
        // First all rows in one step, then others one by one, in a smaller tile.
        let sound = Arc::new(Matrix::new(values.clone(), dim).unwrap());
        values[5 * dim + 1] = f32::NAN;
        let rows = if bad { Arc::new(Matrix::new(values, dim).unwrap()) } else { sound };
        let mut engine = ConditionalCpuEngine::new(problem.clone(), rows, 1).unwrap();
        engine.restore(&state).unwrap();
        for batch in [16, 1, 1, 1] {
            let batching =
                Batching { batch, samples: 4, per_row: true, chunk: 16, total_rows: 16, seed: 8 };
            let mut partial = room_for(&*problem);
            match reduce_step(&mut engine, &mut Alone, &batching, &mut partial) {
                Ok(reduced) => {
                    let mut gradient = vec![0.0; problem.layout.len()];
                    reduced.gradient(&mut gradient);
                    gradients.push(gradient);
                }
                Err(_) => refused += 1,
            }
            engine.skip();
        }
        (refused, gradients)
    };
    let ((none, all), (one, others)) = (run(false), run(true));
    assert_eq!((none, one), (0, 1));
    assert_eq!(all[1..], others[..]);
}
