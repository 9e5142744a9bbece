//! End-to-end tests: the real binary, as a user runs it.

#![allow(clippy::unwrap_used)] // a test may panic

mod commands;
mod gaussian;
mod memory;
mod same_bits;
mod snel;
mod unbreakable;
