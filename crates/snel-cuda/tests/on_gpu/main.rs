//! The tests of `emulated/` again, on the GPU that `SNEL_TEST_DEVICE` names (as in `cuda:0`): the same
//! cases, the same oracles, the same bounds. Those that plant faults into kernels stay there. Besides,
//! what only a GPU can show: many repeats of one step, and NCCL between processes.
//!
//! They have never run. Without that variable they say so and do nothing, but for `rehearsal`, which
//! needs no GPU.
#![allow(unsafe_code, clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

#[path = "../emulated/against_reference.rs"]
mod against_reference;
#[path = "../emulated/batches.rs"]
mod batches;
#[path = "../emulated/bits.rs"]
mod bits;
mod board;
#[path = "../emulated/cases.rs"]
mod cases;
/// The emulator's tests ask here whether their machine is there.
mod compilation {
    pub(crate) use crate::emulator::available;
}
mod emulator;
#[path = "../emulated/layers.rs"]
mod layers;
mod member;
#[path = "../emulated/precision.rs"]
mod precision;
#[path = "../emulated/refusals.rs"]
mod refusals;
mod rehearsal;
mod repeats;
#[path = "../emulated/shapes.rs"]
mod shapes;
mod task;
#[path = "../emulated/training.rs"]
mod training;
#[path = "../emulated/updates.rs"]
mod updates;
mod world;
mod worlds;
