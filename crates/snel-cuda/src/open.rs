//! The engine on a GPU, as the trainer asks for it.

use std::sync::Arc;

use snel_core::engine::Engine;
use snel_core::problem::Problem;
use snel_core::rows::Rows;

use crate::driver::{Gpu, OpenError};

/// An engine on a GPU.
pub struct OnGpu {
    /// The engine.
    pub engine: Box<dyn Engine>,
    /// What people should hear about it.
    pub notes: Vec<String>,
}

/// Why there is no engine on a GPU.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineOpenError {
    /// The GPU cannot be used.
    #[error(transparent)]
    Gpu(#[from] OpenError),
    /// This build has nothing to run on it.
    #[error("this build has no kernels for {gpu}")]
    NoKernels {
        /// Name of the GPU.
        gpu: String,
    },
}

/// An engine for `problem` on the training rows `rows`, on GPU `index`.
///
/// # Errors
/// [`EngineOpenError`].
pub fn open(
    index: u32,
    problem: Arc<Problem>,
    rows: Arc<dyn Rows>,
) -> Result<OnGpu, EngineOpenError> {
    let gpu = Gpu::open(index, &[])?;
    drop((problem, rows));
    Err(EngineOpenError::NoKernels { gpu: gpu.info().name.clone() })
}
