//! Engines whose training state is in the memory of the host: all but those on a GPU.
//!
//! What they do with the state is the same for all of them, whatever they compute; it is written
//! here once. An engine keeps a [`Host`] and says what is its own ([`HostEngine`]), and is an
//! [`Engine`] by that.

use std::sync::Arc;

use crate::chunks::ChunkSet;
use crate::engine::{Engine, EngineError, Fingerprint, Head};
use crate::optim::Applied;
use crate::partial::{Partial, Reduced};
use crate::plan::StepPlan;
use crate::problem::{Parametric, Problem};
use crate::state::State;

/// The problem, its training state, and memory for the update.
pub struct Host<M> {
    /// What is trained.
    pub problem: Arc<Problem<M>>,
    /// Where training stands.
    pub state: State,
    gradient: Vec<f64>,
}

impl<M: Parametric> Host<M> {
    /// The state before the first step of `problem`.
    pub fn new(problem: Arc<Problem<M>>) -> Self {
        let gradient = vec![0.0; problem.layout.len()];
        Self { state: problem.initial_state(), problem, gradient }
    }
}

/// What is an engine's own.
pub trait HostEngine: Send {
    /// The kind of model.
    type Model: Parametric;

    /// What must be equal for bits to be equal: [`Engine::fingerprint`].
    fn arithmetic(&self) -> Fingerprint;

    /// Adds `chunks` of `plan` to `partial`: [`Engine::accumulate`].
    ///
    /// # Errors
    /// [`EngineError`]; the partial is then as it was.
    fn add_chunks(
        &mut self,
        plan: &StepPlan,
        chunks: &ChunkSet,
        partial: &mut Partial,
    ) -> Result<(), EngineError>;

    /// The state.
    fn host(&self) -> &Host<Self::Model>;

    /// The same, to change it.
    fn host_mut(&mut self) -> &mut Host<Self::Model>;

    /// Takes over the parameters of the state after a change of more than `b`.
    fn refresh(&mut self) {}
}

impl<E: HostEngine> Engine for E {
    fn fingerprint(&self) -> Fingerprint {
        self.arithmetic()
    }

    fn accumulate(
        &mut self,
        plan: &StepPlan,
        chunks: &ChunkSet,
        partial: &mut Partial,
    ) -> Result<(), EngineError> {
        self.add_chunks(plan, chunks, partial)
    }

    fn apply(&mut self, reduced: &Reduced<'_>) -> Applied {
        let Host { problem, state, gradient } = self.host_mut();
        let applied = state.apply(problem, reduced, gradient);
        self.refresh();
        applied
    }

    fn skip(&mut self) {
        self.host_mut().state.step += 1;
    }

    fn head(&self) -> Head {
        self.host().state.head()
    }

    fn set_b(&mut self, b: f32) {
        self.host_mut().state.set_b(b);
    }

    fn digest(&self) -> u128 {
        self.host().state.digest()
    }

    fn snapshot(&self) -> State {
        self.host().state.clone()
    }

    fn restore(&mut self, state: &State) -> Result<(), EngineError> {
        let host = self.host_mut();
        host.state = state.checked(&host.problem)?;
        self.refresh();
        Ok(())
    }
}
