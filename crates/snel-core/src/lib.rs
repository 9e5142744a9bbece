//! The mathematics of Snel: no I/O, no threads, no clock, no `unsafe`.
//!
//! Letters as in the method's papers: `D` values a point, `M` proposal samples and `n` data rows a
//! step, `E` the energy, `d` the base density, `q` the proposal, `b` the learned log-normaliser,
//! `lw = log d - E - log q` a log-weight, `u = lw - b`. All logarithms are natural, all densities
//! are in nats.

#![forbid(unsafe_code)]

pub mod activation;
mod bytes;
pub mod chunks;
pub mod collective;
pub mod conditional;
pub mod density;
pub mod energy;
pub mod engine;
pub mod exact_sum;
pub mod host;
pub mod layout;
pub mod lse;
pub mod mcmc;
pub mod mixture;
pub mod normal;
pub mod objective;
pub mod optim;
pub mod partial;
pub mod perceptron;
pub mod philox;
pub mod plan;
pub mod precision;
pub mod problem;
pub mod reference;
pub mod rows;
pub mod shuffle;
pub mod state;
pub mod statistics;
pub mod step;
pub mod vae;
pub mod vectorise;
pub mod work;
