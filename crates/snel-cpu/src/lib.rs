//! The CPU engine: one pass over tiles in f32, threads over chunks.
//!
//! A step's points, samples, energies, weights and cotangents exist for one tile at a time, so
//! memory does not grow with the number of samples. Chunks are summed exactly
//! ([`snel_core::partial`]), so the number of threads cannot change a bit.
//!
//! Reading order: `engine` hands chunks to threads, `chunk` makes a chunk's gradient tile by
//! tile, `network` runs a tile forward and backward, `density` and `math` do the rest.

mod chunk;
mod density;
mod engine;
mod math;
mod network;

pub use engine::{CpuEngine, CpuError, arithmetic, instruction_sets};
