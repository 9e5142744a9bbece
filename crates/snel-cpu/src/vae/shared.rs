//! What all threads share and only read: the networks' packed weights, and the prior.

use std::sync::Arc;

use snel_core::density::Density;
use snel_core::mixture::Mixture;
use snel_core::optim::Optim;
use snel_core::problem::Problem;
use snel_core::rows::{Matrix, Rows};
use snel_core::state::State;
use snel_core::vae::{VaeModel, VaeNetworks};

use crate::chunk;
use crate::packed::PackedWeights;
use crate::stack::PackedStack;

/// What does not change from step to step.
pub(super) struct Shared {
    pub(super) problem: Arc<Problem<VaeModel>>,
    pub(super) networks: VaeNetworks,
    pub(super) rows: Arc<dyn Rows>,
}

impl Shared {
    pub(super) fn new(problem: Arc<Problem<VaeModel>>, rows: Arc<dyn Rows>) -> Self {
        let networks = VaeNetworks::new(&problem.model);
        Self { problem, networks, rows }
    }
}

/// The parameters of a step, packed.
pub(super) struct Packed {
    pub(super) encoder: PackedStack,
    pub(super) decoder: PackedStack,
    pub(super) energy: PackedWeights,
    /// The prior as a density model on `z`, at these parameters.
    pub(super) prior: chunk::Shared,
    /// The base density, if it is learned.
    pub(super) mixture: Option<Mixture>,
    /// The logarithm of the deviation of a Gaussian likelihood.
    pub(super) log_deviation: f64,
}

impl Packed {
    pub(super) fn new(shared: &Shared, parameters: &[f32], lanes: usize) -> Self {
        let Shared { problem, networks, .. } = shared;
        let mut packed = Self {
            encoder: PackedStack::new(&networks.encoder, lanes, false),
            decoder: PackedStack::new(&networks.decoder, lanes, true),
            energy: PackedWeights::new(&problem.model.energy, lanes, true),
            prior: prior(problem, parameters),
            mixture: problem.model.mixture(),
            log_deviation: 0.0,
        };
        packed.pack(shared, parameters);
        packed
    }

    /// Takes over the flat vector `parameters`.
    pub(super) fn pack(&mut self, shared: &Shared, parameters: &[f32]) {
        let Shared { problem, networks, .. } = shared;
        self.encoder.pack(parameters);
        self.decoder.pack(parameters);
        self.energy.pack(parameters);
        if let (Some(mixture), Some(range)) = (&mut self.mixture, &networks.base) {
            mixture.set(parameters[range.clone()].iter().map(|&p| f64::from(p)));
            self.prior = prior(problem, parameters);
        }
        self.log_deviation = problem.model.log_deviation(parameters);
    }

    /// The density that samples of the prior are drawn from.
    pub(super) fn base(&self) -> &Density {
        &self.prior.problem.model.proposal
    }

    /// The same with the state, for the engine of the prior.
    pub(super) fn of_prior<'a>(&'a self, state: &'a State) -> chunk::Parameters<'a> {
        chunk::Parameters::new(state, &self.energy)
    }
}

fn prior(problem: &Problem<VaeModel>, parameters: &[f32]) -> chunk::Shared {
    let model = problem.model.prior(parameters);
    let no_rows = Arc::new(Matrix::empty(model.dim()));
    let problem = Problem::new(model, problem.objective, Optim::default(), problem.seed);
    chunk::Shared::new(Arc::new(problem), no_rows)
}
