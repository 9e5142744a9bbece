//! The engine on a GPU, as the trainer asks for it.

use std::sync::Arc;

use snel_core::engine::Engine;
use snel_core::problem::Problem;
use snel_core::rows::Rows;

use crate::driver::{Gpu, OpenError};
use crate::engine::{CudaEngine, CudaError};
use crate::settings::{Precision, Settings};
use crate::sources;

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
) -> Result<Box<dyn Engine>, EngineOpenError> {
    let gpu = Gpu::open(index, sources::FILES)?.saying(say);
    let settings = Settings { precision, ..Settings::default() };
    Ok(Box::new(CudaEngine::new(problem, rows, gpu, &settings)?))
}
