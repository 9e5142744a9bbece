//! The CPU engine of variational auto-encoders against the f64 reference, and against itself with
//! other numbers of threads.

#![allow(clippy::unwrap_used)] // a test may panic

use std::sync::Arc;

use snel_core::activation::Activation;
use snel_core::collective::Alone;
use snel_core::density::Draws;
use snel_core::energy::Energy;
use snel_core::engine::{DensityEngine, Engine, SampleSet, Scored};
use snel_core::mcmc::{Kernel, Mcmc, Persistent, Posterior, Start};
use snel_core::objective::Objective;
use snel_core::optim::Optim;
use snel_core::philox::{Key, Stream};
use snel_core::plan::Batching;
use snel_core::problem::Problem;
use snel_core::reference::VaeReference;
use snel_core::rows::Matrix;
use snel_core::state::State;
use snel_core::statistics::Statistics;
use snel_core::step::{reduce_step, room_for};
use snel_core::vae::{LatentBase, LatentScored, Likelihood, VaeEngine, VaeModel};
use snel_cpu::{InstructionSet, VaeCpuEngine};

const ROWS: usize = 150;

fn normals(count: usize, seed: u32) -> Vec<f64> {
    let mut values = vec![0.0; count];
    Draws::new(Key::new(seed, Stream::Fit), 0, 0).normals(&mut values);
    values
}

/// Sizes that are no multiples of tiles, chunks or vectors.
fn problems() -> Vec<Arc<Problem<VaeModel>>> {
    let likelihoods = [
        Likelihood::Bernoulli,
        Likelihood::Gaussian { deviation: None },
        Likelihood::Gaussian { deviation: Some(0.6) },
    ];
    let mlp = |dim, widths: &[usize], residual| Energy::Mlp {
        dim,
        widths: widths.to_vec(),
        activation: Activation::Silu,
        residual,
    };
    let mut problems = Vec::new();
    for i in 0..6 {
        let latent = [1, 3, 17][i % 3];
        let base = match i % 2 {
            0 => LatentBase::Normal,
            _ => LatentBase::Mixture { components: 3 },
        };
        let energy = match i {
            0 => mlp(latent, &[19], false),
            1 => mlp(latent, &[18, 18, 5], true),
            2 => Energy::Quadratic { dim: latent },
            3 => Energy::Zero { dim: latent },
            4 => mlp(latent, &[33, 7], false),
            _ => mlp(latent, &[], false),
        };
        let model = VaeModel {
            inputs: [5, 40][i % 2],
            encoder: [vec![20, 9], vec![], vec![33]][i % 3].clone(),
            decoder: [vec![17], vec![21, 6]][i % 2].clone(),
            activation: Activation::ALL[i % 5],
            likelihood: likelihoods[(i + i / 3) % 3],
            base,
            energy,
            posterior_samples: [1, 3, 2][i % 3],
            frozen: i == 4,
        };
        model.check().unwrap();
        problems.push(Arc::new(Problem::new(model, Objective::Snl, Optim::default(), 8)));
    }
    problems
}

/// The same by chains, with every start and kernel somewhere.
fn problems_of_chains() -> Vec<Arc<Problem<VaeModel>>> {
    let persistent = Start::Persistent(Persistent { chains: 600, moved: 300, reinit: 0.2 });
    let starts = [Start::Proposal, persistent];
    let kernels = [Kernel::Ula { noise: 0.8 }, Kernel::Mala, Kernel::Hmc { leapfrog: 2 }];
    let problems = problems().into_iter().filter(|problem| problem.model.has_energy());
    // Of the frozen one, too, with moves that are refused.
    let problems: Vec<_> = problems.collect();
    let frozen = problems.iter().find(|problem| problem.model.frozen).cloned();
    let problems = problems.into_iter().chain(frozen);
    let with_chains = problems.enumerate().map(|(i, problem)| {
        let mcmc = Mcmc {
            start: starts[i % 2],
            kernel: kernels[i % 3],
            moves: 3,
            step_size: 0.2,
            adapt: true,
            posterior: Some(Posterior { moves: 2, step_size: 0.1 }),
        };
        let model = problem.model.clone();
        Arc::new(Problem::new(model, Objective::Mcmc(mcmc), Optim::default(), 8))
    });
    with_chains.collect()
}

/// Values from 0 to 1, many of them neither.
fn data(dim: usize) -> Arc<Matrix> {
    let squash = |z: f64| (0.5 + 0.5 * z).clamp(0.0, 1.0) as f32;
    Arc::new(Matrix::new(normals(ROWS * dim, 3).into_iter().map(squash).collect(), dim).unwrap())
}

fn random_state(problem: &Problem<VaeModel>) -> State {
    let parameters = normals(problem.layout.len(), 9).into_iter().map(|z| (0.3 * z) as f32);
    let mut state = State { parameters: parameters.collect(), ..problem.initial_state() };
    state.set_b(if problem.model.has_energy() { 0.2 } else { 0.0 });
    state
}

fn batching(model: &VaeModel, batch: u64, chunk: u64) -> Batching {
    let samples = if model.has_energy() { 300 } else { 0 };
    Batching { batch, samples, per_row: false, chunk, total_rows: ROWS as u64, seed: 8 }
}

fn sum(
    engine: &mut dyn Engine,
    problem: &Problem<VaeModel>,
    batching: &Batching,
) -> (Vec<f64>, Statistics) {
    let mut partial = room_for(problem);
    let reduced = reduce_step(engine, &mut Alone, batching, &mut partial).unwrap();
    let mut gradient = vec![0.0; problem.layout.len()];
    reduced.gradient(&mut gradient);
    (gradient, reduced.statistics.clone())
}

fn engine(problem: &Arc<Problem<VaeModel>>, threads: usize, set: InstructionSet) -> VaeCpuEngine {
    let data = data(problem.model.inputs);
    VaeCpuEngine::with_instruction_set(problem.clone(), data, threads, set).unwrap()
}

/// Relative to the largest sum over rows or samples of magnitudes in a segment, an f32 gradient is
/// off by about (terms in a sum) times 2^-24: here points of a tile and a layer's inputs, under 500,
/// 3e-5; weights add the error of their exponent, up to 3e-6 times 20, 6e-5.
const TOLERANCE: f64 = 1e-4;

/// Sums over rows and samples of the magnitudes of their gradients.
fn magnitudes(reference: &VaeReference, batching: &Batching) -> Vec<f64> {
    let single = Batching { chunk: 1, ..batching.clone() }.plan(0, 0);
    let mut magnitudes = Vec::new();
    for index in 0..single.n_chunks() {
        let one = reference.chunk(&single, index).unwrap().gradient;
        magnitudes.resize(one.len(), 0.0);
        magnitudes.iter_mut().zip(one).for_each(|(m, g)| *m += g.abs());
    }
    magnitudes
}

#[test]
fn gradients_agree_with_the_reference() {
    for (k, problem) in problems().into_iter().enumerate() {
        let batching = batching(&problem.model, 140, [37, 150][k % 2]);
        let state = random_state(&problem);
        let mut reference = VaeReference::new(problem.clone(), data(problem.model.inputs));
        reference.restore(&state).unwrap();
        let (expected, e) = sum(&mut reference, &problem, &batching);
        let magnitudes = magnitudes(&reference, &batching);
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

/// Two or three moves in f32 against f64: places agree to 1e-5, unless a chain is accepted by one engine
/// and refused by the other, with a probability of about 1e-5 a move.
#[test]
fn steps_by_chains_agree_with_the_reference() {
    for (k, problem) in problems_of_chains().into_iter().enumerate() {
        let batching = batching(&problem.model, 140, [37, 150][k % 2]);
        let state = random_state(&problem);
        let step = |engine: &mut dyn Engine| {
            engine.restore(&state).unwrap();
            let mut partial = room_for(&*problem);
            let reduced = reduce_step(engine, &mut Alone, &batching, &mut partial).unwrap();
            let mut gradient = vec![0.0; problem.layout.len()];
            reduced.gradient(&mut gradient);
            let s = reduced.statistics;
            let posteriors = 140 * problem.model.posterior_samples;
            assert_eq!((s.rows, s.samples, s.chains, s.posteriors), (140, 0, 300, posteriors));
            let of_posteriors = s.posterior_acceptance().unwrap();
            let scalars = [s.mean_row(), s.contrast(), s.acceptance(), of_posteriors];
            engine.apply(&reduced);
            (gradient, scalars, engine.snapshot())
        };
        let mut reference = VaeReference::new(problem.clone(), data(problem.model.inputs));
        let (expected, scalars, after) = step(&mut reference);
        reference.restore(&state).unwrap();
        let magnitudes = magnitudes(&reference, &batching);
        for set in InstructionSet::present() {
            let (gradient, found, state) = step(&mut engine(&problem, 2, set));
            let what = format!("{set} {k} {:?}", problem.objective);
            for segment in problem.layout.segments() {
                let largest = magnitudes[segment.range()].iter().copied().fold(0.0, f64::max);
                for i in segment.range() {
                    let (g, e) = (gradient[i], expected[i]);
                    let close = (g - e).abs() <= 3.0 * TOLERANCE * largest;
                    assert!(close, "{what} {} {i}: {g} {e} of {largest}", segment.name);
                }
                let learns = gradient[segment.range()].iter().any(|g| *g != 0.0);
                let expected = segment.is_trained() && segment.name != "b";
                assert_eq!(learns, expected, "{what}: {}", segment.name);
            }
            for (f, e) in found.iter().zip(scalars) {
                assert!((f - e).abs() < 1e-4 * (1.0 + e.abs()), "{what}: {f} {e}");
            }
            assert_eq!(state.chains.len(), after.chains.len());
            for (f, e) in state.chains.iter().zip(&after.chains) {
                assert!((f - e).abs() < 1e-4 * (1.0 + e.abs()), "{what}: {f} {e}");
            }
            assert!((state.step_size / after.step_size - 1.0).abs() < 1e-4, "{what}");
        }
    }
}

fn close(a: &[f32], b: &[f32], scale: f32) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() < scale * (1.0 + b.abs()))
}

#[test]
fn looks_agree_with_the_reference() {
    for problem in problems() {
        let (inputs, latent) = (problem.model.inputs, problem.model.latent());
        let state = random_state(&problem);
        let mut reference = VaeReference::new(problem.clone(), data(inputs));
        reference.restore(&state).unwrap();
        let (rows, samples) = (131, 3);
        let x: Vec<f32> = data(inputs).values()[..rows * inputs].to_vec();
        let set = SampleSet { stream: Stream::Evaluation, step: 1 };
        let look = |engine: &dyn VaeEngine| {
            let (mut z, mut scored) = (vec![0.0; rows * latent], vec![Scored::default(); rows]);
            engine.score_samples(set, 5..5 + rows as u64, &mut z, &mut scored);
            let (mut means, mut deviations) = (z.clone(), z.clone());
            engine.encode(&x, &mut means, &mut deviations);
            let mut decoded = vec![0.0; rows * inputs];
            engine.decode(&z, &mut decoded);
            let mut latents = vec![LatentScored::default(); rows * samples];
            engine.score_latents(set, 77, &x, &mut latents);
            let prior = scored.iter().flat_map(|s| [s.energy, s.log_base, s.log_proposal]);
            let latents = latents
                .iter()
                .flat_map(|s| [s.log_likelihood, s.log_base, s.energy, s.log_posterior]);
            [z, prior.collect(), means, deviations, decoded, latents.collect()]
        };
        let expected = look(&reference);
        for set in InstructionSet::present() {
            let mut cpu = engine(&problem, 2, set);
            cpu.restore(&state).unwrap();
            let found = look(&cpu);
            for (what, (found, expected)) in found.iter().zip(&expected).enumerate() {
                assert!(close(found, expected, 1e-4), "{set} {what} {:?}", problem.model);
            }
            let mut again = vec![Scored::default(); rows];
            cpu.score(&found[0], &mut again);
            let again: Vec<f32> =
                again.iter().flat_map(|s| [s.energy, s.log_base, s.log_proposal]).collect();
            assert_eq!(again, found[1], "{set}: a sample scores like any other point");
        }
    }
}

/// Ten steps with 1, 2 and 3 threads end in the same bits, and change all that is trained.
#[test]
fn threads_do_not_change_a_bit() {
    for problem in problems().into_iter().chain(problems_of_chains()) {
        let set = InstructionSet::best();
        let trains_b = problem.model.has_energy() && problem.objective.trains_b();
        let run = |threads| {
            let mut engine = engine(&problem, threads, set);
            let mut partial = room_for(&*problem);
            for _ in 0..10 {
                let batching = batching(&problem.model, 40, 9);
                let step = reduce_step(&mut engine, &mut Alone, &batching, &mut partial);
                engine.apply(&step.unwrap());
            }
            engine.snapshot()
        };
        let one = run(1);
        let first = problem.initial_state();
        for segment in problem.layout.segments() {
            let moved = one.parameters[segment.range()] != first.parameters[segment.range()];
            let expected = segment.is_trained() && (segment.name != "b" || one.b() != 0.0);
            assert_eq!(moved, expected, "{}", segment.name);
        }
        assert_eq!(one.b() != 0.0, trains_b);
        for threads in [2, 3] {
            assert_eq!(run(threads), one, "{threads} threads");
        }
    }
}

/// A row that is not a number is refused in its step and leaves nothing behind.
#[test]
fn a_bad_row_leaves_nothing_behind() {
    for problem in problems().into_iter().chain(problems_of_chains()) {
        let dim = problem.model.inputs;
        let run = |bad: bool| {
            let mut values = data(dim).values()[..16 * dim].to_vec();
            if bad {
                values[5 * dim + 1] = f32::NAN;
            }
            let rows = Arc::new(Matrix::new(values, dim).unwrap());
            let mut engine = VaeCpuEngine::new(problem.clone(), rows, 1).unwrap();
            engine.restore(&random_state(&problem)).unwrap();
            let (mut refused, mut gradients) = (0, Vec::new());
            // First all rows in one step, then others one by one, in a smaller tile.
            for batch in [16, 1, 1, 1] {
                let batching =
                    Batching { chunk: 16, total_rows: 16, ..batching(&problem.model, batch, 16) };
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
}
