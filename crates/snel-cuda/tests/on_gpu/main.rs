//! The tests of `emulated/` again, on the GPU that `SNEL_TEST_DEVICE` names (as in `cuda:0`): the same
//! cases, the same oracles, the same bounds. Those that plant faults into kernels stay there.
//!
//! They have never run. Without that variable they do nothing.
#![allow(unsafe_code, clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

#[path = "../emulated/against_reference.rs"]
mod against_reference;
#[path = "../emulated/bits.rs"]
mod bits;
#[path = "../emulated/cases.rs"]
mod cases;
mod emulator;
#[path = "../emulated/refusals.rs"]
mod refusals;
#[path = "../emulated/shapes.rs"]
mod shapes;
#[path = "../emulated/training.rs"]
mod training;
#[path = "../emulated/updates.rs"]
mod updates;
