//! Exact sums of gradients.
//!
//! [`Sums`] hold, per parameter, the sum of some chunks' gradients as a count of `2^-scale`
//! in an `i64`. Integers add to the same value in any order; so threads, workers and transports
//! may share the work as they like, and the trained parameters still agree to the last bit. A
//! [`Partial`] is such sums with the set of their chunks.
//!
//! Invariants
//! 1. A partial knows its chunks; no chunk is counted twice.
//! 2. Partials are merged only if they agree on scale and layout.
//! 3. No sum wraps: a chunk is converted only if every magnitude stays below `2^62` divided by the
//!    number of chunks of the step. The verdict belongs to a chunk, not to an order of addition.
//! 4. The statistics are exact sums too.
//! 5. Partials of the same chunks of a step are equal bytes ([`Partial::write_to`]).
//! 6. What chunks carry ([`Sums::carry`]) is there as they handed it over.
//!
//! An overflow does not stop the sum: the partial remembers the largest magnitude that any chunk
//! had, so that [`Partial::reduce`] can say which scale would have done, once and for all workers.

mod bytes;
mod carried;
mod words;

use crate::chunks::ChunkSet;
use crate::statistics::{Statistics, Tally};
use crate::vectorise::vectorised;

pub use bytes::PartialDecodeError;
use carried::Carried;
pub use words::Extremes;

/// Bits of head-room kept above the largest magnitude of the step before.
pub const HEADROOM_BITS: i32 = 8;
/// The finest scale that is used: magnitudes below `2^-120` are zero for any purpose.
pub const FINEST: i32 = 160;
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

/// Sums over some chunks of one step, without their numbers: what one thread of an engine keeps.
#[derive(Debug, Clone, Default)]
pub struct Sums {
    scale: i32,
    n_chunks: u32,
    rows: Vec<i64>,
    /// Empty unless the objective separates samples.
    samples: Vec<i64>,
    largest: f32,
    statistics: Statistics,
    carried: Carried,
}

/// Exact sums over some chunks of one step.
#[derive(Debug, Clone)]
pub struct Partial {
    sums: Sums,
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
    /// Chunks have not handed over what they carry.
    #[error("{found} of {total} carried words are there")]
    Carried {
        /// Words that are there.
        found: u64,
        /// Words of the step.
        total: u64,
    },
}

/// The sums of a whole step, ready to be applied.
#[derive(Debug, Clone, Copy)]
pub struct Reduced<'a> {
    sums: &'a Sums,
    /// Sums of the step's scalars.
    pub statistics: &'a Statistics,
    /// Scale exponent for the next step.
    pub next_scale: i32,
}

impl Sums {
    /// Empty sums over `len` parameters of a step of `n_chunks` chunks.
    pub fn new(len: usize, scale: i32, n_chunks: u32, separates_samples: bool) -> Self {
        Self {
            scale,
            n_chunks,
            rows: vec![0; len],
            samples: vec![0; if separates_samples { len } else { 0 }],
            largest: 0.0,
            statistics: Statistics::default(),
            carried: Carried::default(),
        }
    }

    /// Empties the sums and makes them those of the step that `partial` belongs to. Keeps the
    /// memory.
    pub fn restart_like(&mut self, partial: &Partial) {
        let Sums { rows, samples, scale, n_chunks, carried, .. } = &partial.sums;
        self.rows.resize(rows.len(), 0);
        self.samples.resize(samples.len(), 0);
        self.restart(*scale, *n_chunks, carried.whole());
    }

    fn restart(&mut self, scale: i32, n_chunks: u32, carries: u64) {
        self.scale = scale;
        self.n_chunks = n_chunks;
        self.rows.fill(0);
        self.samples.fill(0);
        self.largest = 0.0;
        self.statistics = Statistics::default();
        self.carried.restart(carries, n_chunks);
    }

    /// Adds `values` to those that `chunk`, the one that is being summed, carries.
    pub fn carry(&mut self, chunk: u32, values: impl Iterator<Item = f32>) {
        self.carried.extend(chunk, values.map(f32::to_bits));
    }

    /// Adds the gradient and the tally of one chunk.
    ///
    /// Gradients are already divided by `n` or `M`. Values that are not finite are counted.
    ///
    /// # Panics
    /// If the gradient is not as long as the layout.
    pub fn add_chunk(&mut self, side: Side, gradient: &[f32], tally: &Tally) {
        assert_eq!(gradient.len(), self.rows.len(), "one value a parameter");
        self.add_parts(side, &[(0, gradient)], tally);
    }

    /// The same for a chunk whose gradient is zero but in `parts`, each with the place of its first
    /// value: rounding a long vector costs as much as the gradient of some points.
    ///
    /// # Panics
    /// If a part goes beyond the layout.
    pub fn add_parts(&mut self, side: Side, parts: &[(usize, &[f32])], tally: &Tally) {
        self.statistics.add(tally);
        let (mut largest, mut finite) = (0.0f32, true);
        for (_, part) in parts {
            let (of_part, all_finite) = largest_magnitude(part);
            largest = largest.max(of_part);
            if !all_finite {
                finite = false;
                let bad = part.iter().filter(|g| !g.is_finite()).count();
                self.statistics.not_finite += bad as u64;
            }
        }
        self.largest = self.largest.max(largest);
        if finite && fits(largest, self.scale, self.n_chunks) {
            let separate = side == Side::Samples && !self.samples.is_empty();
            let sums = if separate { &mut self.samples } else { &mut self.rows };
            for (first, part) in parts {
                add_rounded(&mut sums[*first..][..part.len()], part, self.scale);
            }
        }
    }

    /// Adds chunks whose gradients were rounded and added elsewhere, by the rule of
    /// [`Self::add_chunk`]: `rows` and `samples` (empty unless the objective separates samples) are
    /// sums of `round_half_even(gradient * 2^scale)` over the chunks that have only finite values,
    /// all below [`Partial::limit`] in magnitude. `largest` is the largest finite magnitude of any
    /// chunk; each tally counts its chunk's gradients that are not finite.
    ///
    /// # Panics
    /// If the sums are not as long as these.
    pub fn add_rounded(
        &mut self,
        rows: &[i64],
        samples: &[i64],
        largest: f32,
        tallies: impl IntoIterator<Item = Tally>,
    ) {
        tallies.into_iter().for_each(|tally| self.statistics.add(&tally));
        self.largest = self.largest.max(largest);
        for (mine, theirs) in [(&mut self.rows, rows), (&mut self.samples, samples)] {
            assert_eq!(mine.len(), theirs.len(), "one sum a parameter");
            for (a, b) in mine.iter_mut().zip(theirs) {
                *a = a.wrapping_add(*b);
            }
        }
    }

    /// Adds the sums of other chunks of the same step.
    pub fn merge(&mut self, other: &Self) {
        self.statistics.merge(&other.statistics);
        self.largest = self.largest.max(other.largest);
        self.carried.merge(&other.carried);
        for (mine, theirs) in [(&mut self.rows, &other.rows), (&mut self.samples, &other.samples)] {
            for (a, b) in mine.iter_mut().zip(theirs) {
                // Cannot wrap (invariant 3) for honest partials; a lying peer must not panic us.
                *a = a.wrapping_add(*b);
            }
        }
    }
}

impl Partial {
    /// An empty sum over `len` parameters of a step of `n_chunks` chunks.
    pub fn new(len: usize, scale: i32, n_chunks: u32, separates_samples: bool) -> Self {
        let sums = Sums::new(len, scale, n_chunks, separates_samples);
        Self { sums, chunks: ChunkSet::default() }
    }

    /// The same for a step whose chunks carry `words` 32-bit words in all.
    #[must_use]
    pub fn carrying(mut self, words: u64) -> Self {
        self.sums.carried = Carried::new(words);
        self
    }

    /// Empties the sum for another step, or for the same with another scale. Keeps the memory.
    pub fn restart(&mut self, scale: i32, n_chunks: u32) {
        self.sums.restart(scale, n_chunks, self.sums.carried.whole());
        self.chunks.clear();
    }

    /// Empty sums of the same step, for an engine or one of its threads to fill.
    pub fn empty_sums(&self) -> Sums {
        let Sums { rows, samples, scale, n_chunks, carried, .. } = &self.sums;
        let sums = Sums::new(rows.len(), *scale, *n_chunks, !samples.is_empty());
        Sums { carried: Carried::new(carried.whole()), ..sums }
    }

    /// Adds `sums`, which are those of `chunks`.
    ///
    /// # Errors
    /// [`PartialError`]; the partial is then as it was.
    pub fn add(&mut self, chunks: &ChunkSet, sums: &Sums) -> Result<(), PartialError> {
        let mine = &self.sums;
        if mine.scale != sums.scale {
            return Err(PartialError::Mismatch("scale"));
        }
        if mine.rows.len() != sums.rows.len() || mine.samples.len() != sums.samples.len() {
            return Err(PartialError::Mismatch("number of parameters"));
        }
        if mine.n_chunks != sums.n_chunks {
            return Err(PartialError::Mismatch("number of chunks"));
        }
        if mine.carried.whole() != sums.carried.whole() {
            return Err(PartialError::Mismatch("number of carried words"));
        }
        self.chunks.merge(chunks).map_err(PartialError::DuplicateChunk)?;
        self.sums.merge(sums);
        Ok(())
    }

    /// Adds all chunks of `other`.
    ///
    /// # Errors
    /// [`PartialError`]; the partial is then as it was.
    pub fn merge(&mut self, other: &Self) -> Result<(), PartialError> {
        self.add(&other.chunks, &other.sums)
    }

    /// Closes the step: checks that it is whole and sound.
    ///
    /// # Errors
    /// [`StepError`], with what to repeat or report.
    pub fn reduce(&self) -> Result<Reduced<'_>, StepError> {
        let Sums { scale, n_chunks, largest, statistics, .. } = &self.sums;
        let (scale, n_chunks, largest) = (*scale, *n_chunks, *largest);
        let missing = n_chunks - self.chunks.len().min(n_chunks);
        if missing > 0 {
            return Err(StepError::Incomplete { missing, total: n_chunks });
        }
        let carried = &self.sums.carried;
        let (found, total) = (carried.len() as u64, carried.whole());
        if found != total {
            return Err(StepError::Carried { found, total });
        }
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
        let next_scale = scale_for(largest, n_chunks);
        if !fits(largest, scale, n_chunks) {
            return Err(StepError::Overflow { largest, scale: next_scale });
        }
        Ok(Reduced { sums: &self.sums, statistics, next_scale })
    }

    /// Scale exponent of the sums.
    pub fn scale(&self) -> i32 {
        self.sums.scale
    }

    /// Magnitudes of a chunk's gradient from here on do not fit the scale.
    pub fn limit(&self) -> f64 {
        libm::ldexp(1.0, chunk_bits(self.sums.n_chunks) - self.sums.scale)
    }

    /// Parameters that are summed.
    pub fn parameters(&self) -> usize {
        self.sums.rows.len()
    }

    /// Chunks of the whole step.
    pub fn n_chunks(&self) -> u32 {
        self.sums.n_chunks
    }

    /// 32-bit words that the chunks of the whole step carry.
    pub fn carries(&self) -> u64 {
        self.sums.carried.whole()
    }

    /// The chunks summed so far.
    pub fn chunks(&self) -> &ChunkSet {
        &self.chunks
    }

    /// The sums of scalars so far.
    pub fn statistics(&self) -> &Statistics {
        &self.sums.statistics
    }
}

impl Reduced<'_> {
    /// The sums in units of `2^-scale` and the scale, for an engine that converts them elsewhere:
    /// of rows, and of samples if the objective separates them.
    pub fn integers(&self) -> (&[i64], &[i64], i32) {
        (&self.sums.rows, &self.sums.samples, self.sums.scale)
    }

    /// The words that chunks carried, chunk after chunk.
    pub fn carried(&self) -> impl Iterator<Item = u32> + use<'_> {
        self.sums.carried.words()
    }

    /// The factor of separated sample sums in [`Self::gradient`].
    pub fn sample_factor(&self) -> f64 {
        1.0 / self.statistics.mean_weight()
    }

    /// Fills `out` with the gradient of the loss (length of the layout).
    ///
    /// Separated sample sums are divided by the mean weight, so that their cotangents sum to one
    /// (IS-MLE); the last entry, `b`, keeps the undivided sum and follows the SNL gradient.
    pub fn gradient(&self, out: &mut [f64]) {
        let Sums { rows, samples, scale, .. } = self.sums;
        let unit = libm::ldexp(1.0, -scale);
        vectorised(
            #[inline(always)]
            || {
                for (g, sum) in out.iter_mut().zip(rows) {
                    *g = *sum as f64 * unit;
                }
            },
        );
        if let Some(b) = samples.len().checked_sub(1) {
            let divide = self.sample_factor();
            for (i, (g, sum)) in out.iter_mut().zip(samples).enumerate() {
                *g += *sum as f64 * unit * if i == b { 1.0 } else { divide };
            }
        }
    }
}

/// Largest magnitude among the finite `values`, and whether all are finite.
fn largest_magnitude(values: &[f32]) -> (f32, bool) {
    const LANES: usize = 16;
    /// Magnitudes order as their bits do; those of infinity and NaN are at the top.
    const INFINITE: u32 = f32::INFINITY.to_bits();
    let magnitude = |v: &f32| v.to_bits() & !(1 << 31);
    let largest = vectorised(
        #[inline(always)]
        || {
            let mut largest = [0; LANES];
            let (blocks, rest) = values.as_chunks::<LANES>();
            for block in blocks {
                for (l, v) in largest.iter_mut().zip(block) {
                    *l = magnitude(v).max(*l);
                }
            }
            for (l, v) in largest.iter_mut().zip(rest) {
                *l = magnitude(v).max(*l);
            }
            largest
        },
    );
    let top = largest.into_iter().max().unwrap_or(0);
    if top < INFINITE {
        return (f32::from_bits(top), true);
    }
    let finite = values.iter().filter(|v| v.is_finite());
    (finite.fold(0.0, |largest, v| largest.max(v.abs())), false)
}

/// Adds `round_half_even(gradient * 2^scale)` to `sums`. Every product must be below `2^62`.
///
/// There is no vector instruction from `f64` to `i64` on most machines, so the product is split:
/// adding 1.5 * 2^52 leaves the nearest integer, ties to even, in the low bits of a double. The
/// high part is the nearest multiple of 2^32, an even number, so rounding the exact rest rounds
/// the whole.
fn add_rounded(sums: &mut [i64], gradient: &[f32], scale: i32) {
    const MAGIC: f64 = 6_755_399_441_055_744.0;
    let factor = libm::ldexp(1.0, scale);
    vectorised(
        #[inline(always)]
        || {
            for (sum, g) in sums.iter_mut().zip(gradient) {
                let value = f64::from(*g) * factor;
                let high = value * (1.0 / 4_294_967_296.0) + MAGIC;
                let rest = value - (high - MAGIC) * 4_294_967_296.0;
                let low = rest + MAGIC;
                let integer = |v: f64| v.to_bits().wrapping_sub(MAGIC.to_bits()) as i64;
                *sum = sum.wrapping_add((integer(high) << 32).wrapping_add(integer(low)));
            }
        },
    );
}

/// Bits left for one chunk when `n_chunks` of them are summed below `2^62`.
pub fn chunk_bits(n_chunks: u32) -> i32 {
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
