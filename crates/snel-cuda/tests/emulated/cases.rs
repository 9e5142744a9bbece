//! Problems and helpers that several tests share.

use std::sync::Arc;

use snel_core::activation::Activation;
use snel_core::chunks::ChunkSet;
use snel_core::density::{Affine, Density, Draws, Scale};
use snel_core::energy::Energy;
use snel_core::engine::Engine;
use snel_core::objective::Objective;
use snel_core::optim::Optim;
use snel_core::partial::{Partial, StepError};
use snel_core::philox::{Key, Stream};
use snel_core::plan::{Batching, StepPlan};
use snel_core::problem::{Base, Model, Problem};
use snel_core::rows::{Matrix, Rows};
use snel_core::state::State;
use snel_cuda::{CudaEngine, Settings};

use crate::emulator::Emulator;

/// Normal numbers.
pub(crate) fn normals(count: usize, seed: u32) -> Vec<f64> {
    let mut values = vec![0.0; count];
    Draws::new(Key::new(seed, Stream::Fit), 0, 0).normals(&mut values);
    values
}

pub(crate) fn diagonal(dim: usize) -> Affine {
    let mean = (0..dim).map(|i| 0.3 - 0.1 * i as f64).collect();
    Affine { mean, scale: Scale::Diagonal((0..dim).map(|i| 0.8 + 0.05 * i as f64).collect()) }
}

pub(crate) fn lower(dim: usize) -> Affine {
    let mut scale = Vec::new();
    for i in 0..dim {
        scale.extend((0..=i).map(|j| if i == j { 1.1 } else { 0.4 / (1 + i + j) as f64 }));
    }
    Affine { mean: vec![-0.2; dim], scale: Scale::Lower(scale) }
}

/// Every kind of density, mixtures of mixtures among them.
pub(crate) fn densities(dim: usize) -> Vec<Density> {
    let gaussian = Density::Gaussian { at: lower(dim) };
    let student = Density::Student { df: 4.0, at: diagonal(dim) };
    // Degrees of freedom below two need the boost of small gamma shapes.
    let heavy = Density::Student { df: 1.3, at: lower(dim) };
    let uniform = Density::Uniform { low: vec![-2.5; dim], high: vec![3.0; dim] };
    let mixture = Density::Mixture {
        weights: vec![0.5, 0.2, 0.3],
        components: vec![gaussian.clone(), uniform.clone(), student.clone()],
    };
    let nested = Density::Mixture {
        weights: vec![0.4, 0.6],
        components: vec![Density::Gaussian { at: diagonal(dim) }, mixture.clone()],
    };
    vec![
        Density::Gaussian { at: diagonal(dim) },
        gaussian,
        student,
        heavy,
        uniform,
        mixture,
        nested,
    ]
}

/// Two hundred rows of normal numbers.
pub(crate) fn rows(dim: usize) -> Arc<dyn Rows> {
    let values = normals(200 * dim, 7).into_iter().map(|v| v as f32).collect();
    Arc::new(Matrix::new(values, dim).unwrap())
}

#[derive(Debug, Clone)]
pub(crate) struct Case {
    pub(crate) dim: usize,
    pub(crate) widths: Vec<usize>,
    pub(crate) activation: Activation,
    pub(crate) residual: bool,
    pub(crate) objective: Objective,
    pub(crate) proposal: Density,
    pub(crate) base: Base,
}

impl Case {
    /// Three layers, the last two of one width and with a residual connection, under a Gaussian.
    pub(crate) fn new() -> Self {
        Self {
            dim: 3,
            widths: vec![20, 20, 7],
            activation: Activation::Silu,
            residual: true,
            objective: Objective::Snl,
            proposal: Density::Gaussian { at: diagonal(3) },
            base: Base::None,
        }
    }

    pub(crate) fn problem(&self) -> Arc<Problem> {
        let Self { dim, widths, activation, residual, .. } = self.clone();
        let energy = Energy::Mlp { dim, widths, activation, residual };
        let model = Model { energy, base: self.base.clone(), proposal: self.proposal.clone() };
        Arc::new(Problem::new(model, self.objective, Optim::default(), 5))
    }

    /// A state whose energies are of order one.
    pub(crate) fn state(&self) -> State {
        let problem = self.problem();
        let mut parameters = problem.model.energy.initial_parameters(5, true);
        let output = problem.model.energy.layers().1;
        let last = parameters.len() - 1 - output;
        for (v, z) in parameters[output..].iter_mut().zip(normals(last, 3)) {
            *v = (0.5 * z) as f32;
        }
        if let Some(b) = parameters.last_mut() {
            *b = 0.2;
        }
        State::new(parameters)
    }

    pub(crate) fn engine(&self, device: Emulator, settings: &Settings) -> CudaEngine<Emulator> {
        let made = CudaEngine::new(self.problem(), rows(self.dim), device, settings);
        let mut engine = made.unwrap_or_else(|error| panic!("{error}: {error:?}"));
        engine.restore(&self.state()).unwrap();
        engine
    }
}

/// A small shape for the emulator: two warps, tiles of sixteen points.
pub(crate) fn small() -> Settings {
    Settings { tile: Some(16), threads: Some(64), ..Settings::default() }
}

/// Two chunks of rows, three of samples, tails of both.
pub(crate) fn plan() -> StepPlan {
    let batching =
        Batching { batch: 41, samples: 75, per_row: false, chunk: 30, total_rows: 200, seed: 5 };
    batching.plan(2, 40)
}

pub(crate) fn empty(problem: &Problem, plan: &StepPlan) -> Partial {
    let separate = problem.objective.separates_samples();
    Partial::new(problem.layout.len(), plan.scale, plan.n_chunks(), separate)
}

/// The whole step.
pub(crate) fn whole<E: Engine>(engine: &mut E, problem: &Problem, plan: &StepPlan) -> Partial {
    let mut partial = empty(problem, plan);
    engine.accumulate(plan, &ChunkSet::of(0..plan.n_chunks()), &mut partial).unwrap();
    partial
}

pub(crate) fn bytes(partial: &Partial) -> Vec<u8> {
    let mut out = Vec::new();
    partial.write_to(&mut out);
    out
}

/// The gradient of the step of [`plan`], at a scale that holds it.
pub(crate) fn gradient<E: Engine>(engine: &mut E, problem: &Problem) -> Vec<f64> {
    let mut gradient = vec![0.0; problem.layout.len()];
    let mut plan = plan();
    loop {
        match whole(engine, problem, &plan).reduce() {
            // Some pairs of base and proposal have weights of a million.
            Err(StepError::Overflow { scale, .. }) => plan.scale = scale,
            reduced => {
                reduced.unwrap().gradient(&mut gradient);
                return gradient;
            }
        }
    }
}
