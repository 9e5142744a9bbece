//! End-to-end tests: the real binary, as a user runs it.

// A test may panic and print.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, clippy::format_collect)]

mod chains;
mod chaos;
mod cluster;
mod commands;
mod conditional;
mod credentials;
mod gaussian;
mod hostile_peers;
mod memory;
mod network;
mod same_bits;
mod snel;
#[cfg(target_os = "linux")]
mod stuck;
mod study;
mod unbreakable;
mod vae;
mod watching;
