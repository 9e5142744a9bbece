//! What a communicator needs to know of a stream.

use std::error::Error;

/// What a driver says when a stream fails.
pub type StreamError = Box<dyn Error + Send + Sync>;

/// A stream of a GPU: work in order.
pub trait Stream: Send {
    /// Makes the stream's GPU that of the calling thread. The communicator's thread calls it once,
    /// before anything else.
    ///
    /// # Errors
    /// What the driver says.
    fn enter(&self) -> Result<(), StreamError>;

    /// The driver's handle of it, a `CUstream`.
    fn handle(&self) -> u64;

    /// True if all work is done (`cuStreamQuery`). Never waits.
    ///
    /// # Errors
    /// What the driver says; work has failed.
    fn is_idle(&self) -> Result<bool, StreamError>;
}
