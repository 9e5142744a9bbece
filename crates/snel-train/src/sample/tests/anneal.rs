use snel_core::density::{Density, Scale};
use snel_core::problem::{Base, Model};

use super::super::{Annealing, SampleError, anneal};
use super::{GAUSSIAN, gaussian_model, normal, quadratic};

/// Precision and linear term of the Gaussian with the given means and standard deviations.
fn natural(means: &[f64], sds: &[f64]) -> Vec<f32> {
    let d = means.len();
    let mut parameters = vec![0.0; d * (d + 1) / 2 + d + 1];
    for i in 0..d {
        let precision = sds[i].powi(-2);
        parameters[i * (i + 3) / 2] = precision as f32;
        parameters[d * (d + 1) / 2 + i] = (-precision * means[i]) as f32;
    }
    parameters
}

/// `log ∫ exp(-E)` for the parameters of [`natural`].
fn log_z(means: &[f64], sds: &[f64]) -> f64 {
    let one =
        |(m, s): (&f64, &f64)| s.ln() + 0.5 * std::f64::consts::TAU.ln() + 0.5 * m * m / (s * s);
    means.iter().zip(sds).map(one).sum()
}

fn how(temperatures: u32, chains: u64) -> Annealing {
    Annealing { temperatures, chains, threads: 2 }
}

/// 32 dimensions, half the proposal's scale and moved by one: plain importance sampling has no
/// effective samples, and annealing finds `log Z` from both sides.
#[test]
fn both_ways_hold_log_z_where_plain_weights_fail() {
    let (means, sds) = (vec![1.0; 32], vec![0.5; 32]);
    let model = quadratic(32, Base::None, normal(&[0.0; 32], Scale::Diagonal(vec![1.0; 32])));
    let parameters = natural(&means, &sds);
    let truth = log_z(&means, &sds);
    let plain = anneal(&model, &parameters, 1, &how(1, 500)).unwrap();
    assert!(plain.weights.ess() < 10.0, "{plain:?}");
    let annealed = anneal(&model, &parameters, 1, &how(1000, 500)).unwrap();
    assert!(annealed.weights.ess() > 100.0, "{annealed:?}");
    let there = annealed.weights.log_mean() - truth;
    assert!(there.abs() < 5.0 * annealed.weights.relative_error(), "off by {there}");
    let back = annealed.back.log_z.value - truth;
    assert!(back.abs() < 5.0 * annealed.back.log_z.se, "off by {back}");
    assert!(annealed.warnings().is_empty(), "{:?}", annealed.warnings());
}

/// The mean weight is unbiased however few the temperatures: 60 seeds of a case that is coarse enough
/// to be far from exact. The standard error is that of the 60 means.
#[test]
fn the_mean_weight_is_unbiased() {
    let (means, sds) = ([0.5, -0.5], [0.7, 0.6]);
    let model = quadratic(2, Base::None, normal(&[0.0; 2], Scale::Diagonal(vec![1.0; 2])));
    let parameters = natural(&means, &sds);
    let truth = log_z(&means, &sds);
    let ratio = |seed| {
        (anneal(&model, &parameters, seed, &how(3, 200)).unwrap().weights.log_mean() - truth).exp()
    };
    let ratios: Vec<f64> = (0..60).map(ratio).collect();
    let mean = ratios.iter().sum::<f64>() / 60.0;
    let variance = ratios.iter().map(|r| (r - mean).powi(2)).sum::<f64>() / 59.0;
    let se = (variance / 60.0).sqrt();
    assert!(se < 0.02 && (mean - 1.0).abs() < 4.0 * se, "{mean} ± {se}");
}

/// Base = proposal: `lw = -E`, and `log Z = log E_q exp(-E)` is that of a tilted Gaussian.
#[test]
fn a_base_density_is_part_of_the_model() {
    let base = normal(&[0.0, 0.0], Scale::Diagonal(vec![1.0; 2]));
    let model = quadratic(2, Base::Proposal, base);
    // E = x^2 / 2 + y^2 / 2 - x: with the base, precision 2 and linear term 1 in x.
    let parameters = [1.0, 0.0, 1.0, -1.0, 0.0, 0.0];
    let truth = -(2.0f64.ln()) + 0.25;
    let annealed = anneal(&model, &parameters, 1, &how(50, 2000)).unwrap();
    let off = annealed.weights.log_mean() - truth;
    assert!(off.abs() < 5.0 * annealed.weights.relative_error(), "off by {off}");
}

#[test]
fn annealing_does_not_depend_on_threads() {
    let run = |threads, seed| {
        anneal(&gaussian_model(), &GAUSSIAN, seed, &Annealing { threads, ..how(20, 700) }).unwrap()
    };
    assert_eq!(run(1, 1), run(2, 1));
    assert_ne!(run(1, 1), run(1, 2));
}

/// What annealing cannot do: half of the mass is out of reach, and both ways agree on the other half.
#[test]
fn a_mode_out_of_reach_stays_unseen() {
    let modes = Density::Mixture {
        weights: vec![0.5; 2],
        components: [-30.0, 30.0].map(|m| normal(&[m], Scale::Diagonal(vec![1.0]))).to_vec(),
    };
    let model = quadratic(1, Base::Density(modes), normal(&[-30.0], Scale::Diagonal(vec![3.0])));
    let annealed = anneal(&model, &[0.0; 3], 1, &how(20, 200)).unwrap();
    for log_z in [annealed.weights.log_mean(), annealed.back.log_z.value] {
        assert!((log_z - 0.5f64.ln()).abs() < 0.2, "{annealed:?}");
    }
}

#[test]
fn coarse_temperatures_are_told_of() {
    let (means, sds) = (vec![1.0; 32], vec![0.5; 32]);
    let model = quadratic(32, Base::None, normal(&[0.0; 32], Scale::Diagonal(vec![1.0; 32])));
    let annealed = anneal(&model, &natural(&means, &sds), 1, &how(5, 200)).unwrap();
    let warnings = annealed.warnings();
    assert!(warnings.iter().any(|w| w.contains("effective")), "{warnings:?}");
    assert!(warnings.iter().any(|w| w.contains("on the way back")), "{warnings:?}");
}

#[test]
fn annealing_refuses_what_it_must() {
    let run = |parameters: &[f32]| anneal(&gaussian_model(), parameters, 1, &how(2, 10));
    assert!(matches!(run(&[0.0; 5]), Err(SampleError::Size { .. })));
    let nan = run(&[f32::NAN; 6]).unwrap_err();
    assert!(matches!(nan, SampleError::NoWeight { pool: 10, not_finite: 10 }), "{nan}");
    let model =
        Model { proposal: normal(&[0.0; 3], Scale::Diagonal(vec![1.0; 3])), ..gaussian_model() };
    assert!(matches!(anneal(&model, &GAUSSIAN, 1, &how(2, 10)), Err(SampleError::Model(_))));
}
