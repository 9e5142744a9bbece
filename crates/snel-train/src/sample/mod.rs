//! Points drawn from a trained model, in its own (standardised) units.
//!
//! [`resample`] picks from a large pool of proposal samples by weight, without the log-normaliser.
//!
//! Invariants
//! 1. Equal calls give equal points, whatever the number of threads.
//! 2. The counters of one key never meet: the single uniform number of resampling is numbered
//!    above all samples, and the output order has a step of its own.
//!
//! Fails with [`SampleError`]; what merely makes points worse is a warning beside them.

mod resample;

pub use resample::{Resampled, default_pool, resample};

/// Why no points can be drawn.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SampleError {
    /// Resampling has nothing to choose from.
    #[error(
        "none of {pool} proposal samples has a usable weight: {not_finite} log-weights are not \
         finite, the other weights are zero"
    )]
    NoWeight {
        /// Proposal samples looked at.
        pool: u64,
        /// Those whose log-weight is NaN or infinite.
        not_finite: u64,
    },
    /// The points asked for do not fit in memory.
    #[error("{count} points of {dim} values do not fit in memory")]
    Memory {
        /// Points asked for.
        count: u64,
        /// Values of a point.
        dim: usize,
    },
}

impl SampleError {
    /// What the user may try.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NoWeight { not_finite: 0, .. } => Some(
                "the proposal misses the base density: draw from a larger pool, or train with a \
                 larger `proposal.scale` or with `proposal.defensive = 0.05`",
            ),
            Self::NoWeight { .. } => Some(
                "the energy or a density overflows at proposal samples: the training has diverged, \
                 or the proposal reaches far outside the data; use an earlier checkpoint",
            ),
            Self::Memory { .. } => Some("draw several smaller sets with different seeds"),
        }
    }
}

#[cfg(test)]
mod tests;
