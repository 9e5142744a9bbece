//! Chains of prior and posterior follow the likelihood itself: with one value of `z` that can be
//! integrated.

#![allow(clippy::unwrap_used)] // a test may panic

use std::sync::Arc;

use snel_core::activation::Activation;
use snel_core::density::{Density, Draws};
use snel_core::energy::Energy;
use snel_core::engine::Engine;
use snel_core::lse::LogWeights;
use snel_core::mcmc::{Kernel, Mcmc, Posterior, Start};
use snel_core::objective::Objective;
use snel_core::optim::Optim;
use snel_core::philox::{Key, Stream};
use snel_core::plan::Batching;
use snel_core::problem::{Parametric, Problem};
use snel_core::reference::{VaeReference, energies};
use snel_core::rows::Matrix;
use snel_core::vae::{LatentBase, Likelihood, VaeModel, VaeNetworks};

const INPUTS: usize = 3;
const ROWS: usize = 4;
const CHAINS: u64 = 300;

fn normals(count: usize, seed: u32) -> Vec<f64> {
    let mut values = vec![0.0; count];
    Draws::new(Key::new(seed, Stream::Fit), 0, 0).normals(&mut values);
    values
}

fn data() -> Vec<f32> {
    normals(ROWS * INPUTS, 77).into_iter().map(|z| f32::from(u8::from(z > 0.0))).collect()
}

fn base(model: &VaeModel, p: &[f64]) -> Density {
    let mut density = model.prior(&model.initial_parameters(0)).proposal;
    if let (Some(mut mixture), Some(range)) = (model.mixture(), VaeNetworks::new(model).base) {
        mixture.set(p[range].iter().copied());
        density = mixture.density();
    }
    density
}

/// `log p(x|z)` of a decoder without hidden layers.
fn log_likelihood(model: &VaeModel, p: &[f64], x: &[f32], z: f64) -> f64 {
    let nets = VaeNetworks::new(model);
    let output = nets.decoder.output.unwrap().layer;
    let terms = x.iter().enumerate().map(|(d, &x)| {
        let (x, o) = (f64::from(x), p[output.weight + d] * z + p[output.bias + d]);
        match nets.log_deviation {
            Some(at) => {
                let r = (x - o) / p[at].exp();
                -0.5 * r * r - p[at] - 0.5 * std::f64::consts::TAU.ln()
            }
            None => x * o - o.exp().ln_1p(),
        }
    });
    terms.sum()
}

/// Minus the mean log-likelihood by quadrature.
fn loss(model: &VaeModel, p: &[f64]) -> f64 {
    let density = base(model, p);
    let z = ndarray::Array2::from_shape_fn((1601, 1), |(i, _)| (i as f64 - 800.0) * 0.01);
    let energies = energies(&model.energy, p, z.view());
    let prior: Vec<f64> =
        z.iter().zip(&energies).map(|(&z, e)| density.log_density(&[z]) - e).collect();
    let log_sum = |terms: &mut dyn Iterator<Item = f64>| {
        let mut sum = LogWeights::default();
        terms.for_each(|term| assert!(sum.add(term)));
        sum.log_sum()
    };
    let of_row = |x: &[f32]| {
        log_sum(&mut z.iter().zip(&prior).map(|(&z, prior)| prior + log_likelihood(model, p, x, z)))
    };
    log_sum(&mut prior.iter().copied())
        - data().chunks(INPUTS).map(of_row).sum::<f64>() / ROWS as f64
}

/// The mean gradient over many steps of chains that have come to rest is that of the likelihood, within
/// five of its standard errors, for all that is trained but the encoder; errors are small enough to tell.
#[test]
fn chains_follow_the_likelihood() {
    let h = 1e-5;
    let mlp =
        Energy::Mlp { dim: 1, widths: vec![4], activation: Activation::Silu, residual: false };
    for (likelihood, base, kernel, step_size) in [
        (Likelihood::Bernoulli, LatentBase::Normal, Kernel::Mala, 0.8),
        (
            Likelihood::Gaussian { deviation: None },
            LatentBase::Mixture { components: 2 },
            Kernel::Hmc { leapfrog: 3 },
            0.4,
        ),
    ] {
        let model = VaeModel {
            inputs: INPUTS,
            encoder: vec![],
            decoder: vec![],
            activation: Activation::Tanh,
            likelihood,
            base,
            energy: mlp.clone(),
            posterior_samples: 60,
            frozen: false,
        };
        model.check().unwrap();
        let posterior = Some(Posterior { moves: 40, step_size });
        let start = Start::Proposal;
        let mcmc = Mcmc { start, kernel, moves: 40, step_size, adapt: false, posterior };
        let objective = Objective::Mcmc(mcmc);
        let problem = Arc::new(Problem::new(model, objective, Optim::default(), 5));
        let model = &problem.model;
        let rows = Arc::new(Matrix::new(data(), INPUTS).unwrap());
        let mut engine = VaeReference::new(problem.clone(), rows);
        let mut state = engine.snapshot();
        let random = normals(problem.layout.len(), 9).into_iter();
        state.parameters = random.map(|z| (0.6 * z) as f32).collect();
        engine.restore(&state).unwrap();
        let p: Vec<f64> = state.parameters.iter().map(|&p| f64::from(p)).collect();

        let batch = ROWS as u64;
        let batching = Batching {
            batch,
            samples: CHAINS,
            per_row: false,
            chunk: 150,
            total_rows: batch,
            seed: 5,
        };
        let steps = 100;
        let (mut sum, mut squares) = (vec![0.0; p.len()], vec![0.0; p.len()]);
        for step in 0..steps {
            let plan = batching.plan(step, 40);
            let mut gradient = vec![0.0; p.len()];
            for index in 0..plan.n_chunks() {
                let chunk = engine.chunk(&plan, index).unwrap();
                gradient.iter_mut().zip(chunk.gradient).for_each(|(sum, g)| *sum += g);
            }
            for (i, g) in gradient.into_iter().enumerate() {
                sum[i] += g;
                squares[i] += g * g;
            }
        }
        let n = f64::from(steps);
        let mut clearest: f64 = 0.0;
        for segment in problem.layout.segments() {
            if segment.name.starts_with("encoder") {
                continue;
            }
            for i in segment.range() {
                let (mut up, mut down) = (p.clone(), p.clone());
                up[i] += h;
                down[i] -= h;
                let expected = (loss(model, &up) - loss(model, &down)) / (2.0 * h);
                let mean = sum[i] / n;
                let se = ((squares[i] / n - mean * mean) / n).max(0.0).sqrt();
                let off = (mean - expected).abs();
                let name = &segment.name;
                // Central differences are good to 1e-8.
                assert!(off < 5.0 * se + 1e-7, "{name} {i}: {mean} +- {se}, {expected}");
                assert!(se < 0.02, "{name} {i}: {se}");
                clearest = clearest.max(expected.abs() / se.max(1e-9));
            }
        }
        assert!(clearest > 20.0, "{clearest}");
    }
}
