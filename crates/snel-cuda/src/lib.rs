//! The CUDA engine: the one-pass step of `kernels/` on a GPU.
//!
//! Nothing here links against CUDA: a machine without it runs the same binary and is told what is
//! missing. Kernels are compiled for the exact shape of a run when it starts. Nothing has run on a
//! GPU yet; the tests run the same kernel sources on an emulator.
//!
//! Reading order: `device` is all that the engine asks of a machine; `shape` decides what kernels
//! are compiled for, `sources` holds them, `arguments` and `density` are what they are given;
//! `engine` implements the step. What kernels do begins in `kernels/snel.cu`. `driver` is the machine
//! that is a GPU, and `open` makes an engine on one; `multiply` is for layers that are too wide for
//! the kernels, and `nccl` sums between machines.

mod arguments;
mod density;
pub mod device;
pub mod driver;
mod engine;
pub mod multiply;
pub mod nccl;
pub mod open;
mod settings;
mod shape;
pub mod sources;

pub use engine::{CudaEngine, CudaError};
pub use settings::{Placement, Precision, Settings, ShapeError, UnknownPrecision};
pub use shape::Shape;
