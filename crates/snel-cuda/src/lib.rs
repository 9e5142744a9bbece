//! The CUDA engine: the one-pass step of `kernels/` on a GPU.
//!
//! Nothing here links against CUDA: a machine without it runs the same binary and is told what is
//! missing. Kernels are compiled for the exact shape of a run when it starts.
//!
//! Reading order: `device` is all that the engine asks of a machine; `driver` is the machine that is a
//! GPU; `open` makes an engine on one.

pub mod device;
pub mod driver;
pub mod open;
