//! What the theory says of conditional models, asserted on the reference engine.

#![allow(clippy::unwrap_used)] // a test may panic

use std::sync::Arc;

use snel_core::activation::Activation;
use snel_core::conditional::{
    ConditionalEngine, ConditionalModel, ConditionalProposal, Defensive, MixtureLoss,
    MixtureNetwork, Networks, RowSamples,
};
use snel_core::density::{Affine, Density, Draws, Scale};
use snel_core::engine::{Engine, SampleSet, Scored};
use snel_core::lse::LogWeights;
use snel_core::mixture::{FLOOR, Mixture};
use snel_core::objective::Objective;
use snel_core::optim::Optim;
use snel_core::perceptron::Perceptron;
use snel_core::philox::{Key, Stream};
use snel_core::plan::{Batching, StepPlan};
use snel_core::problem::{Base, Problem};
use snel_core::reference::ConditionalReference;
use snel_core::rows::{Matrix, Rows};
use snel_core::statistics::Statistics;

const INPUTS: usize = 2;
const TARGETS: usize = 2;
const ROWS: usize = 9;
const SAMPLES: u64 = 7;

fn normals(count: usize, seed: u32) -> Vec<f64> {
    let mut values = vec![0.0; count];
    Draws::new(Key::new(seed, Stream::Fit), 0, 0).normals(&mut values);
    values
}

fn gaussian(mean: f64, sd: f64) -> Density {
    let scale = Scale::Diagonal(vec![sd; TARGETS]);
    Density::Gaussian { at: Affine { mean: vec![mean; TARGETS], scale } }
}

fn network(loss: MixtureLoss, pretrain: u64) -> ConditionalProposal {
    let defensive = Some(Defensive { weight: 0.1, density: gaussian(0.1, 2.0) });
    let network = MixtureNetwork { widths: vec![4], components: 3, loss, pretrain, defensive };
    ConditionalProposal::Network(network)
}

fn observed() -> ConditionalProposal {
    let noise = Density::Mixture {
        weights: vec![0.4, 0.6],
        components: vec![gaussian(0.0, 0.2), gaussian(0.0, 0.9)],
    };
    ConditionalProposal::Observed { noise, elsewhere: gaussian(0.0, 1.2) }
}

/// Models that between them have every part, with the base densities that go with them.
fn models() -> Vec<ConditionalModel> {
    let model = |features: &[usize], energy: &[usize], log_normaliser: &[usize], base, proposal| {
        ConditionalModel {
            inputs: INPUTS,
            targets: TARGETS,
            activation: Activation::Silu,
            features: features.to_vec(),
            energy: energy.to_vec(),
            log_normaliser: log_normaliser.to_vec(),
            base,
            proposal,
        }
    };
    let fixed = || ConditionalProposal::Fixed(gaussian(0.2, 1.1));
    let own = || Base::Density(gaussian(-0.1, 0.8));
    vec![
        model(&[5], &[4, 3], &[3], Base::Proposal, fixed()),
        model(&[], &[4], &[], Base::None, fixed()),
        model(&[3, 4], &[5], &[], own(), observed()),
        model(&[4], &[3], &[2], Base::Proposal, network(MixtureLoss::Both, 0)),
        model(&[4], &[3], &[2], own(), network(MixtureLoss::Kl, 0)),
        model(&[4], &[3], &[2], Base::None, network(MixtureLoss::Likelihood, 0)),
        model(&[4], &[3], &[2], Base::Proposal, network(MixtureLoss::Kl, 100)),
    ]
}

fn data() -> Arc<Matrix> {
    let values = normals(ROWS * (INPUTS + TARGETS), 77).into_iter().map(|z| (0.8 * z) as f32);
    Arc::new(Matrix::new(values.collect(), INPUTS + TARGETS).unwrap())
}

fn plan(chunk: u64) -> StepPlan {
    let batch = ROWS as u64;
    Batching { batch, samples: SAMPLES, per_row: true, chunk, total_rows: batch, seed: 5 }
        .plan(3, 40)
}

fn engine(
    model: ConditionalModel,
    objective: Objective,
) -> (Arc<Problem<ConditionalModel>>, ConditionalReference) {
    model.check().unwrap();
    let problem = Arc::new(Problem::new(model, objective, Optim::default(), 5));
    let mut engine = ConditionalReference::new(problem.clone(), data());
    let mut state = engine.snapshot();
    for (p, z) in state.parameters.iter_mut().zip(normals(problem.layout.len(), 9)) {
        *p = (0.4 * z) as f32;
    }
    state.set_b(0.3);
    engine.restore(&state).unwrap();
    (problem, engine)
}

fn gradient(engine: &ConditionalReference, plan: &StepPlan) -> (Vec<f64>, Statistics) {
    let (mut sum, mut statistics) = (Vec::new(), Statistics::default());
    for index in 0..plan.n_chunks() {
        let chunk = engine.chunk(plan, index).unwrap();
        statistics.add(&chunk.tally);
        sum.resize(chunk.gradient.len(), 0.0);
        sum.iter_mut().zip(&chunk.gradient).for_each(|(t, g)| *t += g);
    }
    (sum, statistics)
}

/// A perceptron written out; `offset` is added to the first pre-activations.
fn run(p: &[f64], net: &Perceptron, x: &[f64], offset: Option<&[f64]>) -> Vec<f64> {
    let mut h = x.to_vec();
    let layers = net.hidden.iter().map(|l| (l, true)).chain(net.output.iter().map(|l| (l, false)));
    for (i, (linear, activates)) in layers.enumerate() {
        let layer = linear.layer;
        h = (0..layer.outputs)
            .map(|o| {
                let weights = &p[layer.weight + o * layer.inputs..][..layer.inputs];
                let mut z: f64 = weights.iter().zip(&h).map(|(w, h)| w * h).sum();
                if linear.biased {
                    z += p[layer.bias + o];
                }
                if let (0, Some(offset)) = (i, offset) {
                    z += offset[o];
                }
                if activates { Activation::Silu.value_and_slope(z).0 } else { z }
            })
            .collect();
    }
    h
}

/// What the samples of the step are: drawn once at the engine's parameters, then constants.
struct Frozen {
    x: Vec<f64>,
    /// The observed `y` and the samples, each with `log d` and `log q`.
    y: Vec<(Vec<f64>, f64, f64)>,
    h: Vec<f64>,
    /// Self-normalised weights of the samples, and `log Ẑ(x)`.
    shares: Vec<f64>,
    log_z: f64,
}

fn offset(p: &[f64], nets: &Networks, h: &[f64]) -> Vec<f64> {
    run(p, &Perceptron { hidden: Vec::new(), output: Some(nets.offset) }, h, None)
}

fn mixture(p: &[f64], nets: &Networks, model: &ConditionalModel, x: &[f64]) -> Mixture {
    let mut mixture = model.mixture().unwrap().mixture(TARGETS);
    let outputs = run(p, nets.proposal.as_ref().unwrap(), x, None);
    mixture.set(outputs.iter().copied());
    mixture
}

fn freeze(model: &ConditionalModel, nets: &Networks, p: &[f64], plan: &StepPlan) -> Vec<Frozen> {
    let mut numbers = vec![0; ROWS];
    plan.rows(0, &mut numbers);
    let mut values = vec![0.0; ROWS * model.dim()];
    data().gather(&numbers, &mut values).unwrap();
    let key = Key::new(5, Stream::Proposal);
    let mut all = Vec::new();
    for (i, row) in values.chunks(model.dim()).enumerate() {
        let row: Vec<f64> = row.iter().map(|&v| f64::from(v)).collect();
        let (x, y) = row.split_at(INPUTS);
        let mut mixture = model.mixture().map(|_| mixture(p, nets, model, x));
        let log_q = |at: &[f64], mixture: &mut Option<Mixture>| match (&model.proposal, mixture) {
            (ConditionalProposal::Fixed(density), _) => density.log_density(at),
            (ConditionalProposal::Observed { noise, .. }, _) => {
                let z: Vec<f64> = at.iter().zip(y).map(|(a, y)| a - y).collect();
                noise.log_density(&z)
            }
            (ConditionalProposal::Network(_), mixture) => mixture.as_mut().unwrap().log_density(at),
        };
        let mut points = vec![y.to_vec()];
        for m in 0..SAMPLES {
            let mut at = vec![0.0; TARGETS];
            let mut draws = Draws::new(key, plan.step, i as u64 * SAMPLES + m);
            match (&model.proposal, &mixture) {
                (ConditionalProposal::Fixed(density), _) => density.sample(&mut draws, &mut at),
                (ConditionalProposal::Observed { noise, .. }, _) => {
                    noise.sample(&mut draws, &mut at);
                    at.iter_mut().zip(y).for_each(|(a, y)| *a += y);
                }
                (_, mixture) => mixture.as_ref().unwrap().sample(&mut draws, &mut at),
            }
            points.push(at);
        }
        let y: Vec<_> = points
            .into_iter()
            .map(|at| {
                let log_q = log_q(&at, &mut mixture);
                let log_d = match &model.base {
                    Base::None => 0.0,
                    Base::Proposal => log_q,
                    Base::Density(density) => density.log_density(&at),
                };
                (at, log_d, log_q)
            })
            .collect();
        let h = run(p, &nets.features, x, None);
        let mut frozen = Frozen { x: x.to_vec(), y, h, shares: Vec::new(), log_z: 0.0 };
        let lw = log_weights(nets, p, &frozen);
        let mut sums = LogWeights::default();
        lw[1..].iter().for_each(|lw| assert!(sums.add(*lw)));
        frozen.shares = lw[1..].iter().map(|lw| (lw - sums.log_sum()).exp()).collect();
        frozen.log_z = sums.log_mean();
        all.push(frozen);
    }
    all
}

/// `log d - E - log q` of the observed `y` and of the samples.
fn log_weights(nets: &Networks, p: &[f64], row: &Frozen) -> Vec<f64> {
    let h = run(p, &nets.features, &row.x, None);
    let offset = offset(p, nets, &h);
    let weight = |(y, log_d, log_q): &(Vec<f64>, f64, f64)| {
        log_d - run(p, &nets.energy, y, Some(&offset))[0] - log_q
    };
    row.y.iter().map(weight).collect()
}

/// The loss as a formula, written apart from the engine.
fn loss(problem: &Problem<ConditionalModel>, nets: &Networks, rows: &[Frozen], p: &[f64]) -> f64 {
    let model = &problem.model;
    let pretrains = model.pretrains(3);
    let mut total = 0.0;
    for row in rows {
        let lw = log_weights(nets, p, row);
        let mut sums = LogWeights::default();
        lw[1..].iter().for_each(|lw| assert!(sums.add(*lw)));
        let log_z = sums.log_mean();
        let b = |h: &[f64]| p[p.len() - 1] + run(p, &nets.log_normaliser, h, None)[0];
        if !pretrains {
            total += match problem.objective {
                Objective::Snl => {
                    let b = b(&run(p, &nets.features, &row.x, None));
                    -lw[0] + b + (log_z - b).exp() - 1.0
                }
                Objective::IsMle => -lw[0] + log_z,
                Objective::Nce => {
                    sums.add(lw[0]);
                    -lw[0] + sums.log_sum()
                }
                Objective::Mcmc(_) => unreachable!("conditional models have no chains"),
            };
        }
        if pretrains || problem.objective != Objective::Snl {
            // The running reference: weights and features are constants to it.
            let b = b(&row.h);
            total += b + (row.log_z - b).exp();
        }
        if let Some(network) = model.mixture() {
            let mut q = mixture(p, nets, model, &row.x);
            let (likelihood, divergence) =
                if pretrains { (1.0, 0.0) } else { network.loss.factors() };
            total -= likelihood * q.log_density(&row.y[0].0);
            for ((y, ..), share) in row.y[1..].iter().zip(&row.shares) {
                total -= divergence * share * q.log_density(y);
            }
        }
    }
    total / rows.len() as f64
}

/// Central differences with h = 1e-5 of a loss below 100: truncation `h^2 f'''/6` and rounding
/// `eps f / h` are both below 1e-8 here.
#[test]
fn gradients_are_derivatives_of_the_loss() {
    let h = 1e-5;
    for model in models() {
        for objective in Objective::ALL {
            let (problem, engine) = engine(model.clone(), objective);
            let nets = Networks::new(&problem.model);
            let p: Vec<f64> = engine.snapshot().parameters.iter().map(|&p| f64::from(p)).collect();
            let rows = freeze(&problem.model, &nets, &p, &plan(4));
            let (gradient, _) = gradient(&engine, &plan(4));
            for segment in problem.layout.segments() {
                for i in segment.range() {
                    let (mut up, mut down) = (p.clone(), p.clone());
                    up[i] += h;
                    down[i] -= h;
                    let slope = (loss(&problem, &nets, &rows, &up)
                        - loss(&problem, &nets, &rows, &down))
                        / (2.0 * h);
                    assert!(
                        (gradient[i] - slope).abs() < 1e-7,
                        "{objective:?} {} {i}: {} {slope} {model:?}",
                        segment.name,
                        gradient[i]
                    );
                }
            }
        }
    }
}

/// The bound of the statistics is that of the formula, and chunks of any size sum to the same.
#[test]
fn the_bound_is_the_mean_over_rows() {
    for model in models() {
        let (problem, engine) = engine(model, Objective::Snl);
        let nets = Networks::new(&problem.model);
        let p: Vec<f64> = engine.snapshot().parameters.iter().map(|&p| f64::from(p)).collect();
        let rows = freeze(&problem.model, &nets, &p, &plan(4));
        let bound: f64 = rows
            .iter()
            .map(|row| {
                let b = p[p.len() - 1] + run(&p, &nets.log_normaliser, &row.h, None)[0];
                let lw = log_weights(&nets, &p, row);
                lw[0] + row.y[0].2 - b - (row.log_z - b).exp() + 1.0
            })
            .sum::<f64>()
            / ROWS as f64;
        let mut firsts = Vec::new();
        for chunk in [1, 4, 100] {
            let (gradient, statistics) = gradient(&engine, &plan(chunk));
            assert_eq!((statistics.rows, statistics.samples), (9, 63));
            assert!((statistics.bound(f64::from(engine.head().b)) - bound).abs() < 1e-6);
            firsts.push(gradient);
        }
        for other in &firsts[1..] {
            // Sums of nine rows in another order.
            let close = |(a, b): (&f64, &f64)| (a - b).abs() < 1e-12;
            assert!(firsts[0].iter().zip(other).all(close));
        }
    }
}

/// At first the energy is zero, and so the model is its base density for every `x`.
#[test]
fn training_starts_at_the_base_density() {
    let model = models().remove(3);
    let problem = Arc::new(Problem::new(model, Objective::Snl, Optim::default(), 5));
    let engine = ConditionalReference::new(problem, data());
    let (x, mut y, mut out) = ([0.3, -0.5, 1.0, 2.0], vec![0.0; 20], vec![Scored::default(); 10]);
    let set = SampleSet { stream: Stream::Evaluation, step: 0 };
    engine.score_samples(
        &RowSamples { set, first_row: 4, per_row: 9, range: 2..7 },
        &x,
        &mut y,
        &mut out,
    );
    assert!(out.iter().all(|s| s.energy == 0.0 && s.log_base == s.log_proposal));
    let mut b = [1.0; 2];
    engine.log_normalisers(&x, &mut b);
    assert_eq!(b, [0.0; 2]);
    let mut again = vec![Scored::default(); 10];
    engine.score(&x, &y, &mut again);
    for (a, b) in out.iter().zip(&again) {
        // The points were rounded to f32 in between.
        assert!((a.log_proposal - b.log_proposal).abs() < 1e-5);
    }
}

/// A mixture's samples have its log-density: the mean of `log q` over samples is minus the entropy
/// that quadrature gives, within five standard errors, and its integral is one.
#[test]
fn a_mixture_is_normalised_and_sampled() {
    let density =
        Density::Gaussian { at: Affine { mean: vec![0.5], scale: Scale::Diagonal(vec![1.5]) } };
    let network = MixtureNetwork {
        widths: Vec::new(),
        components: 2,
        loss: MixtureLoss::Both,
        pretrain: 0,
        defensive: Some(Defensive { weight: 0.2, density }),
    };
    let mut mixture = network.mixture(1);
    mixture.set([0.3, -0.8, -1.0, 0.7, (0.3 - FLOOR).ln(), (0.6 - FLOOR).ln()].into_iter());
    let step = 1e-3;
    let (mut total, mut entropy) = (0.0, 0.0);
    for i in -10_000..10_000 {
        let log_q = mixture.log_density(&[f64::from(i) * step]);
        total += log_q.exp() * step;
        entropy -= log_q * log_q.exp() * step;
    }
    assert!((total - 1.0).abs() < 1e-8, "{total}");
    let n = 20_000;
    let (mut sum, mut squares) = (0.0, 0.0);
    for i in 0..n {
        let mut y = [0.0];
        mixture.sample(&mut Draws::new(Key::new(1, Stream::Fit), 0, i), &mut y);
        let log_q = mixture.log_density(&y);
        sum += log_q;
        squares += log_q * log_q;
    }
    let mean = sum / n as f64;
    let se = ((squares / n as f64 - mean * mean) / n as f64).sqrt();
    assert!((mean + entropy).abs() < 5.0 * se, "{mean} {entropy}");
}
