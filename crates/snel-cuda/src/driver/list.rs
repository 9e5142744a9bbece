//! The GPUs of this machine.

use super::cuda;
use super::error::OpenError;
use super::target::Capability;

/// A GPU.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GpuInfo {
    /// Its number, as in `cuda:0`.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// Its memory, bytes.
    pub memory_bytes: u64,
    /// Its compute capability.
    pub capability: Capability,
    /// Its multiprocessors.
    pub multiprocessors: u32,
    /// The most shared memory of a block, bytes.
    pub shared_memory: u32,
}

/// All GPUs that the driver shows to this process; takes no memory on any.
///
/// # Errors
/// [`OpenError::Missing`] without a driver, [`OpenError::Cuda`] if it fails.
pub fn gpus() -> Result<Vec<GpuInfo>, OpenError> {
    (0..cuda::count()?).map(|index| Ok(cuda::info(index)?)).collect()
}

/// Bytes that are taken of the memory of GPU `index`, by this process and all others: memory, and
/// what the driver needs for itself.
///
/// # Errors
/// [`OpenError::Missing`] without a driver, [`OpenError::NoSuch`] without that GPU,
/// [`OpenError::Cuda`] if the driver fails.
pub fn memory_taken(index: u32) -> Result<u64, OpenError> {
    let found = cuda::count()?;
    if index >= found {
        return Err(OpenError::NoSuch { index, found });
    }
    Ok(cuda::memory_taken(index)?)
}
