use snel_core::density::{Affine, Density, Draws, Scale};
use snel_core::philox::{Key, Stream};
use snel_core::problem::{Base, Model};

use super::super::chains::TARGET;
use super::super::{Langevin, SampleError, refine};
use super::{GAUSSIAN, MEAN, assert_gaussian, gaussian_model, mean, normal, quadratic};

fn draw(density: &Density, count: u64) -> Vec<f32> {
    let mut x = vec![0.0; density.dim()];
    let point = |n| {
        density.sample(&mut Draws::new(Key::new(3, Stream::Toy), 0, n), &mut x);
        x.iter().map(|&x| x as f32).collect::<Vec<_>>()
    };
    (0..count).flat_map(point).collect()
}

fn langevin(steps: u32, step_size: impl Into<Option<f64>>) -> Langevin {
    Langevin { steps, step_size: step_size.into(), threads: 2 }
}

/// A step size so large that Langevin steps alone would be far off: they must be corrected.
#[test]
fn langevin_keeps_a_gaussian() {
    let exact = normal(&MEAN, Scale::Lower(vec![1.0, 0.6, 0.8]));
    for step_size in [Some(0.9), None] {
        let mut points = draw(&exact, 20_000);
        let refined =
            refine(&gaussian_model(), &GAUSSIAN, 1, &mut points, &langevin(20, step_size)).unwrap();
        assert!(refined.acceptance.unwrap() < 0.9, "the correction did little: {refined:?}");
        assert_gaussian(&points, 20_000.0);
    }
}

/// The mean acceptance of 4000 chains has a standard error below 0.01 a step; the gain leaves
/// less than that of the noise in the last adapted step, and 100 later steps share what is left.
#[test]
fn langevin_corrects_a_wrong_start() {
    let mut points = [6.0, -6.0].repeat(4000);
    let refined =
        refine(&gaussian_model(), &GAUSSIAN, 1, &mut points, &langevin(200, None)).unwrap();
    assert_gaussian(&points, 4000.0);
    assert!((refined.acceptance.unwrap() - TARGET).abs() < 0.02, "{refined:?}");
    assert_eq!((refined.unmoved, refined.warnings.len()), (0, 0), "{refined:?}");
}

/// With the right drift the log-ratio of a small step is of order `s^3`, so nearly every proposal is
/// accepted; with another one, though the points stay right, it is of order `s` times the error.
#[test]
fn langevin_drifts_uphill() {
    let student = Density::Student {
        df: 5.0,
        at: Affine { mean: vec![0.0; 2], scale: Scale::Lower(vec![1.0, -0.5, 0.7]) },
    };
    for base in [Base::None, Base::Density(student)] {
        let model = Model { base, ..gaussian_model() };
        let mut points = draw(&model.proposal, 4000);
        let refined = refine(&model, &GAUSSIAN, 1, &mut points, &langevin(20, 0.1)).unwrap();
        assert!(refined.acceptance.unwrap() > 0.995, "{refined:?}");
    }
}

#[test]
fn points_do_not_depend_on_threads() {
    let run = |threads, seed| {
        let mut points = draw(&normal(&[0.0; 2], Scale::Diagonal(vec![2.0; 2])), 700);
        let how = Langevin { threads, ..langevin(30, None) };
        let refined = refine(&gaussian_model(), &GAUSSIAN, seed, &mut points, &how).unwrap();
        (points, refined)
    };
    assert_eq!(run(1, 1), run(2, 1));
    assert_ne!(run(1, 1), run(1, 2));
}

/// `E = h x` on a mixture of normals gives another: means `m_k - h v_k`, weights times
/// `exp(-h m_k + h^2 v_k / 2)`, `v_k` the variances. Two modes of unequal width, from exact points
/// and from points all in the left mode; the mass right of zero is the test.
#[test]
fn langevin_weighs_two_modes() {
    let (h, means, sds) = (0.25, [-1.5, 1.5], [0.6f64, 1.0]);
    let mixture = |weights: [f64; 2], means: [f64; 2]| Density::Mixture {
        weights: weights.to_vec(),
        components: [0, 1].map(|k| normal(&[means[k]], Scale::Diagonal(vec![sds[k]]))).to_vec(),
    };
    let raw = [0, 1].map(|k| 0.5 * (-h * means[k] + 0.5 * h * h * sds[k] * sds[k]).exp());
    let exact =
        mixture(raw.map(|w| w / (raw[0] + raw[1])), [0, 1].map(|k| means[k] - h * sds[k] * sds[k]));
    let base = mixture([0.5; 2], means);
    let model = quadratic(1, Base::Density(base), normal(&[0.0], Scale::Diagonal(vec![3.0])));
    // Midpoint rule on a smooth function: exact to far below a standard error.
    let right: f64 =
        (0..2000).map(|i| 0.005 * exact.log_density(&[(f64::from(i) + 0.5) * 0.005]).exp()).sum();
    for (mut points, steps) in [(draw(&exact, 20_000), 25), (vec![-1.5; 5000], 300)] {
        let n = points.len() as f64;
        let refined =
            refine(&model, &[0.0, 0.25, 0.0], 1, &mut points, &langevin(steps, 1.0)).unwrap();
        assert!(refined.acceptance.unwrap() < 0.95, "{refined:?}");
        let mass = mean(points.iter().map(|&x| f64::from(x > 0.0)));
        let se = (right * (1.0 - right) / n).sqrt();
        assert!((mass - right).abs() < 5.0 * se, "mass {mass}, not {right}, after {steps} steps");
    }
}

/// Variance 1/12 and fourth central moment 1/80 of a uniform number.
#[test]
fn langevin_stays_in_a_box() {
    let unit = Density::Uniform { low: vec![0.0; 2], high: vec![1.0; 2] };
    let model = quadratic(2, Base::Proposal, unit.clone());
    let mut points = draw(&unit, 10_000);
    let refined = refine(&model, &[0.0; 6], 1, &mut points, &langevin(30, 0.3)).unwrap();
    assert!(points.iter().all(|x| (0.0..=1.0).contains(x)));
    assert!(refined.acceptance.unwrap() < 0.8, "{refined:?}");
    let offsets = || points.iter().map(|&x| f64::from(x) - 0.5);
    let (m, v) = (mean(offsets()), mean(offsets().map(|x| x * x)));
    assert!(m.abs() < 5.0 * (1.0 / 12.0 / 20_000.0f64).sqrt(), "mean {m}");
    let se = ((1.0f64 / 80.0 - 1.0 / 144.0) / 20_000.0).sqrt();
    assert!((v - 1.0 / 12.0).abs() < 5.0 * se, "variance {v}");
    // From outside every step in is taken, though its ratio is infinite.
    let mut outside = vec![1.2; 600];
    let refined = refine(&model, &[0.0; 6], 1, &mut outside, &langevin(200, 0.3)).unwrap();
    assert!(refined.unmoved == 0 && outside.iter().all(|x| (0.0..=1.0).contains(x)));
}

#[test]
fn langevin_refuses_what_it_must() {
    let model = gaussian_model();
    let run =
        |parameters: &[f32], points: &mut [f32], how| refine(&model, parameters, 1, points, &how);
    // Steps that overflow are refused, and nothing moves.
    let mut points = vec![1.0; 10];
    let refined = run(&GAUSSIAN, &mut points, langevin(5, 1e200)).unwrap();
    assert_eq!((refined.acceptance, refined.unmoved, &points), (Some(0.0), 5, &vec![1.0; 10]));
    assert!(refined.warnings[0].contains("far from") && refined.warnings[1].contains("5 of 5"));
    // A chain that starts nowhere stays there and is counted.
    let refined = run(&GAUSSIAN, &mut [f32::NAN, 0.0, 1.0, 1.0], langevin(50, None)).unwrap();
    assert_eq!(refined.unmoved, 1);
    for (mut points, steps) in [(vec![], 10), (vec![1.0; 4], 0)] {
        let refined = run(&GAUSSIAN, &mut points, langevin(steps, None)).unwrap();
        assert_eq!((refined.acceptance, refined.warnings.len()), (None, 0));
        assert!(refined.step_size.is_finite());
    }
    let error = run(&GAUSSIAN, &mut [0.0; 3], langevin(1, None)).unwrap_err();
    assert_eq!(error.to_string(), "3 values do not fit the model: its points have 2 each");
    assert!(matches!(run(&[0.0; 5], &mut [], langevin(1, None)), Err(SampleError::Size { .. })));
    for s in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert!(matches!(run(&GAUSSIAN, &mut [], langevin(1, s)), Err(SampleError::StepSize(_))));
    }
}
