//! Evaluation against quadrature and against what a known density gives.

use std::sync::Arc;

use snel_core::activation::Activation;
use snel_core::conditional::{ConditionalEngine, ConditionalModel, ConditionalProposal};
use snel_core::density::{Affine, Density, Draws, Scale};
use snel_core::engine::{Engine, SampleSet};
use snel_core::objective::Objective;
use snel_core::optim::Optim;
use snel_core::philox::{Key, Stream};
use snel_core::problem::{Base, Problem};
use snel_core::rows::Matrix;
use snel_cpu::ConditionalCpuEngine;
use snel_data::Standardise;

use super::*;

const SET: SampleSet = SampleSet { stream: Stream::Evaluation, step: 0 };

fn gaussian(sd: f64) -> Density {
    Density::Gaussian { at: Affine { mean: vec![0.0], scale: Scale::Diagonal(vec![sd]) } }
}

fn normals(count: usize, seed: u32) -> Vec<f64> {
    let mut values = vec![0.0; count];
    Draws::new(Key::new(seed, Stream::Fit), 0, 0).normals(&mut values);
    values
}

/// An engine with random weights, or with those of the start: a model that is its base.
fn engine(random: bool) -> ConditionalCpuEngine {
    let model = ConditionalModel {
        inputs: 1,
        targets: 1,
        activation: Activation::Tanh,
        features: vec![6],
        energy: vec![7],
        log_normaliser: vec![],
        base: Base::Density(gaussian(1.0)),
        proposal: ConditionalProposal::Fixed(gaussian(1.3)),
    };
    let problem = Arc::new(Problem::new(model, Objective::Snl, Optim::default(), 3));
    let mut engine = ConditionalCpuEngine::new(problem, Arc::new(Matrix::empty(2)), 2).unwrap();
    if random {
        let mut state = engine.snapshot();
        for (p, z) in state.parameters.iter_mut().zip(normals(1000, 4)) {
            *p = (0.7 * z) as f32;
        }
        engine.restore(&state).unwrap();
    }
    engine
}

fn rows(n: usize) -> Matrix {
    Matrix::new(normals(2 * n, 5).into_iter().map(|z| z as f32).collect(), 2).unwrap()
}

/// The bounds hold the likelihood that quadrature gives, and the samples' normalisers are within
/// five standard errors of the integrals; 5,000 samples have errors of about a hundredth.
#[test]
fn bounds_hold_what_quadrature_gives() {
    let (engine, rows) = (engine(true), rows(40));
    let names = ["y".to_owned()];
    let found = evaluate(&engine, &rows, SET, 5000, &names, &Standardise::identity(1)).unwrap();
    let exact = quadrature(&engine, &rows, 5000, None).unwrap().unwrap();
    assert_eq!((found.rows, exact.rows), (40, 40));
    let truth = exact.log_likelihood;
    assert!((found.upper.value - truth).abs() < 5.0 * found.upper.se, "{found:?} {exact:?}");
    assert!(found.lower.value < truth + 5.0 * found.lower.se && found.upper.se < 0.01);
    // The gap of the lower bound is exp(u) - 1 - u, u off by what `b_error` says at most.
    assert!(found.lower.value < found.upper.value);
    assert!((found.b_error - exact.b_error).abs() < 0.05);
    assert!(exact.largest_log_z_error < 0.1);
    let short = validate(&engine, &rows, SET, 5000).unwrap();
    assert!((short.lower - found.lower.value).abs() < 1e-12);
    assert!((short.upper - found.upper.value).abs() < 1e-12);
}

/// A model that is the standard normal, at rows whose `y` are standard normal: both bounds are the
/// mean log-density, the divergence from that density is zero, and predictions are calibrated.
#[test]
fn the_start_is_the_base_density() {
    let (engine, n) = (engine(false), 2000);
    let rows = rows(n);
    let names = ["y".to_owned()];
    let scales = Standardise::new(vec![10.0], vec![2.0]).unwrap();
    let found = evaluate(&engine, &rows, SET, 1000, &names, &scales).unwrap();
    let base = found.base.unwrap();
    // Every row's error is about 0.01, and independent of the others'.
    assert!((found.upper.value - base).abs() < 5.0 * found.upper.se + 1e-4);
    assert!((found.lower.value - base).abs() < 5.0 * found.lower.se + 1e-4);
    let truth = |_: &[f32], y: f64| -0.5 * (y * y + std::f64::consts::TAU.ln());
    let exact = quadrature(&engine, &rows, 10, Some(&truth)).unwrap().unwrap();
    assert!(exact.divergence.unwrap().abs() < 1e-5, "{exact:?}");
    // Standard normal times 2: the score of its own draws is 2 / sqrt(pi) in the mean, with a
    // standard deviation of about 1; shares have errors of 1/sqrt(4 n).
    let target = &found.targets[0];
    assert!((target.rmse - 2.0).abs() < 0.2);
    assert!((target.crps - 2.0 / std::f64::consts::PI.sqrt()).abs() < 5.0 / (n as f64).sqrt());
    for c in &target.coverage {
        assert!((c.share - c.level).abs() < 5.0 * 0.5 / (n as f64).sqrt(), "{c:?}");
    }
    assert!((target.pit.iter().sum::<f64>() - 1.0).abs() < 1e-9);
}

/// With base and proposal the same, every log-weight is zero at first.
#[test]
fn b_starts_at_the_mean_weight() {
    let start = first_b(&engine(false), &rows(50), SET, 4096).unwrap();
    // The mean of weights d / q of variance below one, over about 4,096 samples.
    assert!(start.abs() < 5.0 / 64.0, "{start}");
    assert_eq!(engine(false).model().inputs, 1);
}
