//! The CUDA implementation of [`Engine`].
//!
//! Invariants
//! 1. The grid, and which block computes a chunk, change nothing: chunks are summed as integers.
//! 2. Memory on the device does not depend on `M`, but for 80 bytes a chunk.
//! 3. The state on the host is the truth; the device has a copy of its parameters, made anew
//!    before work if they have changed.
//!
//! A device that fails while points are scored, which cannot return an error, leaves NaN in their
//! place, and the next [`Engine::accumulate`] returns the error.

mod machine;
mod work;

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use snel_core::chunks::ChunkSet;
use snel_core::engine::{Engine, EngineError, Fingerprint, Head, SampleSet, Scored};
use snel_core::optim::Applied;
use snel_core::partial::{Partial, Reduced};
use snel_core::plan::StepPlan;
use snel_core::problem::Problem;
use snel_core::rows::Rows;
use snel_core::state::State;

use crate::device::{Device, DeviceError};
use crate::shape::{Settings, Shape, ShapeError};
use crate::sources;
use machine::Machine;
use work::{StepInput, SumsOfStep};

/// Points that are scored in one launch.
const SCORED_AT_ONCE: usize = 1 << 16;

/// The engine on a GPU, or on what passes for one.
pub struct CudaEngine<D: Device> {
    problem: Arc<Problem>,
    rows: Arc<dyn Rows>,
    shape: Shape,
    state: State,
    /// Memory for the update.
    gradient: Vec<f64>,
    architecture: String,
    /// Locked only to score; a step has the engine to itself.
    device: Mutex<OnDevice<D>>,
}

struct OnDevice<D: Device> {
    machine: Machine<D>,
    /// The parameters on the device are not those of the state.
    stale: bool,
    /// What went wrong while points were scored.
    fault: Option<DeviceError>,
    input: StepInput,
    sums: SumsOfStep,
}

/// Why the engine cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CudaError {
    /// There are no kernels for the model.
    #[error(transparent)]
    Shape(#[from] ShapeError),
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
        device: D,
        settings: &Settings,
    ) -> Result<Self, CudaError> {
        let energy = &problem.model.energy;
        let shape = Shape::plan(energy, settings, device.shared_memory() as usize)?;
        let has_base = problem.model.base_density().is_some();
        let state = State::new(energy.initial_parameters(problem.seed, has_base));
        let architecture = device.architecture().to_owned();
        let machine = Machine::new(device, &shape, &problem, settings.blocks)?;
        let device = OnDevice {
            machine,
            stale: true,
            fault: None,
            input: StepInput::default(),
            sums: SumsOfStep::new(&problem),
        };
        Ok(Self {
            gradient: vec![0.0; problem.layout.len()],
            problem,
            rows,
            shape,
            state,
            architecture,
            device: Mutex::new(device),
        })
    }

    /// The shape that the kernels were compiled for.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    fn device(&mut self) -> &mut OnDevice<D> {
        self.device.get_mut().unwrap_or_else(PoisonError::into_inner)
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
        // Whoever panicked with the lock has left nothing but scratch memory behind.
        let mut device = self.device.lock().unwrap_or_else(PoisonError::into_inner);
        let OnDevice { machine, stale, fault, .. } = &mut *device;
        let pieces = x.chunks_mut(SCORED_AT_ONCE * dim).zip(out.chunks_mut(SCORED_AT_ONCE));
        for (i, (x, out)) in pieces.enumerate() {
            let fresh = refresh(machine, stale, &self.state);
            let done = fresh.and_then(|()| score(machine, i * SCORED_AT_ONCE, x, out));
            if let Err(error) = done {
                out.fill(Scored { energy: f32::NAN, log_base: f32::NAN, log_proposal: f32::NAN });
                *fault = Some(error);
            }
        }
    }
}

/// Brings the parameters on the device up to date.
fn refresh<D: Device>(
    machine: &mut Machine<D>,
    stale: &mut bool,
    state: &State,
) -> Result<(), DeviceError> {
    if *stale {
        machine.set_parameters(&state.parameters)?;
        *stale = false;
    }
    Ok(())
}

fn device_error(error: DeviceError) -> EngineError {
    EngineError::Device(Box::new(error))
}

impl<D: Device> Engine for CudaEngine<D> {
    fn fingerprint(&self) -> Fingerprint {
        let Shape { precision, tile, .. } = self.shape;
        let (architecture, hash) = (&self.architecture, sources::hash());
        Fingerprint {
            engine: "cuda".to_owned(),
            arithmetic: format!("{architecture} {precision} tile {tile} sources {hash:016x}"),
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
        let Self { problem, rows, state, device, .. } = self;
        let device = device.get_mut().unwrap_or_else(PoisonError::into_inner);
        let OnDevice { machine, stale, fault, input, sums } = device;
        if let Some(error) = fault.take() {
            return Err(device_error(error));
        }
        let mut total = partial.empty_sums();
        if !chunks.is_empty() {
            input.gather(plan, chunks, rows.as_ref())?;
            refresh(machine, stale, state).map_err(device_error)?;
            machine.step(problem, plan, partial, input, sums).map_err(device_error)?;
            sums.add_to(&mut total);
        }
        Ok(partial.add(chunks, &total)?)
    }

    fn apply(&mut self, reduced: &Reduced<'_>) -> Applied {
        let applied = self.state.apply(&self.problem, reduced, &mut self.gradient);
        self.device().stale = true;
        applied
    }

    fn skip(&mut self) {
        self.state.step += 1;
    }

    fn head(&self) -> Head {
        self.state.head()
    }

    fn set_b(&mut self, b: f32) {
        self.state.set_b(b);
        self.device().stale = true;
    }

    fn digest(&self) -> u128 {
        self.state.digest()
    }

    fn snapshot(&self) -> State {
        self.state.clone()
    }

    fn restore(&mut self, state: &State) -> Result<(), EngineError> {
        self.state = state.checked(&self.problem)?;
        self.device().stale = true;
        Ok(())
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
