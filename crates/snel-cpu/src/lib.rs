//! The CPU engine: one pass over tiles in f32, threads over chunks.
//!
//! A step's points, samples, energies, weights and cotangents exist for one tile at a time, so
//! memory does not grow with the number of samples. Chunks are summed exactly
//! ([`snel_core::partial`]), so the number of threads cannot change a bit.
//!
//! Reading order, from the step to the multiply-add: `engine` hands chunks to a `team` of threads,
//! `chunk` makes a chunk's gradient tile by tile, `draw` makes samples and `density` weighs them,
//! `network` runs a `tile` forward and backward, `layer` does the work of one layer on the `packed`
//! weights, `chunk::chains` moves points where the objective has chains, `kernel` holds the two inner products, `math` the activations. `instruction_set` says
//! for which vectors all of this is compiled, `peak` measures what the machine could do at best.
//! Conditional models and variational auto-encoders have engines of their own, `conditional` and
//! `vae`, on the same layers: `stack` is a network of them with any number of outputs.

mod buffer;
mod chunk;
mod columns;
mod conditional;
mod crew;
mod density;
mod draw;
mod engine;
mod instruction_set;
mod kept;
mod kernel;
mod layer;
mod math;
mod network;
mod packed;
#[cfg(feature = "parts")]
pub mod parts;
mod peak;
mod quadratic;
mod stack;
mod team;
mod tile;
mod vae;

pub use conditional::ConditionalCpuEngine;
pub use crew::CpuError;
pub use engine::CpuEngine;
pub use instruction_set::InstructionSet;
pub use peak::Peak;
pub use vae::VaeCpuEngine;
