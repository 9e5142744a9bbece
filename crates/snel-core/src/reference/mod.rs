//! The reference engine: f64, `ndarray`, obvious. The oracle of every engine.
//!
//! Whole chunks at once, no tiles, no threads, each formula as it stands in a textbook. Read it to
//! learn what a step computes; do not make it faster.

use crate::chunks::ChunkSet;
use crate::engine::{EngineError, Fingerprint};
use crate::partial::{Partial, Side};
use crate::statistics::Tally;

mod chains;
mod conditional;
mod engine;
mod network;
mod perceptron;
mod vae;

pub use chains::ModelTarget;
pub use conditional::ConditionalReference;
pub use engine::ReferenceEngine;
pub use network::{energies, energy_gradients, input_gradients};
pub use vae::VaeReference;

/// The gradient of one chunk before it is rounded.
#[derive(Debug, Clone)]
pub struct ChunkGradient {
    /// Which sum it belongs to.
    pub side: Side,
    /// Flat gradient, `b` last, divided by `n` or `M`.
    pub gradient: Vec<f64>,
    /// Sums of scalars.
    pub tally: Tally,
    /// What the chunk hands over as it is: new places of persistent chains.
    pub carried: Vec<f32>,
}

/// What the bits of every reference engine depend on.
fn fingerprint() -> Fingerprint {
    Fingerprint {
        engine: "reference".to_owned(),
        arithmetic: std::env::consts::ARCH.to_owned(),
        revision: 1,
        version: env!("CARGO_PKG_VERSION").to_owned(),
    }
}

/// Adds `chunks`, whose gradients `chunk` makes, to `partial`.
fn add_chunks(
    chunks: &ChunkSet,
    partial: &mut Partial,
    mut chunk: impl FnMut(u32) -> Result<ChunkGradient, EngineError>,
) -> Result<(), EngineError> {
    let mut sums = partial.empty_sums();
    for index in chunks.iter() {
        let ChunkGradient { side, gradient, tally, carried } = chunk(index)?;
        let gradient: Vec<f32> = gradient.iter().map(|&g| g as f32).collect();
        sums.add_chunk(side, &gradient, &tally);
        if !carried.is_empty() {
            sums.carry(index, carried.into_iter());
        }
    }
    Ok(partial.add(chunks, &sums)?)
}
