//! Training across processes and machines: coordinator, workers, control plane.
//!
//! The reading order: [`machine`] decides, [`record`] remembers, [`coordinator`] serves,
//! [`worker`] computes, `watching` shows. `frame` and `wire` are what they share.

#![forbid(unsafe_code)]

pub mod client;
pub mod coordinator;
pub mod frame;
pub mod launch;
mod limits;
pub mod machine;
pub mod record;
pub mod security;
pub mod study;
mod verdict;
mod watching;
mod wire;
pub mod worker;

pub use wire::{error_of, error_text};
