//! Points drawn from a trained model, in its own (standardised) units.
//!
//! [`resample`] picks from a large pool of proposal samples by weight; [`refine`] moves points by
//! Metropolis-adjusted Langevin steps, which pulls repeated points apart and reaches what the pool
//! misses. Neither needs the log-normaliser; [`anneal`] estimates it.
//!
//! Invariants
//! 1. Equal calls give equal points, whatever the number of threads.
//! 2. The counters of one key never meet: proposal samples are numbered below 2^63, chains and the
//!    single uniform number of resampling above, and the output order has a step of its own.
//!
//! Fails with [`SampleError`]; what merely makes points worse is a warning beside them.

mod anneal;
mod chains;
mod langevin;
mod resample;

pub use anneal::{Annealed, Annealing, Back, anneal};
pub use langevin::{Langevin, Refined, refine};
pub use resample::{Resampled, default_pool, resample};
use snel_core::density::DensityError;
use snel_core::layout::Layout;
use snel_core::problem::Model;

/// Sample numbers from here on belong to chains, not to proposal samples.
const CHAINS: u64 = 1 << 63;

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
    /// A flat vector of another size than the model's.
    #[error("{found} {what} do not fit the model: {expected}")]
    Size {
        /// Parameters, or values of points.
        what: &'static str,
        /// How many there are.
        found: usize,
        /// How many there should be, in words.
        expected: String,
    },
    /// The model itself cannot be used.
    #[error("the model is unsound: {0}")]
    Model(#[from] DensityError),
    /// A step size that moves nothing or nowhere.
    #[error("the Langevin step size is {0}; it must be positive and finite")]
    StepSize(f64),
    /// The system refused threads.
    #[error("cannot start {threads} threads")]
    Threads {
        /// How many were asked for.
        threads: usize,
        /// What the thread pool said.
        source: rayon::ThreadPoolBuildError,
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
            Self::StepSize(_) => Some("leave it out, and it is adapted to the model"),
            Self::Threads { .. } => Some("ask for fewer threads"),
            Self::Size { .. } | Self::Model(_) => None,
        }
    }
}

/// Refuses parameters and points of another model.
fn check(model: &Model, parameters: &[f32], points: &[f32]) -> Result<(), SampleError> {
    model.check()?;
    let size = |what, found, expected| Err(SampleError::Size { what, found, expected });
    let (len, dim) = (Layout::new(&model.energy).len(), model.dim());
    if parameters.len() != len {
        return size("parameters", parameters.len(), format!("it has {len}"));
    }
    if !points.len().is_multiple_of(dim) {
        return size("values", points.len(), format!("its points have {dim} each"));
    }
    Ok(())
}

/// Runs `work` with a pool of `threads` threads.
fn on_threads<R: Send>(threads: usize, work: impl FnOnce() -> R + Send) -> Result<R, SampleError> {
    let threads = threads.max(1);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
    Ok(pool.map_err(|source| SampleError::Threads { threads, source })?.install(work))
}

/// Room for `count` points, if there is so much memory.
fn zeros(count: u64, dim: usize) -> Option<Vec<f32>> {
    let len = usize::try_from(count).ok()?.checked_mul(dim)?;
    let mut points = Vec::new();
    points.try_reserve_exact(len).ok()?;
    points.resize(len, 0.0);
    Some(points)
}

#[cfg(test)]
mod tests;
