//! The CUDA implementation of [`Engine`].
//!
//! Invariants
//! 1. The grid, and which block computes a chunk, change nothing: chunks are summed as integers.
//! 2. Memory on the device does not depend on `M`, but for 80 bytes a chunk. A batch of steps takes
//!    64 MiB at most, or what one step takes.
//! 3. The state lives on the device. The host has a copy, which is made anew when it is asked for.
//!
//! A device that fails where no error can be returned (scores, updates, snapshots) leaves NaN, or
//! the last state that could be had, and the next [`Engine::accumulate`] returns the error.

mod batch;
mod layers;
mod machine;
mod session;
mod setup;
mod tiles;
mod update;
mod work;

use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use snel_core::chunks::ChunkSet;
use snel_core::engine::{
    Coarse, DensityEngine, Engine, EngineError, Fingerprint, Head, SampleSet, Scored, StepOutcome,
};
use snel_core::optim::Applied;
use snel_core::partial::{Partial, Reduced};
use snel_core::plan::{Batching, StepPlan};
use snel_core::problem::Problem;
use snel_core::rows::Rows;
use snel_core::state::State;

use crate::device::{Device, DeviceError};
use crate::settings::{Settings, ShapeError};
use crate::shape::Shape;
use crate::sources;
use machine::Machine;
use session::Session;

/// Points that are scored in one launch.
const SCORED_AT_ONCE: usize = 1 << 16;

/// The engine on a GPU, or on what passes for one.
pub struct CudaEngine<D: Device> {
    problem: Arc<Problem>,
    rows: Arc<dyn Rows>,
    shape: Shape,
    architecture: String,
    /// What multiplies matrices, layer by layer.
    multiplier: Option<String>,
    /// Locked by methods that share the engine; a step has it to itself.
    session: Mutex<Session<D>>,
}

/// Why the engine cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CudaError {
    /// There are no kernels for the model.
    #[error(transparent)]
    Shape(#[from] ShapeError),
    /// There are no kernels for the objective.
    #[error("GPUs have no kernels for the objective {0}; use --device cpu")]
    Objective(&'static str),
    /// The device does not compile or hold them.
    #[error("cannot prepare {device}")]
    Device {
        /// Name of the device.
        device: String,
        /// Why.
        source: DeviceError,
    },
    /// Host and kernels disagree about sizes: a fault of this program.
    #[error("kernels expect sizes {kernels:?}, the host {host:?}: please report this")]
    Sizes {
        /// What the kernels say.
        kernels: [u64; 5],
        /// What the host computed.
        host: [u64; 5],
    },
}

impl<D: Device> CudaEngine<D> {
    /// An engine for `problem` on the training rows `rows`, on `device`.
    ///
    /// # Errors
    /// [`CudaError`].
    pub fn new(
        problem: Arc<Problem>,
        rows: Arc<dyn Rows>,
        mut device: D,
        settings: &Settings,
    ) -> Result<Self, CudaError> {
        if problem.objective.mcmc().is_some() {
            return Err(CudaError::Objective(problem.objective.name()));
        }
        let energy = &problem.model.energy;
        let wanted = settings.layerwise.unwrap_or_else(|| Shape::is_wide(energy));
        let multiplier = if wanted { device.multiplier() } else { None };
        let settings = Settings { layerwise: Some(multiplier.is_some()), ..*settings };
        let shape = Shape::plan(energy, &settings, device.shared_memory() as usize)?;
        let has_base = problem.model.base_density().is_some();
        let state = State::new(energy.initial_parameters(problem.seed, has_base));
        let architecture = device.architecture().to_owned();
        let machine = Machine::new(device, &shape, &problem, &settings)?;
        let session = Mutex::new(Session::new(machine, state, &problem));
        let multiplier = multiplier.filter(|_| shape.layerwise);
        Ok(Self { problem, rows, shape, architecture, multiplier, session })
    }

    /// The shape that the kernels were compiled for.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// Whoever panicked with the lock has left nothing but scratch memory behind.
    fn locked(&self) -> MutexGuard<'_, Session<D>> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn session(&mut self) -> &mut Session<D> {
        self.session.get_mut().unwrap_or_else(PoisonError::into_inner)
    }

    /// Scores points piece by piece; after a fault, NaN.
    fn score_pieces(
        &self,
        x: &mut [f32],
        out: &mut [Scored],
        mut score: impl FnMut(
            &mut Machine<D>,
            usize,
            &mut [f32],
            &mut [Scored],
        ) -> Result<(), DeviceError>,
    ) {
        let dim = self.problem.model.dim();
        let mut session = self.locked();
        let pieces = x.chunks_mut(SCORED_AT_ONCE * dim).zip(out.chunks_mut(SCORED_AT_ONCE));
        for (i, (x, out)) in pieces.enumerate() {
            let fresh = session.refresh_device();
            let start = i * SCORED_AT_ONCE;
            if let Err(error) = fresh.and_then(|()| score(&mut session.machine, start, x, out)) {
                out.fill(Scored { energy: f32::NAN, log_base: f32::NAN, log_proposal: f32::NAN });
                session.fault = Some(error);
            }
        }
    }
}

fn device_error(error: DeviceError) -> EngineError {
    EngineError::Device(Box::new(error))
}

impl<D: Device> Engine for CudaEngine<D> {
    fn fingerprint(&self) -> Fingerprint {
        let Shape { precision, tile, .. } = self.shape;
        let (architecture, hash) = (&self.architecture, sources::hash());
        let way = self.multiplier.as_ref().map(|name| format!(" layers by {name}"));
        let way = way.unwrap_or_default();
        Fingerprint {
            engine: "cuda".to_owned(),
            arithmetic: format!("{architecture} {precision} tile {tile}{way} sources {hash:016x}"),
            revision: 1,
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }

    fn accumulate(
        &mut self,
        plan: &StepPlan,
        chunks: &ChunkSet,
        partial: &mut Partial,
    ) -> Result<(), EngineError> {
        let Self { problem, rows, session, .. } = self;
        let session = session.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(error) = session.fault.take() {
            return Err(device_error(error));
        }
        let mut total = partial.empty_sums();
        if !chunks.is_empty() {
            session.input.gather(plan, chunks, rows.as_ref())?;
            session.refresh_device().map_err(device_error)?;
            let Session { machine, input, sums, .. } = session;
            machine.step(problem, plan, partial, input, sums).map_err(device_error)?;
            sums.add_to(&mut total);
        }
        Ok(partial.add(chunks, &total)?)
    }

    fn apply(&mut self, reduced: &Reduced<'_>) -> Applied {
        let Self { problem, session, .. } = self;
        session.get_mut().unwrap_or_else(PoisonError::into_inner).apply(problem, reduced)
    }

    fn skip(&mut self) {
        self.session().skip();
    }

    /// None of an objective that divides by the mean weight: that is an exact sum over all chunks,
    /// which only the host makes.
    fn advance(
        &mut self,
        batching: &Batching,
        steps: u64,
        outcomes: &mut Vec<StepOutcome>,
    ) -> Result<(), EngineError> {
        let Self { problem, rows, session, .. } = self;
        let session = session.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(error) = session.fault.take() {
            return Err(device_error(error));
        }
        if problem.objective.separates_samples() {
            return Ok(());
        }
        session.advance(problem, batching, steps, rows.as_ref(), outcomes)
    }

    fn head(&self) -> Head {
        self.locked().head()
    }

    fn set_b(&mut self, b: f32) {
        self.session().set_b(b);
    }

    fn digest(&self) -> u128 {
        self.locked().state().digest()
    }

    fn snapshot(&self) -> State {
        self.locked().state().clone()
    }

    fn restore(&mut self, state: &State) -> Result<(), EngineError> {
        let state = state.checked(&self.problem)?;
        self.session().restore(state);
        Ok(())
    }
}

impl<D: Device> DensityEngine for CudaEngine<D> {
    fn coarse(&self) -> Option<Coarse> {
        let precision = self.shape.precision;
        precision.finer().map(|finer| Coarse { precision: precision.name(), finer: finer.name() })
    }

    fn score(&self, x: &[f32], out: &mut [Scored]) {
        self.score_pieces(&mut x.to_vec(), out, |machine, _, x, out| machine.score(x, out));
    }

    fn score_samples(&self, set: SampleSet, range: Range<u64>, x: &mut [f32], out: &mut [Scored]) {
        self.score_pieces(x, out, |machine, start, x, out| {
            machine.score_samples(set, range.start + start as u64, x, out)
        });
    }
}
