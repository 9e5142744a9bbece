//! What can go wrong with NCCL.

use std::ffi::c_int;
use std::fmt;
use std::time::Duration;

use crate::nccl::communicator::Place;
use crate::nccl::library::Version;
use crate::nccl::stream::StreamError;

/// `ncclResult_t`. An integer and no enum: a newer NCCL has codes that this version does not know.
#[repr(transparent)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResultCode(pub(super) c_int);

impl ResultCode {
    /// Done.
    pub const SUCCESS: Self = Self(0);
    /// Another rank failed, or the network to it.
    pub const REMOTE_ERROR: Self = Self(6);
    /// Not done yet; no failure.
    pub const IN_PROGRESS: Self = Self(7);
    /// NCCL's own patience is at its end.
    pub const TIMEOUT: Self = Self(8);

    /// NCCL's name for it.
    pub fn name(self) -> &'static str {
        match self.0 {
            0 => "ncclSuccess",
            1 => "ncclUnhandledCudaError",
            2 => "ncclSystemError",
            3 => "ncclInternalError",
            4 => "ncclInvalidArgument",
            5 => "ncclInvalidUsage",
            6 => "ncclRemoteError",
            7 => "ncclInProgress",
            8 => "ncclTimeout",
            _ => "a code that this version does not know",
        }
    }
}

impl fmt::Display for ResultCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name(), self.0)
    }
}

/// Why there is no NCCL to call.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// No file of the names that it has could be opened.
    #[error("NCCL was not found: {tried}. To get it: {}", Self::remedy())]
    NotFound {
        /// What was tried, with what the loader said.
        tried: String,
    },
    /// The file is no NCCL, or a crippled one.
    #[error("{file} has no function {symbol}: it is not NCCL, or not all of it")]
    Symbol {
        /// What was opened.
        file: String,
        /// Which function.
        symbol: &'static str,
        /// What the loader said.
        #[source]
        source: libloading::Error,
    },
    /// It does not tell its version.
    #[error("ncclGetVersion of {file} failed with {code}")]
    NoVersion {
        /// What was opened.
        file: String,
        /// Its answer.
        code: ResultCode,
    },
    /// Its version is not one that this one can work with.
    #[error("{file} is NCCL {found}; needed is {} or later, below 3.0", super::library::OLDEST)]
    Version {
        /// What was opened.
        file: String,
        /// Its version.
        found: Version,
    },
}

impl LoadError {
    /// How to get a library that can be used.
    pub fn remedy() -> String {
        format!(
            "install NCCL {} or later (Debian's libnccl2, or nvidia-nccl-cu13 of PyPI with the \
             folder of its libnccl.so.2 in LD_LIBRARY_PATH), or name its file in {}",
            super::library::OLDEST,
            super::library::VARIABLE
        )
    }
}

/// Why a communicator could not do what it was asked. Unless it says otherwise, the communicator
/// has been aborted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NcclError {
    /// A function of NCCL failed, or an operation that it had begun.
    #[error("{place}: {call} failed with {code}: {message}")]
    Call {
        /// Whose.
        place: Place,
        /// Which function.
        call: &'static str,
        /// Its answer.
        code: ResultCode,
        /// What NCCL says about it.
        message: String,
    },
    /// Other ranks were waited for in vain.
    #[error("{place}: {what} took more than {} s; one of the others is late or gone", .patience.as_secs_f64())]
    Deadline {
        /// Whose.
        place: Place,
        /// What was waited for.
        what: &'static str,
        /// How long.
        patience: Duration,
    },
    /// [`super::Interrupt::raise`] was called.
    #[error("{place}: interrupted during {what}")]
    Interrupted {
        /// Whose.
        place: Place,
        /// What was waited for.
        what: &'static str,
    },
    /// The stream failed, and all work on it.
    #[error("{place}: the stream of the reduction failed")]
    Stream {
        /// Whose.
        place: Place,
        /// What the driver says.
        #[source]
        source: StreamError,
    },
    /// A call into NCCL does not return. Its thread and all memory that it was given must be left
    /// alone, and nothing that this process does with the GPU can be relied on: end the process.
    #[error("{place}: {call} has not returned for {} s; this process must end", .patience.as_secs_f64())]
    Stuck {
        /// Whose.
        place: Place,
        /// Which function.
        call: &'static str,
        /// How long it was waited for.
        patience: Duration,
        /// Why it was called, if that was a failure.
        #[source]
        cause: Option<Box<NcclError>>,
    },
    /// The communicator has ended before.
    #[error("{place}: the communicator has ended")]
    Ended {
        /// Whose.
        place: Place,
    },
    /// The communicator's thread has panicked: a fault of this program, or of its [`super::Stream`].
    #[error("{place}: the communicator's thread has panicked")]
    Panicked {
        /// Whose.
        place: Place,
    },
    /// A rank and an id that have made a communicator before.
    #[error("{place} has joined with this unique id before; an id makes one communicator")]
    IdReused {
        /// Whose.
        place: Place,
    },
    /// A rank that its world does not have.
    #[error("there is no {place}")]
    NoSuchPlace {
        /// Which.
        place: Place,
    },
    /// The environment makes all communicators block.
    #[error("NCCL_COMM_BLOCKING=1 would let a lost rank stop all others for ever: unset it")]
    Blocking,
    /// The thread of the communicator could not be started.
    #[error("{place}: cannot start the communicator's thread")]
    Thread {
        /// Whose.
        place: Place,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

impl NcclError {
    /// True if what failed is, as far as can be told, another rank or the way to it: those who are
    /// left can go on with a new communicator.
    pub fn is_of_others(&self) -> bool {
        match self {
            Self::Deadline { .. } | Self::Interrupted { .. } | Self::Ended { .. } => true,
            Self::Call { code, .. } => {
                matches!(*code, ResultCode::REMOTE_ERROR | ResultCode::TIMEOUT)
            }
            _ => false,
        }
    }

    /// True for [`Self::Stuck`]: the process must end.
    pub fn is_stuck(&self) -> bool {
        matches!(self, Self::Stuck { .. })
    }
}
