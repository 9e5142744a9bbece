//! The stream of a GPU, as NCCL is given it.

use super::cuda::Context;
use crate::nccl::{Stream, StreamError};

/// The stream on which a [`super::Gpu`] copies and launches: what NCCL does on it comes after all
/// that was asked of the GPU before, and before all that is asked of it later.
///
/// It keeps context and stream alive, and may outlive the [`super::Gpu`] that it is of.
#[derive(Debug)]
pub struct GpuStream(pub(super) Context);

impl Stream for GpuStream {
    fn enter(&self) -> Result<(), StreamError> {
        Ok(self.0.bind()?)
    }

    fn handle(&self) -> u64 {
        self.0.stream_handle()
    }

    fn is_idle(&self) -> Result<bool, StreamError> {
        Ok(self.0.is_idle()?)
    }
}
