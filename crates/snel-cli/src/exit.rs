//! Exit codes, as the user guide lists them.

/// How the program ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// Done.
    Done = 0,
    /// Bad usage or config.
    Usage = 2,
    /// Bad data, or a damaged file.
    Data = 65,
    /// The computation failed: training diverged, or a fault of ours.
    Failed = 70,
    /// The system refused: disk, permissions, threads. The same command may work later.
    TryAgain = 75,
    /// Interrupted, after a checkpoint.
    Interrupted = 130,
}
