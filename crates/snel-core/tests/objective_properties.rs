//! What the theory says of the objectives, asserted on the reference engine.
//!
//! Fixtures have a known normaliser: a quadratic energy is a Gaussian, and in one dimension
//! quadrature gives `Z` of any energy.

#![allow(clippy::unwrap_used)] // a test may panic

use std::sync::Arc;

use snel_core::activation::Activation;
use snel_core::chunks::ChunkSet;
use snel_core::density::{Affine, Density, HALF_LN_TAU, Scale};
use snel_core::energy::Energy;
use snel_core::engine::{DensityEngine, Engine, SampleSet, Scored};
use snel_core::lse::LogWeights;
use snel_core::objective::Objective;
use snel_core::optim::{Optim, Schedule, Shape};
use snel_core::partial::Partial;
use snel_core::philox::{Key, Stream};
use snel_core::plan::{Batching, StepPlan};
use snel_core::problem::{Base, Model, Problem};
use snel_core::reference::{self, ReferenceEngine};
use snel_core::rows::Matrix;
use snel_core::statistics::Statistics;

fn optim(lr: f64, steps: u64) -> Optim {
    Optim {
        lr,
        b_lr: lr,
        schedule: Schedule { warmup: 0, shape: Shape::Cosine { steps, floor: 0.0 } },
        ..Optim::default()
    }
}

fn gaussian(mean: f64, sd: f64, dim: usize) -> Density {
    Density::Gaussian {
        at: Affine { mean: vec![mean; dim], scale: Scale::Diagonal(vec![sd; dim]) },
    }
}

fn mlp(dim: usize, activation: Activation) -> Energy {
    Energy::Mlp { dim, widths: vec![6, 6], activation, residual: true }
}

fn normals(count: usize, seed: u32) -> Vec<f64> {
    let mut values = vec![0.0; count];
    snel_core::density::Draws::new(Key::new(seed, Stream::Fit), 0, 0).normals(&mut values);
    values
}

fn rows(n: usize, dim: usize) -> Arc<Matrix> {
    let values = normals(n * dim, 77).into_iter().map(|z| (0.3 + 0.8 * z) as f32).collect();
    Arc::new(Matrix::new(values, dim).unwrap())
}

/// An engine with random parameters (scaled to keep weights moderate) and the given `b`.
fn engine(
    model: Model,
    objective: Objective,
    data: Arc<Matrix>,
    b: f32,
) -> (Arc<Problem>, ReferenceEngine) {
    let problem = Arc::new(Problem::new(model, objective, optim(0.01, 1000), 5));
    let mut engine = ReferenceEngine::new(problem.clone(), data);
    let mut state = engine.snapshot();
    for (p, z) in state.parameters.iter_mut().zip(normals(problem.layout.len(), 9)) {
        *p = (0.3 * z) as f32;
    }
    state.set_b(b);
    engine.restore(&state).unwrap();
    (problem, engine)
}

fn plan(batch: u64, samples: u64, step: u32, total_rows: u64) -> StepPlan {
    Batching { batch, samples, per_row: false, chunk: 64, total_rows, seed: 5 }.plan(step, 40)
}

/// Sum of all chunks' gradients in f64, samples divided as the objective asks, and statistics.
fn whole_gradient(
    engine: &ReferenceEngine,
    plan: &StepPlan,
    objective: Objective,
) -> (Vec<f64>, Statistics) {
    let (mut rows, mut samples, mut statistics) = (Vec::new(), Vec::new(), Statistics::default());
    for index in 0..plan.n_chunks() {
        let chunk = engine.chunk(plan, index).unwrap();
        statistics.add(&chunk.tally);
        let is_data = chunk.tally.samples == 0;
        let target = if is_data { &mut rows } else { &mut samples };
        target.resize(chunk.gradient.len(), 0.0);
        target.iter_mut().zip(&chunk.gradient).for_each(|(t, g)| *t += g);
    }
    let divide = if objective.separates_samples() { 1.0 / statistics.mean_weight() } else { 1.0 };
    let last = rows.len() - 1;
    let gradient = rows.iter().zip(&samples).enumerate();
    let gradient = gradient.map(|(i, (r, s))| r + s * if i == last { 1.0 } else { divide });
    (gradient.collect(), statistics)
}

/// The loss as a formula over all points, written apart from the engine.
fn loss(problem: &Problem, plan: &StepPlan, parameters: &[f64]) -> f64 {
    use snel_core::activation::softplus;
    use snel_core::plan::Chunk;
    use snel_core::rows::Rows;
    let model = &problem.model;
    let b = parameters[parameters.len() - 1];
    let data = rows(50, model.dim());
    let (mut data_terms, mut us) = (Vec::new(), Vec::new());
    for index in 0..plan.n_chunks() {
        let (points, is_data): (Vec<Vec<f64>>, bool) = match plan.chunk(index) {
            Chunk::Rows(range) => {
                let mut indices = vec![0; range.clone().count()];
                plan.rows(range.start, &mut indices);
                let mut values = vec![0.0; indices.len() * model.dim()];
                data.gather(&indices, &mut values).unwrap();
                let points =
                    values.chunks(model.dim()).map(|x| x.iter().map(|&v| f64::from(v)).collect());
                (points.collect(), true)
            }
            Chunk::Samples(range) => {
                let key = Key::new(problem.seed, Stream::Proposal);
                let points = range.map(|i| {
                    let mut x = vec![0.0; model.dim()];
                    let mut draws = snel_core::density::Draws::new(key, plan.step, i);
                    model.proposal.sample(&mut draws, &mut x);
                    x
                });
                (points.collect(), false)
            }
        };
        for x in points {
            let view = ndarray::ArrayView2::from_shape((1, x.len()), &x).unwrap();
            let e = reference::energies(&model.energy, parameters, view)[0];
            let log_d = model.base_density().map_or(0.0, |d| d.log_density(&x));
            let u = log_d - e - model.proposal.log_density(&x) - b;
            if is_data { data_terms.push((e - log_d, u)) } else { us.push(u) }
        }
    }
    let n = data_terms.len() as f64;
    let mean_e = data_terms.iter().map(|t| t.0).sum::<f64>() / n;
    let mean_weight = us.iter().map(|u| u.exp()).sum::<f64>() / us.len() as f64;
    let log_ratio = (us.len() as f64 / n).ln();
    match problem.objective {
        Objective::Snl => mean_e + b + mean_weight - 1.0,
        Objective::IsMle => mean_e + mean_weight.ln(),
        Objective::Nce => {
            let data = data_terms.iter().map(|t| softplus(log_ratio - t.1)).sum::<f64>() / n;
            data + us.iter().map(|u| softplus(u - log_ratio)).sum::<f64>() / n
        }
        // Chains depend on the parameters: their gradient is that of no loss over the same points.
        Objective::Mcmc(_) => unreachable!("not among the objectives that weigh samples"),
    }
}

fn proposals(dim: usize) -> Vec<Density> {
    let student = Density::Student {
        df: 5.0,
        at: Affine { mean: vec![0.1; dim], scale: Scale::Diagonal(vec![1.2; dim]) },
    };
    let uniform = Density::Uniform { low: vec![-4.0; dim], high: vec![4.0; dim] };
    let mixture = Density::Mixture {
        weights: vec![0.6, 0.3, 0.1],
        components: vec![gaussian(0.0, 1.0, dim), student.clone(), uniform.clone()],
    };
    vec![gaussian(0.2, 1.3, dim), student, uniform, mixture]
}

/// Every objective, proposal, base and activation: the gradient is the derivative of the loss.
/// Central differences, h = 1e-5, of losses below 100: errors under 1e-6.
#[test]
fn gradients_are_derivatives_of_the_loss() {
    let h = 1e-5;
    let dim = 2;
    for objective in Objective::ALL {
        for proposal in proposals(dim) {
            let bases = [Base::None, Base::Proposal, Base::Density(gaussian(0.0, 1.1, dim))];
            for (i, base) in bases.into_iter().enumerate() {
                let energy =
                    if i == 0 { Energy::Quadratic { dim } } else { mlp(dim, Activation::ALL[i]) };
                let model = Model { energy, base, proposal: proposal.clone() };
                let (problem, engine) = engine(model, objective, rows(50, dim), 0.4);
                let plan = plan(50, 130, 3, 50);
                let (gradient, _) = whole_gradient(&engine, &plan, objective);
                let parameters: Vec<f64> =
                    engine.snapshot().parameters.iter().map(|&p| f64::from(p)).collect();
                for k in 0..parameters.len() {
                    if objective == Objective::IsMle && k == problem.layout.b() {
                        continue; // b is a reference there: it follows the SNL gradient.
                    }
                    let (mut up, mut down) = (parameters.clone(), parameters.clone());
                    up[k] += h;
                    down[k] -= h;
                    let slope =
                        (loss(&problem, &plan, &up) - loss(&problem, &plan, &down)) / (2.0 * h);
                    let scale = 1.0 + slope.abs();
                    assert!(
                        (gradient[k] - slope).abs() < 1e-6 * scale,
                        "{objective:?} {:?} parameter {k}: {} {slope}",
                        problem.model,
                        gradient[k]
                    );
                }
            }
        }
    }
}

/// `log Z` of a one-dimensional energy on a base, by the midpoint rule on [-12, 12].
fn log_z(problem: &Problem, parameters: &[f32]) -> f64 {
    let parameters: Vec<f64> = parameters.iter().map(|&p| f64::from(p)).collect();
    let n = 48_000;
    let h = 24.0 / f64::from(n);
    let mut sum = LogWeights::default();
    let xs: Vec<f64> = (0..n).map(|i| -12.0 + (f64::from(i) + 0.5) * h).collect();
    let view = ndarray::ArrayView2::from_shape((xs.len(), 1), &xs).unwrap();
    for (x, e) in xs.iter().zip(reference::energies(&problem.model.energy, &parameters, view)) {
        sum.add(problem.model.base_density().map_or(0.0, |d| d.log_density(&[*x])) - e);
    }
    sum.log_sum() + h.ln()
}

fn one_dimensional() -> Model {
    Model {
        energy: mlp(1, Activation::Silu),
        base: Base::Density(gaussian(0.0, 1.0, 1)),
        proposal: gaussian(0.1, 1.3, 1),
    }
}

/// `E[exp(-b) Ẑ] = exp(u)` with `u = log Z - b`: so the bound is unbiased and its gap to the exact
/// log-likelihood is `exp(u) - 1 - u`, whatever `b`. Five standard errors over 400,000 samples.
#[test]
fn bound_is_unbiased_and_its_gap_is_known() {
    for b in [-0.6f32, 0.0, 0.8] {
        let data = rows(50, 1);
        let (problem, engine) = engine(one_dimensional(), Objective::Snl, data, b);
        let u = log_z(&problem, &engine.snapshot().parameters) - f64::from(b);
        let plan = plan(50, 400_000, 0, 50);
        let (_, s) = whole_gradient(&engine, &plan, Objective::Snl);
        let error = ((1.0 / s.ess_fraction() - 1.0) / s.samples as f64).sqrt() * u.exp();
        assert!((s.mean_weight() - u.exp()).abs() < 5.0 * error, "b = {b}");
        let exact = s.mean_row() - u - f64::from(b);
        let gap = exact - s.bound(f64::from(b));
        assert!((gap - (u.exp() - 1.0 - u)).abs() < 5.0 * error, "b = {b}: {gap}");
    }
}

/// The gradient's mean over steps is that of one huge step: unbiased at any M. IS-MLE's is not,
/// which is why the two objectives exist.
#[test]
fn gradient_is_unbiased_at_small_m() {
    let (_, small) = engine(one_dimensional(), Objective::Snl, rows(50, 1), 0.3);
    let (reference, _) = whole_gradient(&small, &plan(50, 200_000, 999, 50), Objective::Snl);
    let (repeats, m) = (4000, 8);
    let len = reference.len();
    let (mut mean, mut square) = (vec![0.0; len], vec![0.0; len]);
    for step in 0..repeats {
        // The whole data set every step: only the samples vary.
        let (g, _) = whole_gradient(&small, &plan(50, m, step, 50), Objective::Snl);
        for i in 0..len {
            mean[i] += g[i] / f64::from(repeats);
            square[i] += g[i] * g[i] / f64::from(repeats);
        }
    }
    for i in 0..len {
        let error = ((square[i] - mean[i] * mean[i]).max(0.0) / f64::from(repeats)).sqrt();
        // The reference has 6 times the samples: its own error adds a sixth.
        assert!((mean[i] - reference[i]).abs() < 5.0 * 1.1 * error + 1e-12, "{i}");
    }
}

/// `L_SNL <= L_IS` on the same draws, since `e^r - 1 >= r`; equality at `b = log Ẑ`.
#[test]
fn lower_bound_is_below_upper() {
    for b in [-1.0f32, 0.0, 0.5, 2.0] {
        let (_, engine) = engine(one_dimensional(), Objective::Snl, rows(50, 1), b);
        let (_, s) = whole_gradient(&engine, &plan(50, 1000, 0, 50), Objective::Snl);
        let log_z_hat = s.residual() + f64::from(b);
        let upper = s.mean_row() - log_z_hat;
        assert!(s.bound(f64::from(b)) <= upper);
        // The bound as a function of b, at fixed draws, is largest at log Ẑ: the b-gradient there
        // is 1 - exp(-b) Ẑ = 0.
        assert!((1.0 - s.mean_weight() * (f64::from(b) - log_z_hat).exp()).abs() < 1e-12);
    }
}

/// `E -> E + c`, `b -> b - c` changes neither the bound nor any log-density. A constant is added
/// through the base density, which is the same thing with the other sign.
#[test]
fn offsets_are_absorbed_by_b() {
    let shift = 0.75;
    let base = |c: f64| Density::Uniform { low: vec![-50.0], high: vec![-50.0 + 100.0 * c.exp()] };
    let run = |c: f64, b: f32| {
        let model = Model { base: Base::Density(base(c)), ..one_dimensional() };
        let (_, engine) = engine(model, Objective::Snl, rows(50, 1), b);
        let (gradient, s) = whole_gradient(&engine, &plan(50, 500, 0, 50), Objective::Snl);
        (gradient, s.bound(f64::from(b)))
    };
    let (gradient, bound) = run(0.0, 1.0);
    let (shifted_gradient, shifted_bound) = run(shift, 1.0 - shift as f32);
    assert!((bound - shifted_bound).abs() < 1e-10);
    for (a, b) in gradient.iter().zip(&shifted_gradient) {
        assert!((a - b).abs() < 1e-10);
    }
}

/// With base = proposal the log-weight is `-E`, exactly.
#[test]
fn base_cancels_against_an_equal_proposal() {
    let model = Model { base: Base::Proposal, ..one_dimensional() };
    let (_, engine) = engine(model, Objective::Snl, rows(50, 1), 0.0);
    let (mut x, mut scored) = (vec![0.0; 100], vec![Scored::default(); 100]);
    let set = SampleSet { stream: Stream::Evaluation, step: 0 };
    engine.score_samples(set, 0..100, &mut x, &mut scored);
    assert!(scored.iter().all(|s| s.log_base == s.log_proposal));
}

/// At `b = log Ẑ` the SNL gradient is the IS-MLE gradient on the same draws; and there the
/// self-normalised weights are the plain ones.
#[test]
fn snl_and_is_mle_agree_at_the_normaliser() {
    let (_, probe) = engine(one_dimensional(), Objective::Snl, rows(50, 1), 0.0);
    let plan = plan(50, 700, 0, 50);
    let (_, s) = whole_gradient(&probe, &plan, Objective::Snl);
    let b = s.residual() as f32;
    let (_, snl) = engine(one_dimensional(), Objective::Snl, rows(50, 1), b);
    let (_, is) = engine(one_dimensional(), Objective::IsMle, rows(50, 1), -0.4);
    let (g_snl, _) = whole_gradient(&snl, &plan, Objective::Snl);
    let (g_is, _) = whole_gradient(&is, &plan, Objective::IsMle);
    let last = g_snl.len() - 1;
    for i in 0..last {
        // b is rounded to f32: 1e-7 relative in every weight.
        assert!((g_snl[i] - g_is[i]).abs() < 1e-6, "{i}: {} {}", g_snl[i], g_is[i]);
    }
}

/// On an exponential family the optimum is the maximum-likelihood estimate: the Gaussian with the
/// data's mean and covariance, and `b = log Z`. Tolerance: the estimate wanders by the noise of
/// the last steps' samples, whose learning rate goes to zero.
#[test]
fn optimum_is_maximum_likelihood_on_the_gaussian_family() {
    let dim = 2;
    let n = 400;
    let data = rows(n, dim);
    let model = Model {
        energy: Energy::Quadratic { dim },
        base: Base::None,
        proposal: gaussian(0.3, 1.0, dim),
    };
    let steps = 1500;
    let problem = Arc::new(Problem::new(model, Objective::Snl, optim(0.03, steps), 5));
    let mut engine = ReferenceEngine::new(problem.clone(), data.clone());
    engine.set_b(2.0 * HALF_LN_TAU as f32);
    let batching = Batching {
        batch: n as u64,
        samples: 2000,
        per_row: false,
        chunk: 1024,
        total_rows: n as u64,
        seed: 5,
    };
    for _ in 0..steps {
        let state = engine.snapshot();
        let plan = batching.plan(state.step as u32, state.scale);
        let mut partial = Partial::new(problem.layout.len(), plan.scale, plan.n_chunks(), false);
        engine.accumulate(&plan, &ChunkSet::of(0..plan.n_chunks()), &mut partial).unwrap();
        engine.apply(&partial.reduce().unwrap());
    }
    let p: Vec<f64> = engine.snapshot().parameters.iter().map(|&p| f64::from(p)).collect();
    let (a, c, d, h0, h1, b) = (p[0], p[1], p[2], p[3], p[4], p[5]);
    let det = a * d - c * c;
    let covariance = [d / det, -c / det, a / det];
    let mean = [-(d * h0 - c * h1) / det, -(a * h1 - c * h0) / det];
    // The rows' own moments.
    let values = data.values();
    let m = |i: usize| values.chunks(2).map(|x| f64::from(x[i])).sum::<f64>() / n as f64;
    let cov = |i: usize, j: usize| {
        values.chunks(2).map(|x| (f64::from(x[i]) - m(i)) * (f64::from(x[j]) - m(j))).sum::<f64>()
            / n as f64
    };
    for (value, expected) in mean.iter().zip([m(0), m(1)]) {
        assert!((value - expected).abs() < 0.01, "mean {value} {expected}");
    }
    for (value, expected) in covariance.iter().zip([cov(0, 0), cov(0, 1), cov(1, 1)]) {
        assert!((value - expected).abs() < 0.01, "covariance {value} {expected}");
    }
    // log Z of exp(-1/2 x'Ax - h'x): D/2 log 2 pi - 1/2 log det A + 1/2 h' A^-1 h.
    let quadratic = 0.5 * (d * h0 * h0 - 2.0 * c * h0 * h1 + a * h1 * h1) / det;
    let exact = 2.0 * HALF_LN_TAU - 0.5 * det.ln() + quadratic;
    assert!((b - exact).abs() < 0.01, "b {b}, log Z {exact}");
}
