//! What the theory says of variational auto-encoders, asserted on the reference engine.

#![allow(clippy::unwrap_used)] // a test may panic

use std::sync::Arc;

use snel_core::activation::Activation;
use snel_core::density::{Density, Draws};
use snel_core::energy::Energy;
use snel_core::engine::{DensityEngine, Engine, SampleSet, Scored};
use snel_core::lse::LogWeights;
use snel_core::objective::Objective;
use snel_core::optim::Optim;
use snel_core::perceptron::Perceptron;
use snel_core::philox::{Key, Stream};
use snel_core::plan::{Batching, StepPlan};
use snel_core::problem::Problem;
use snel_core::reference::{VaeReference, energies};
use snel_core::rows::{Matrix, Rows};
use snel_core::statistics::Statistics;
use snel_core::vae::{LatentBase, LatentScored, Likelihood, VaeEngine, VaeModel, VaeNetworks};

const INPUTS: usize = 5;
const LATENT: usize = 2;
const ROWS: usize = 9;
const SAMPLES: u64 = 11;

fn normals(count: usize, seed: u32) -> Vec<f64> {
    let mut values = vec![0.0; count];
    Draws::new(Key::new(seed, Stream::Fit), 0, 0).normals(&mut values);
    values
}

/// Models that between them have every part.
fn models() -> Vec<VaeModel> {
    let mlp = |widths: &[usize], residual| Energy::Mlp {
        dim: LATENT,
        widths: widths.to_vec(),
        activation: Activation::Silu,
        residual,
    };
    let model = |likelihood, base, energy, posterior_samples| VaeModel {
        inputs: INPUTS,
        encoder: vec![4],
        decoder: vec![3, 4],
        activation: Activation::Tanh,
        likelihood,
        base,
        energy,
        posterior_samples,
        frozen: false,
    };
    let learned = Likelihood::Gaussian { deviation: None };
    let fixed = Likelihood::Gaussian { deviation: Some(0.7) };
    let mixture = LatentBase::Mixture { components: 3 };
    let frozen = model(learned, mixture, mlp(&[4], false), 2);
    vec![
        model(Likelihood::Bernoulli, LatentBase::Normal, mlp(&[4, 4], true), 1),
        model(fixed, LatentBase::Normal, Energy::Quadratic { dim: LATENT }, 3),
        model(learned, mixture, mlp(&[5], false), 2),
        model(Likelihood::Bernoulli, mixture, Energy::Zero { dim: LATENT }, 1),
        model(learned, LatentBase::Normal, Energy::Zero { dim: LATENT }, 1),
        VaeModel { frozen: true, ..frozen },
    ]
}

/// Values from 0 to 1, some of them neither.
fn data() -> Arc<Matrix> {
    let squash = |z: f64| (0.5 + 0.9 * z).clamp(0.0, 1.0) as f32;
    let values = normals(ROWS * INPUTS, 77).into_iter().map(squash);
    Arc::new(Matrix::new(values.collect(), INPUTS).unwrap())
}

fn plan(model: &VaeModel, chunk: u64) -> StepPlan {
    let batch = ROWS as u64;
    let samples = if model.has_energy() { SAMPLES } else { 0 };
    Batching { batch, samples, per_row: false, chunk, total_rows: batch, seed: 5 }.plan(3, 40)
}

fn engine(model: VaeModel) -> (Arc<Problem<VaeModel>>, VaeReference) {
    model.check().unwrap();
    let problem = Arc::new(Problem::new(model, Objective::Snl, Optim::default(), 5));
    let mut engine = VaeReference::new(problem.clone(), data());
    let mut state = engine.snapshot();
    for (p, z) in state.parameters.iter_mut().zip(normals(problem.layout.len(), 9)) {
        *p = (0.4 * z) as f32;
    }
    state.set_b(if problem.model.has_energy() { 0.3 } else { 0.0 });
    engine.restore(&state).unwrap();
    (problem, engine)
}

fn gradient(engine: &VaeReference, plan: &StepPlan) -> (Vec<f64>, Statistics) {
    let (mut sum, mut statistics) = (Vec::new(), Statistics::default());
    for index in 0..plan.n_chunks() {
        let chunk = engine.chunk(plan, index).unwrap();
        statistics.add(&chunk.tally);
        sum.resize(chunk.gradient.len(), 0.0);
        sum.iter_mut().zip(&chunk.gradient).for_each(|(t, g)| *t += g);
    }
    (sum, statistics)
}

/// A perceptron written out.
fn run(p: &[f64], net: &Perceptron, x: &[f64], activation: Activation) -> Vec<f64> {
    let mut h = x.to_vec();
    let layers = net.hidden.iter().map(|l| (l, true)).chain(net.output.iter().map(|l| (l, false)));
    for (linear, activates) in layers {
        let layer = linear.layer;
        h = (0..layer.outputs)
            .map(|o| {
                let weights = &p[layer.weight + o * layer.inputs..][..layer.inputs];
                let z = weights.iter().zip(&h).map(|(w, h)| w * h).sum::<f64>();
                let z = z + p[layer.bias + o];
                if activates { activation.value_and_slope(z).0 } else { z }
            })
            .collect();
    }
    h
}

fn energy(model: &VaeModel, p: &[f64], z: &[f64]) -> f64 {
    let z = ndarray::ArrayView2::from_shape((1, LATENT), z).unwrap();
    energies(&model.energy, p, z)[0]
}

fn base(model: &VaeModel, nets: &VaeNetworks, p: &[f64]) -> Density {
    match (model.mixture(), &nets.base) {
        (Some(mut mixture), Some(range)) => {
            mixture.set(p[range.clone()].iter().copied());
            mixture.density()
        }
        _ => model.prior(&[]).proposal,
    }
}

fn log_likelihood(model: &VaeModel, nets: &VaeNetworks, p: &[f64], x: &[f64], z: &[f64]) -> f64 {
    let output = run(p, &nets.decoder, z, model.activation);
    let sd = match model.likelihood {
        Likelihood::Gaussian { deviation } => {
            deviation.unwrap_or_else(|| p[nets.log_deviation.unwrap()].exp())
        }
        Likelihood::Bernoulli => f64::NAN,
    };
    x.iter()
        .zip(output)
        .map(|(x, o)| match model.likelihood {
            Likelihood::Bernoulli => {
                let one = 1.0 / (1.0 + (-o).exp());
                x * one.ln() + (1.0 - x) * (1.0 - one).ln()
            }
            Likelihood::Gaussian { .. } => {
                let r = (x - o) / sd;
                -0.5 * r * r - sd.ln() - 0.5 * std::f64::consts::TAU.ln()
            }
        })
        .sum()
}

/// The rows of the step with the noise of their samples, and the samples of the base with `log s`.
struct Frozen {
    x: Vec<Vec<f64>>,
    noise: Vec<Vec<Vec<f64>>>,
    z: Vec<(Vec<f64>, f64)>,
}

fn freeze(model: &VaeModel, nets: &VaeNetworks, p: &[f64], plan: &StepPlan) -> Frozen {
    let mut numbers = vec![0; ROWS];
    plan.rows(0, &mut numbers);
    let mut values = vec![0.0; ROWS * INPUTS];
    data().gather(&numbers, &mut values).unwrap();
    let x: Vec<Vec<f64>> =
        values.chunks(INPUTS).map(|x| x.iter().map(|&v| f64::from(v)).collect()).collect();
    let draw = |position: usize, s: u64| {
        let mut noise = vec![0.0; LATENT];
        let number = position as u64 * model.posterior_samples + s;
        Draws::new(Key::new(5, Stream::Posterior), plan.step, number).normals(&mut noise);
        noise
    };
    let samples = |position| (0..model.posterior_samples).map(|s| draw(position, s)).collect();
    let noise = (0..ROWS).map(samples).collect();
    let density = base(model, nets, p);
    let key = Key::new(5, Stream::Proposal);
    let z = (0..plan.samples())
        .map(|m| {
            let mut z = vec![0.0; LATENT];
            density.sample(&mut Draws::new(key, plan.step, m), &mut z);
            let log_s = density.log_density(&z);
            (z, log_s)
        })
        .collect();
    Frozen { x, noise, z }
}

/// SNELBO as a formula, written apart from the engine: minus the loss.
fn snelbo(model: &VaeModel, nets: &VaeNetworks, frozen: &Frozen, p: &[f64]) -> f64 {
    let density = base(model, nets, p);
    let half_ln_tau = 0.5 * std::f64::consts::TAU.ln();
    let mut total = 0.0;
    for (x, noise) in frozen.x.iter().zip(&frozen.noise) {
        let out = run(p, &nets.encoder, x, model.activation);
        let (mean, log_sd) = out.split_at(LATENT);
        for noise in noise {
            let z: Vec<f64> = (0..LATENT).map(|j| mean[j] + log_sd[j].exp() * noise[j]).collect();
            let mut value = log_likelihood(model, nets, p, x, &z) - energy(model, p, &z);
            if model.base != LatentBase::Normal {
                value += density.log_density(&z);
            }
            total += value / noise_count(model);
        }
        for j in 0..LATENT {
            // Entropy of the posterior, and minus its cross entropy with the standard normal.
            total += log_sd[j] + 0.5 + half_ln_tau;
            if model.base == LatentBase::Normal {
                let second = mean[j] * mean[j] + (2.0 * log_sd[j]).exp();
                total -= 0.5 * second + half_ln_tau;
            }
        }
    }
    let b = p[p.len() - 1];
    let weight = |(z, log_s): &(Vec<f64>, f64)| {
        (density.log_density(z) - energy(model, p, z) - log_s - b).exp()
    };
    let m = frozen.z.len() as f64;
    let normaliser = frozen.z.iter().map(weight).sum::<f64>() / m;
    let prior = if model.has_energy() { b + normaliser - 1.0 } else { 0.0 };
    total / ROWS as f64 - prior
}

fn noise_count(model: &VaeModel) -> f64 {
    model.posterior_samples as f64
}

/// Central differences with h = 1e-5 of a loss below 100: truncation `h^2 f'''/6` and rounding
/// `eps f / h` are both below 1e-8 here.
#[test]
fn gradients_are_derivatives_of_the_loss() {
    let h = 1e-5;
    for model in models() {
        let (problem, engine) = engine(model);
        let (model, nets) = (&problem.model, VaeNetworks::new(&problem.model));
        let p: Vec<f64> = engine.snapshot().parameters.iter().map(|&p| f64::from(p)).collect();
        let plan = plan(model, 4);
        let frozen = freeze(model, &nets, &p, &plan);
        let (gradient, statistics) = gradient(&engine, &plan);
        let bound = statistics.bound(f64::from(engine.head().b));
        assert!((bound - snelbo(model, &nets, &frozen, &p)).abs() < 1e-9, "{model:?}");
        for segment in problem.layout.segments() {
            for i in segment.range() {
                let (mut up, mut down) = (p.clone(), p.clone());
                up[i] += h;
                down[i] -= h;
                let loss = |p: &[f64]| -snelbo(model, &nets, &frozen, p);
                let mut slope = (loss(&up) - loss(&down)) / (2.0 * h);
                if !segment.is_trained() {
                    slope = 0.0;
                }
                let (name, g) = (&segment.name, gradient[i]);
                assert!((g - slope).abs() < 1e-7, "{name} {i}: {g} {slope} {model:?}");
            }
        }
    }
}

/// Chunks of any size sum to the same.
#[test]
fn chunks_do_not_matter() {
    for model in models() {
        let (problem, engine) = engine(model);
        let sums: Vec<_> = [1, 4, 100]
            .map(|chunk| gradient(&engine, &plan(&problem.model, chunk)))
            .into_iter()
            .collect();
        for (other, statistics) in &sums[1..] {
            // Sums of nine rows in another order.
            let close = |(a, b): (&f64, &f64)| (a - b).abs() < 1e-12;
            assert!(sums[0].0.iter().zip(other).all(close));
            assert_eq!(statistics.rows, ROWS as u64);
        }
    }
}

/// With one value of `z` everything can be integrated: the importance-weighted bound of many samples
/// is `log p(x)` by quadrature, and SNELBO is below it.
#[test]
fn bounds_are_below_the_likelihood_by_quadrature() {
    let energy =
        Energy::Mlp { dim: 1, widths: vec![6], activation: Activation::Silu, residual: false };
    for base in [LatentBase::Normal, LatentBase::Mixture { components: 2 }] {
        let model = VaeModel { base, energy: energy.clone(), ..models().remove(0) };
        let (problem, engine) = engine(model);
        let cells = 4001;
        let z: Vec<f32> = (0..cells).map(|i| (i as f32 - 2000.0) * 0.005).collect();
        let (mut prior, mut decoded) = (vec![Scored::default(); cells], vec![0.0; cells * INPUTS]);
        engine.score(&z, &mut prior);
        engine.decode(&z, &mut decoded);
        let mut log_z = LogWeights::default();
        prior.iter().for_each(|s| assert!(log_z.add(s.tilted())));
        let mut x = vec![0.0; ROWS * INPUTS];
        data().gather(&(0..ROWS as u64).collect::<Vec<_>>(), &mut x).unwrap();
        let (per_row, set) = (20_000, SampleSet { stream: Stream::Evaluation, step: 1 });
        let mut out = vec![LatentScored::default(); ROWS * per_row];
        engine.score_latents(set, 0, &x, &mut out);
        for (x, out) in x.chunks(INPUTS).zip(out.chunks(per_row)) {
            let mut joint = LogWeights::default();
            for (decoded, prior) in decoded.chunks(INPUTS).zip(&prior) {
                let log_p: f64 = x
                    .iter()
                    .zip(decoded)
                    .map(|(&x, &one)| {
                        let (x, one) = (f64::from(x), f64::from(one));
                        x * one.ln() + (1.0 - x) * (1.0 - one).ln()
                    })
                    .sum();
                joint.add(log_p + prior.tilted());
            }
            let exact = joint.log_sum() - log_z.log_sum();
            let mut weights = LogWeights::default();
            out.iter().for_each(|s| assert!(weights.add(s.log_weight())));
            // The cells' width is in both sums; `log Z` by quadrature needs it.
            let normaliser = log_z.log_sum() + 0.005f64.ln();
            let estimate = weights.log_mean() - normaliser;
            let error = 5.0 * weights.relative_error() + 1e-3;
            assert!((estimate - exact).abs() < error, "{estimate} {exact} +- {error}");
            let elbo = out.iter().map(LatentScored::log_weight).sum::<f64>() / per_row as f64;
            assert!(elbo - normaliser < exact + 0.01);
        }
        assert_eq!(problem.model.latent(), 1);
    }
}

/// At first the energy is zero: the prior is its base.
#[test]
fn training_starts_at_the_base() {
    for model in models() {
        if matches!(model.energy, Energy::Quadratic { .. }) {
            continue;
        }
        let problem = Arc::new(Problem::new(model, Objective::Snl, Optim::default(), 5));
        let engine = VaeReference::new(problem, data());
        let (mut z, mut out) = (vec![0.0; 20], vec![Scored::default(); 10]);
        let set = SampleSet { stream: Stream::Evaluation, step: 0 };
        engine.score_samples(set, 3..13, &mut z, &mut out);
        assert!(out.iter().all(|s| s.energy == 0.0 && s.log_base == s.log_proposal));
    }
}
