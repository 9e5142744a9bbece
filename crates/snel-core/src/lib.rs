//! The mathematics of Snel: no I/O, no threads, no clock, no `unsafe`.
//!
//! Letters as in the method's papers: `D` values a point, `M` proposal samples and `n` data rows a
//! step, `E` the energy, `d` the base density, `q` the proposal, `b` the learned log-normaliser,
//! `lw = log d - E - log q` a log-weight, `u = lw - b`. All logarithms are natural, all densities
//! are in nats.

pub mod normal;
pub mod philox;
pub mod rows;
pub mod shuffle;
