//! NCCL's side of the engine against a library that stands in for NCCL.
//!
//! Ranks are threads, the streams and the memory are those of the process. Nothing here needs a
//! GPU, and nothing here shows that a real NCCL does what its documentation says.

#![allow(clippy::unwrap_used, clippy::panic)] // what tests share fails by panic, too

mod collective;
mod deaths;
mod faults;
mod host;
mod loading;
mod packed;
mod problem;
mod sums;
