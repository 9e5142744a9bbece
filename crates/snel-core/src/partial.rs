//! Exact sums of gradients.
//!
//! A [`Partial`] holds, per parameter, the sum of some chunks' gradients as a count of `2^-scale`
//! in an `i64`. Integers add to the same value in any order; so threads, workers and transports
//! may share the work as they like, and the trained parameters still agree to the last bit.
//!
//! Invariants
//! 1. A partial knows its chunks; no chunk is counted twice.
//! 2. Partials are merged only if they agree on scale and layout.
//! 3. No sum wraps: a chunk is converted only if every magnitude stays below `2^62` divided by the
//!    number of chunks of the step. The verdict belongs to a chunk, not to an order of addition.
//! 4. The statistics are exact sums too.
//!
//! An overflow does not stop the sum: the partial remembers the largest magnitude that any chunk
//! had, so that [`Partial::reduce`] can say which scale would have done, once and for all workers.

use crate::chunks::ChunkSet;
use crate::statistics::Statistics;

/// Bits of head-room kept above the largest magnitude of the step before.
const HEADROOM_BITS: i32 = 8;
/// The finest scale that is used: magnitudes below `2^-120` are zero for any purpose.
const FINEST: i32 = 160;
/// Scale of a first step, before any magnitude is known: room for magnitudes up to `2^10` in
/// `2^20` chunks. A wrong guess costs one repetition.
pub const FIRST_SCALE: i32 = 62 - 20 - 10;

/// Which sum of the gradient a chunk belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Data rows; and samples too unless the objective separates them.
    Rows,
    /// Proposal samples of an objective that divides their sum after the reduction.
    Samples,
}

/// Exact sums over some chunks of one step.
#[derive(Debug, Clone)]
pub struct Partial {
    scale: i32,
    n_chunks: u32,
    rows: Vec<i64>,
    /// Empty unless the objective separates samples.
    samples: Vec<i64>,
    largest: f32,
    statistics: Statistics,
    chunks: ChunkSet,
}

/// Why two partials, or a partial and a chunk, cannot be added.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PartialError {
    /// A chunk was summed twice: a fault of the assignment.
    #[error("chunk {0} was summed twice")]
    DuplicateChunk(u32),
    /// Scale, layout or step differ: a peer of another version, or a fault.
    #[error("partial sums differ in {0}")]
    Mismatch(&'static str),
}

/// Why a step cannot be applied. Parameters and optimiser state are those before the step.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum StepError {
    /// A magnitude does not fit the scale; the caller repeats the step with `scale`.
    #[error("gradient of magnitude {largest:e} does not fit; repeat with scale 2^{scale}")]
    Overflow {
        /// Largest magnitude of a chunk's gradient.
        largest: f32,
        /// Scale exponent that fits.
        scale: i32,
    },
    /// Sample weights beyond [`crate::objective::WEIGHT_LIMIT`].
    #[error(
        "{count} of {total} sample weights overflow (log-weight minus b up to {largest:.1}, limit {limit:.1})"
    )]
    WeightOverflow {
        /// Offending samples.
        count: u64,
        /// Samples of the step.
        total: u64,
        /// Largest `u` seen.
        largest: f64,
        /// The limit.
        limit: f64,
    },
    /// NaN or infinite energies, densities or gradients.
    #[error("{count} energies or gradients are not finite")]
    NotFinite {
        /// How many values.
        count: u64,
    },
    /// Not all chunks of the step are there.
    #[error("{missing} of {total} chunks are missing")]
    Incomplete {
        /// Chunks without a sum.
        missing: u32,
        /// Chunks of the step.
        total: u32,
    },
}

/// The sums of a whole step, ready to be applied.
#[derive(Debug, Clone)]
pub struct Reduced {
    rows: Vec<i64>,
    samples: Vec<i64>,
    scale: i32,
    /// Sums of the step's scalars.
    pub statistics: Statistics,
    /// Scale exponent for the next step.
    pub next_scale: i32,
}

impl Partial {
    /// An empty sum over `len` parameters of a step of `n_chunks` chunks.
    pub fn new(len: usize, scale: i32, n_chunks: u32, separates_samples: bool) -> Self {
        Self {
            scale,
            n_chunks,
            rows: vec![0; len],
            samples: vec![0; if separates_samples { len } else { 0 }],
            largest: 0.0,
            statistics: Statistics::default(),
            chunks: ChunkSet::default(),
        }
    }

    /// An empty sum of the same step, for another thread.
    #[must_use]
    pub fn empty_like(&self) -> Self {
        Self::new(self.rows.len(), self.scale, self.n_chunks, !self.samples.is_empty())
    }

    /// Adds the gradient and the statistics of chunk `chunk`.
    ///
    /// Gradients are already divided by `n` or `M`. Values that are not finite are counted.
    ///
    /// # Errors
    /// [`PartialError`]; the partial is then as it was.
    pub fn add_chunk(
        &mut self,
        chunk: u32,
        side: Side,
        gradient: &[f32],
        statistics: &Statistics,
    ) -> Result<(), PartialError> {
        if gradient.len() != self.rows.len() {
            return Err(PartialError::Mismatch("number of parameters"));
        }
        if !self.chunks.insert(chunk) {
            return Err(PartialError::DuplicateChunk(chunk));
        }
        self.statistics.merge(statistics);
        // max ignores NaN, so the count of bad values is taken apart.
        let mut largest = 0.0f32;
        let mut bad = 0u64;
        for g in gradient {
            largest = largest.max(g.abs());
            bad += u64::from(!g.is_finite());
        }
        self.statistics.not_finite += bad;
        self.largest = self.largest.max(largest);
        if bad == 0 && fits(largest, self.scale, self.n_chunks) {
            let separate = side == Side::Samples && !self.samples.is_empty();
            let sums = if separate { &mut self.samples } else { &mut self.rows };
            let factor = libm::ldexp(1.0, self.scale);
            for (sum, g) in sums.iter_mut().zip(gradient) {
                // Exact: a float times a power of two, then one rounding, ties to even.
                *sum += (f64::from(*g) * factor).round_ties_even() as i64;
            }
        }
        Ok(())
    }

    /// Adds all chunks of `other`.
    ///
    /// # Errors
    /// [`PartialError`]; the partial is then as it was.
    pub fn merge(&mut self, other: &Self) -> Result<(), PartialError> {
        if self.scale != other.scale {
            return Err(PartialError::Mismatch("scale"));
        }
        if self.rows.len() != other.rows.len() || self.samples.len() != other.samples.len() {
            return Err(PartialError::Mismatch("number of parameters"));
        }
        if self.n_chunks != other.n_chunks {
            return Err(PartialError::Mismatch("number of chunks"));
        }
        self.chunks.merge(&other.chunks).map_err(PartialError::DuplicateChunk)?;
        self.statistics.merge(&other.statistics);
        self.largest = self.largest.max(other.largest);
        for (mine, theirs) in [(&mut self.rows, &other.rows), (&mut self.samples, &other.samples)] {
            for (a, b) in mine.iter_mut().zip(theirs) {
                // Cannot wrap (invariant 3) for honest partials; a lying peer must not panic us.
                *a = a.wrapping_add(*b);
            }
        }
        Ok(())
    }

    /// Closes the step: checks that it is whole and sound.
    ///
    /// # Errors
    /// [`StepError`], with what to repeat or report. `self` is lost then: a repetition starts anew.
    pub fn reduce(self) -> Result<Reduced, StepError> {
        let missing = self.n_chunks - self.chunks.len().min(self.n_chunks);
        if missing > 0 {
            return Err(StepError::Incomplete { missing, total: self.n_chunks });
        }
        let statistics = &self.statistics;
        if statistics.overflows > 0 {
            return Err(StepError::WeightOverflow {
                count: statistics.overflows,
                total: statistics.samples,
                largest: statistics.max_u,
                limit: crate::objective::WEIGHT_LIMIT,
            });
        }
        if statistics.not_finite > 0 {
            return Err(StepError::NotFinite { count: statistics.not_finite });
        }
        let next_scale = scale_for(self.largest, self.n_chunks);
        if !fits(self.largest, self.scale, self.n_chunks) {
            return Err(StepError::Overflow { largest: self.largest, scale: next_scale });
        }
        Ok(Reduced {
            rows: self.rows,
            samples: self.samples,
            scale: self.scale,
            statistics: self.statistics,
            next_scale,
        })
    }

    /// The chunks summed so far.
    pub fn chunks(&self) -> &ChunkSet {
        &self.chunks
    }

    /// The sums of scalars so far.
    pub fn statistics(&self) -> &Statistics {
        &self.statistics
    }
}

impl Reduced {
    /// Fills `out` with the gradient of the loss (length of the layout).
    ///
    /// Separated sample sums are divided by the mean weight, so that their cotangents sum to one
    /// (IS-MLE); the last entry, `b`, keeps the undivided sum and follows the SNL gradient.
    pub fn gradient(&self, out: &mut [f64]) {
        let unit = libm::ldexp(1.0, -self.scale);
        for (g, sum) in out.iter_mut().zip(&self.rows) {
            *g = *sum as f64 * unit;
        }
        if !self.samples.is_empty() {
            let divide = 1.0 / self.statistics.mean_weight();
            let b = self.samples.len() - 1;
            for (i, (g, sum)) in out.iter_mut().zip(&self.samples).enumerate() {
                *g += *sum as f64 * unit * if i == b { 1.0 } else { divide };
            }
        }
    }
}

/// Bits left for one chunk when `n_chunks` of them are summed below `2^62`.
fn chunk_bits(n_chunks: u32) -> i32 {
    62 - (32 - n_chunks.leading_zeros()) as i32
}

fn fits(largest: f32, scale: i32, n_chunks: u32) -> bool {
    libm::ldexp(f64::from(largest), scale) < libm::ldexp(1.0, chunk_bits(n_chunks))
}

/// The scale that leaves head-room above `largest`, a pure function of the step before.
fn scale_for(largest: f32, n_chunks: u32) -> i32 {
    if largest == 0.0 || !largest.is_finite() {
        return FIRST_SCALE;
    }
    let exponent = libm::ilogb(f64::from(largest)) + 1;
    (chunk_bits(n_chunks) - HEADROOM_BITS - exponent).min(FINEST)
}

#[cfg(test)]
mod tests;
