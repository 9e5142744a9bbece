//! The reference engine: f64, `ndarray`, obvious. The oracle of every engine.
//!
//! Whole chunks at once, no tiles, no threads, each formula as it stands in a textbook. Read it to
//! learn what a step computes; do not make it faster.

mod conditional;
mod engine;
mod network;
mod perceptron;

pub use conditional::ConditionalReference;
pub use engine::{ChunkGradient, ReferenceEngine};
pub use network::{energies, energy_gradients, input_gradients};
