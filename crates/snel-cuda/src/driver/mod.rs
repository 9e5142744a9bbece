//! GPUs: the [`Device`](crate::device::Device) that is one, and what a machine has of CUDA.
//!
//! Nothing of CUDA is linked. The driver and the compiler are looked for when they are needed, and
//! where they are missing an error says what, what for, and how to get it.
//!
//! Invariants
//! 1. No function of CUDA is called before its library was found: the bindings would panic.
//! 2. A kernel is compiled for exactly one architecture by options that are always the same
//!    ([`compilation`]), so that equal sources, compilers and GPUs give equal bits.
//! 3. All work of a GPU goes through one stream, in the order in which it was asked for.
//!
//! Nothing of this has run on a GPU yet. What compiles kernels, keeps them and finds libraries is
//! tested without one.
//!
//! Reading order: `gpu`, then `cuda` (the driver's calls) and `compilation`, `nvrtc`, `cache` (from
//! sources to machine code); `stream` is for NCCL; `library` and `list` are what `snel doctor` asks.

pub mod cache;
pub mod compilation;
mod cuda;
mod error;
mod gpu;
pub mod library;
mod list;
pub mod nvrtc;
mod pinned;
mod stream;
pub mod target;

pub use cuda::{DriverError, GpuKernel, GpuMemory};
pub use error::OpenError;
pub use gpu::Gpu;
pub use list::{GpuInfo, gpus, memory_taken};
pub use stream::GpuStream;
