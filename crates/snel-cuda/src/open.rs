//! The engine on a GPU, and the way from there to other GPUs, as trainer and worker ask for them.

use std::sync::Arc;
use std::time::Duration;

use snel_core::engine::DensityEngine;
use snel_core::problem::Problem;
use snel_core::rows::Rows;

use crate::device::DeviceError;
use crate::driver::{Gpu, OpenError};
use crate::engine::{CudaEngine, CudaError};
use crate::nccl::{Ground, Library, LoadError, Patience, Seat, Stream};
use crate::settings::{Precision, Settings};
use crate::sources;

/// As long as NCCL may take. Whoever gives out the work is less patient; these are for the case that it
/// cannot be heard.
const PATIENCE: Patience = Patience {
    join: Duration::from_mins(10),
    reduce: Duration::from_mins(10),
    leave: Duration::from_mins(1),
    abort: Duration::from_mins(1),
};

/// Why there is no engine on a GPU.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineOpenError {
    /// The GPU cannot be used.
    #[error(transparent)]
    Gpu(#[from] OpenError),
    /// The model has no kernels, or they cannot be made for this GPU.
    #[error(transparent)]
    Engine(#[from] CudaError),
}

/// An engine for `problem` on the training rows `rows`, on GPU `index`, whose products are made in
/// `precision`. Remarks for people go to `say`.
///
/// # Errors
/// [`EngineOpenError`].
pub fn open(
    index: u32,
    problem: Arc<Problem>,
    rows: Arc<dyn Rows>,
    precision: Precision,
    say: fn(&str),
) -> Result<Box<dyn DensityEngine>, EngineOpenError> {
    let gpu = Gpu::open(index, sources::FILES)?.saying(say);
    let settings = Settings { precision, ..Settings::default() };
    Ok(Box::new(CudaEngine::new(problem, rows, gpu, &settings)?))
}

/// The way from GPU `index` to other GPUs, by NCCL. Sums travel on a stream of their own, so that a
/// communicator can be made while the engine computes.
///
/// # Errors
/// [`LoadError`]. Whether the GPU can be used is seen when a group is joined.
pub fn ground(index: u32) -> Result<Arc<dyn Ground>, LoadError> {
    let library = Arc::new(Library::load()?);
    Ok(Arc::new(Seat::new(library, PATIENCE, move || {
        let gpu = Gpu::open(index, sources::FILES).map_err(|source| DeviceError::Failed {
            device: format!("GPU {index}"),
            action: "opening it for sums".to_owned(),
            source: source.into(),
        })?;
        let stream: Box<dyn Stream> = Box::new(gpu.stream());
        Ok((gpu, stream))
    })))
}
