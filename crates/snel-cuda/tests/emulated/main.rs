//! The CUDA engine on the emulator: the kernels of `kernels/`, compiled by g++, on fibers under an
//! adversarial scheduler. Needs g++; nothing here has seen a GPU.
#![allow(unsafe_code)]

mod against_reference;
mod bits;
mod cases;
mod emulator;
mod mutants;
mod refusals;
mod shapes;
mod training;
