//! Why a GPU cannot be used.

use super::cuda::DriverError;
use super::library::Missing;
use super::nvrtc::NvrtcError;
use super::target::TargetError;

/// Why a GPU could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A library is missing.
    #[error(transparent)]
    Missing(#[from] Missing),
    /// There are not so many GPUs.
    #[error(
        "there is no GPU {index}: {}; CUDA_VISIBLE_DEVICES hides those that it does not name",
        counted(*.found)
    )]
    NoSuch {
        /// Asked for.
        index: u32,
        /// GPUs there are.
        found: u32,
    },
    /// The kernels cannot be compiled for it.
    #[error("GPU {index} ({name}) cannot be used: {source}")]
    Target {
        /// Which.
        index: u32,
        /// Its name.
        name: String,
        /// Why.
        source: TargetError,
    },
    /// The compiler does not work.
    #[error(transparent)]
    Compiler(NvrtcError),
    /// The driver failed.
    #[error("cannot use GPUs")]
    Cuda(#[from] DriverError),
}

impl From<NvrtcError> for OpenError {
    fn from(error: NvrtcError) -> Self {
        match error {
            NvrtcError::Missing(missing) => Self::Missing(missing),
            error => Self::Compiler(error),
        }
    }
}

fn counted(found: u32) -> String {
    match found {
        0 => "the driver finds none".to_owned(),
        1 => "the driver finds one, number 0".to_owned(),
        n => format!("the driver finds {n}, numbers 0 to {}", n - 1),
    }
}
