//! Tests of the public face: files of every format, good and hostile, toys, and whole data sets.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "helpers are tests, too"
)]

mod dataset;
mod files;
mod formats;
mod hostile;
mod mutated;
mod real;
mod toys;
mod written;
