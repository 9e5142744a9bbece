//! The CUDA engine on the emulator: the kernels of `kernels/`, compiled by g++, on fibers under an
//! adversarial scheduler. Needs g++; nothing here has seen a GPU.
#![allow(unsafe_code, clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

mod against_reference;
mod batches;
mod bits;
mod cases;
mod compilation;
mod emulator;
mod layers;
mod machine;
mod multiplier;
mod mutants;
mod precision;
mod refusals;
mod sanitizers;
mod shapes;
mod training;
mod updates;
