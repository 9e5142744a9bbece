//! What is trained: the model and everything that a step depends on besides the state.

use serde::{Deserialize, Serialize};

use crate::density::{Density, DensityError};
use crate::energy::Energy;
use crate::layout::Layout;
use crate::objective::Objective;
use crate::optim::Optim;

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

/// A training problem.
#[derive(Debug, Clone)]
pub struct Problem {
    /// What is trained.
    pub model: Model,
    /// What is minimised.
    pub objective: Objective,
    /// By which updates.
    pub optim: Optim,
    /// Seed of the run.
    pub seed: u32,
    /// Layout of the flat vector.
    pub layout: Layout,
}

impl Problem {
    /// A problem whose layout follows from the model's energy.
    pub fn new(model: Model, objective: Objective, optim: Optim, seed: u32) -> Self {
        let layout = Layout::new(&model.energy);
        Self { model, objective, optim, seed, layout }
    }
}
