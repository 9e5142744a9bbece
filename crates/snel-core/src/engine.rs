//! The seam between training and arithmetic.
//!
//! An engine owns the training state on its device and does three things with it: sum the
//! cotangent-weighted energy gradients of chunks, apply a reduced sum, and evaluate points. The
//! first two are the same for every kind of model ([`Engine`]); points are evaluated by
//! [`DensityEngine`] or by [`crate::conditional::ConditionalEngine`].
//! [`crate::reference::ReferenceEngine`] is the plain one that the others are tested against.

use std::fmt;
use std::ops::Range;

use crate::chunks::ChunkSet;
use crate::optim::Applied;
use crate::partial::{Partial, PartialError, Reduced, StepError};
use crate::philox::Stream;
use crate::plan::{Batching, StepPlan};
use crate::state::State;
use crate::statistics::Statistics;

/// What must be equal for results to be equal bits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fingerprint {
    /// The engine: `reference`, `cpu`, `cuda`.
    pub engine: String,
    /// Instruction set or GPU architecture.
    pub arithmetic: String,
    /// Raised whenever an engine's order or kind of operations changes.
    pub revision: u32,
    /// Version of the crate.
    pub version: String,
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { engine, arithmetic, revision, version } = self;
        write!(f, "{engine} {arithmetic}, kernels {revision}, snel {version}")
    }
}

/// Products that are rounded more coarsely than f32.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Coarse {
    /// How they are made, as users name it.
    pub precision: &'static str,
    /// The cheapest finer way.
    pub finer: &'static str,
}

/// A point's energy and log-densities, nats.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Scored {
    /// `E(x)`.
    pub energy: f32,
    /// `log d(x)`; zero without a base density.
    pub log_base: f32,
    /// `log q(x)`.
    pub log_proposal: f32,
}

impl Scored {
    /// `log d - E`, the log-density up to the normaliser.
    pub fn tilted(&self) -> f64 {
        f64::from(self.log_base) - f64::from(self.energy)
    }
}

/// The few numbers of the state that every step asks for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Head {
    /// Number of the next step.
    pub step: u64,
    /// Scale exponent of the next step's exact sums.
    pub scale: i32,
    /// The log-normaliser.
    pub b: f32,
    /// Step size of chains; zero without chains.
    pub step_size: f64,
}

/// What a step came to.
#[derive(Debug, Clone)]
pub struct StepOutcome {
    /// The log-normaliser that the step was computed at.
    pub b: f32,
    /// Where the run stands after it.
    pub head: Head,
    /// The update, or why the step was refused.
    pub result: Result<Update, StepError>,
}

/// A step that was applied.
#[derive(Debug, Clone)]
pub struct Update {
    /// Sums of the step's scalars.
    pub statistics: Statistics,
    /// What the update did.
    pub applied: Applied,
}

/// Which proposal samples: the stream and the step that key their randomness.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SampleSet {
    /// Purpose of the samples.
    pub stream: Stream,
    /// Step they belong to, or any number that tells sets of one stream apart.
    pub step: u32,
}

/// Why an engine could not work.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// Training rows could not be read.
    #[error("cannot read training rows")]
    Rows(#[from] std::io::Error),
    /// The sums do not belong together.
    #[error(transparent)]
    Partial(#[from] PartialError),
    /// The device that computes failed.
    #[error("the device cannot go on")]
    Device(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A state of another model.
    #[error("a state of {found} parameters does not fit a model of {expected}")]
    State {
        /// Parameters of the state.
        found: usize,
        /// Parameters of the model.
        expected: usize,
    },
    /// A state with other chains.
    #[error("a state of {found} values of chains does not fit a run that keeps {expected}")]
    Chains {
        /// Values of the state.
        found: usize,
        /// Values of the run.
        expected: usize,
    },
}

/// A device's arithmetic, as far as training needs it.
pub trait Engine: Send {
    /// What must be equal for bits to be equal.
    fn fingerprint(&self) -> Fingerprint;

    /// Adds the gradients and statistics of `chunks` of `plan` to `partial`.
    ///
    /// # Errors
    /// [`EngineError`]; the partial is then as it was.
    fn accumulate(
        &mut self,
        plan: &StepPlan,
        chunks: &ChunkSet,
        partial: &mut Partial,
    ) -> Result<(), EngineError>;

    /// Applies a whole step's gradient and advances the step.
    fn apply(&mut self, reduced: &Reduced<'_>) -> Applied;

    /// Advances the step without an update: the step was refused.
    fn skip(&mut self);

    /// For a worker alone: makes as many of the next `steps` steps as it can without being told the
    /// sums of each, and appends what they came to. Their bits are those of [`Self::accumulate`],
    /// [`Partial::reduce`] and [`Self::apply`]. It stops before a step that has to be repeated or
    /// refused. The default makes none: an engine that waits for nobody between steps gains nothing.
    ///
    /// # Errors
    /// [`EngineError`]; the state is then the last that could be had, at that step.
    fn advance(
        &mut self,
        _batching: &Batching,
        _steps: u64,
        _outcomes: &mut Vec<StepOutcome>,
    ) -> Result<(), EngineError> {
        Ok(())
    }

    /// Where the run stands, without a copy of the state.
    fn head(&self) -> Head;

    /// Sets the log-normaliser.
    fn set_b(&mut self, b: f32);

    /// [`State::digest`] of the training state.
    fn digest(&self) -> u128;

    /// A copy of the training state.
    fn snapshot(&self) -> State;

    /// Continues from `state`.
    ///
    /// # Errors
    /// [`EngineError::State`] if it is another model's.
    fn restore(&mut self, state: &State) -> Result<(), EngineError>;
}

/// The arithmetic of a density model: training, and densities of points.
pub trait DensityEngine: Engine {
    /// Says so if products are coarser than f32: whoever uses the engine then compares its energies
    /// with exact ones once in a while ([`crate::precision`]).
    fn coarse(&self) -> Option<Coarse> {
        None
    }

    /// Energies and log-densities of the points `x` (`out.len() * D` values, row-major).
    fn score(&self, x: &[f32], out: &mut [Scored]);

    /// Draws the proposal samples `range` of `set` into `x` (row-major) and scores them.
    fn score_samples(&self, set: SampleSet, range: Range<u64>, x: &mut [f32], out: &mut [Scored]);
}
