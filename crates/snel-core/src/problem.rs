//! What is trained: the model and everything that a step depends on besides the state.

mod kinds;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::conditional::ConditionalModel;
use crate::density::{Density, DensityError};
use crate::energy::Energy;
use crate::layout::Layout;
use crate::mcmc::Persistent;
use crate::objective::Objective;
use crate::optim::Optim;
use crate::state::State;
use crate::vae::VaeModel;

/// The base density `d(x)` that the energy tilts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Base {
    /// `d = 1`: the energy alone.
    None,
    /// `d = q`: a log-weight is just `-E`, no density is evaluated at samples.
    Proposal,
    /// A density of its own.
    Density(Density),
}

/// A model with its proposal: all that densities and log-weights depend on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// Shape of the energy.
    pub energy: Energy,
    /// The base density.
    pub base: Base,
    /// The proposal density `q`.
    pub proposal: Density,
}

impl Model {
    /// Values of a point, `D`.
    pub fn dim(&self) -> usize {
        self.energy.dim()
    }

    /// Checks what deserialisation cannot: sizes that fit together, sound densities.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub fn check(&self) -> Result<(), DensityError> {
        self.energy.check()?;
        self.proposal.check(self.dim())?;
        match &self.base {
            Base::Density(density) => density.check(self.dim()),
            Base::None | Base::Proposal => Ok(()),
        }
    }

    /// The base density, if there is one.
    pub fn base_density(&self) -> Option<&Density> {
        match &self.base {
            Base::None => None,
            Base::Proposal => Some(&self.proposal),
            Base::Density(density) => Some(density),
        }
    }
}

/// What training asks of a kind of model without knowing its arithmetic.
pub trait Parametric {
    /// Layout of its parameters, `b` last.
    fn layout(&self) -> Layout;

    /// First parameters, `b = 0` included.
    fn initial_parameters(&self, seed: u32) -> Vec<f32>;

    /// Rows and samples are summed apart, because the samples' sum is divided after the reduction.
    fn separates_samples(&self, objective: Objective) -> bool;

    /// Values of the points that chains move; 0, the default, if there are no chains for such models.
    fn chain_dim(&self) -> usize {
        0
    }

    /// Places of persistent chains before the first step, which begins at `parameters`: `chains x D`;
    /// none by default.
    fn first_chains(&self, _seed: u32, _chains: &Persistent, _parameters: &[f32]) -> Vec<f32> {
        Vec::new()
    }
}

impl Parametric for Model {
    fn layout(&self) -> Layout {
        Layout::new(&self.energy)
    }

    fn initial_parameters(&self, seed: u32) -> Vec<f32> {
        self.energy.initial_parameters(seed, self.base_density().is_some())
    }

    fn separates_samples(&self, objective: Objective) -> bool {
        objective.separates_samples()
    }

    fn chain_dim(&self) -> usize {
        self.energy.dim()
    }

    fn first_chains(&self, seed: u32, chains: &Persistent, _parameters: &[f32]) -> Vec<f32> {
        chains.first_places(seed, &self.proposal)
    }
}

/// A model of any kind, in files and where kinds are told apart.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum AnyModel {
    /// `p(x)`.
    Density(Model),
    /// `p(y|x)`.
    Conditional(ConditionalModel),
    /// `p(x) = ∫ p(x|z) p(z) dz`.
    Vae(VaeModel),
}

impl AnyModel {
    /// Its kind, as users name it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Density(_) => "density",
            Self::Conditional(_) => "conditional",
            Self::Vae(_) => "vae",
        }
    }

    /// Values of a row.
    pub fn dim(&self) -> usize {
        match self {
            Self::Density(model) => model.dim(),
            Self::Conditional(model) => model.dim(),
            Self::Vae(model) => model.inputs,
        }
    }

    /// Checks what deserialisation cannot: sizes that fit together, sound densities.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub fn check(&self) -> Result<(), DensityError> {
        match self {
            Self::Density(model) => model.check(),
            Self::Conditional(model) => model.check(),
            Self::Vae(model) => model.check(),
        }
    }

    /// The base density; of a variational auto-encoder, that of `z`.
    pub fn base(&self) -> &Base {
        match self {
            Self::Density(model) => &model.base,
            Self::Conditional(model) => &model.base,
            Self::Vae(_) => &Base::Proposal,
        }
    }

    fn parametric(&self) -> &dyn Parametric {
        match self {
            Self::Density(model) => model,
            Self::Conditional(model) => model,
            Self::Vae(model) => model,
        }
    }
}

impl Parametric for AnyModel {
    fn layout(&self) -> Layout {
        self.parametric().layout()
    }

    fn initial_parameters(&self, seed: u32) -> Vec<f32> {
        self.parametric().initial_parameters(seed)
    }

    fn separates_samples(&self, objective: Objective) -> bool {
        self.parametric().separates_samples(objective)
    }

    fn chain_dim(&self) -> usize {
        self.parametric().chain_dim()
    }

    fn first_chains(&self, seed: u32, chains: &Persistent, parameters: &[f32]) -> Vec<f32> {
        self.parametric().first_chains(seed, chains, parameters)
    }
}

impl From<Model> for AnyModel {
    fn from(model: Model) -> Self {
        Self::Density(model)
    }
}

impl From<ConditionalModel> for AnyModel {
    fn from(model: ConditionalModel) -> Self {
        Self::Conditional(model)
    }
}

impl From<VaeModel> for AnyModel {
    fn from(model: VaeModel) -> Self {
        Self::Vae(model)
    }
}

/// A training problem.
#[derive(Debug, Clone)]
pub struct Problem<M = Model> {
    /// What is trained.
    pub model: M,
    /// What is minimised.
    pub objective: Objective,
    /// By which updates.
    pub optim: Optim,
    /// Seed of the run.
    pub seed: u32,
    /// Layout of the flat vector.
    pub layout: Layout,
    /// First parameters, if they are not the model's own.
    start: Option<Arc<[f32]>>,
}

impl<M: Parametric> Problem<M> {
    /// A problem whose layout follows from the model.
    pub fn new(model: M, objective: Objective, optim: Optim, seed: u32) -> Self {
        let layout = model.layout();
        Self { model, objective, optim, seed, layout, start: None }
    }

    /// The same problem, begun at `parameters`; at the model's own if they are not as many.
    #[must_use]
    pub fn starting_at(mut self, parameters: Vec<f32>) -> Self {
        self.start = (parameters.len() == self.layout.len()).then(|| parameters.into());
        self
    }

    /// The state before the first step.
    pub fn initial_state(&self) -> State {
        let own = || self.model.initial_parameters(self.seed);
        let mut state = State::new(self.start.as_ref().map_or_else(own, |start| start.to_vec()));
        if let Some(mcmc) = self.objective.mcmc() {
            state.step_size = mcmc.step_size;
            let first = |chains| self.model.first_chains(self.seed, &chains, &state.parameters);
            state.chains = mcmc.persistent().map(first).unwrap_or_default();
        }
        state
    }

    /// Chains that persist, with the values of a point.
    pub fn persistent(&self) -> Option<(Persistent, usize)> {
        Some((self.objective.mcmc()?.persistent()?, self.model.chain_dim()))
    }

    /// Values of the persistent chains in a state.
    pub fn chain_values(&self) -> usize {
        self.persistent().map_or(0, |(chains, dim)| chains.chains as usize * dim)
    }

    /// 32-bit words that the sums of a step carry: new places of persistent chains.
    pub fn carried_words(&self) -> u64 {
        self.persistent().map_or(0, |(chains, dim)| chains.moved.saturating_mul(dim as u64))
    }

    /// The same problem with its model as `model`: that of one kind, or of any.
    pub fn with_model<N: Parametric>(&self, model: N) -> Problem<N> {
        let start = self.start.clone();
        Problem { start, ..Problem::new(model, self.objective, self.optim.clone(), self.seed) }
    }
}
