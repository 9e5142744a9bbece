//! The canonical bytes of [`Statistics`], a part of those of a partial.

use super::Statistics;
use crate::bytes::{Cursor, Fault};
use crate::exact_sum::{self, ExactSum};

/// Bytes of statistics: six counts, the largest `u`, seven sums.
pub(crate) const BYTES: usize = 7 * 8 + 7 * exact_sum::BYTES;

/// What a chunk can count: chunks are of up to 2^32 points, and so are gradients of values.
pub(super) const MOST_OF_A_CHUNK: u64 = 1 << 33;

impl Statistics {
    /// Appends [`BYTES`] bytes; equal sums append equal ones.
    pub(crate) fn write_to(&self, out: &mut Vec<u8>) {
        for count in self.counts() {
            out.extend(count.to_le_bytes());
        }
        // Which zero is the larger one depends on the order; adding zero makes both positive.
        out.extend((self.max_u + 0.0).to_le_bytes());
        for sum in self.sums() {
            sum.write_to(out);
        }
    }

    /// Reads the statistics of `chunks` chunks. What is taken can be merged and evaluated without
    /// overflow, whoever wrote it.
    pub(crate) fn read_from(cursor: &mut Cursor, chunks: u32) -> Result<Self, Fault> {
        let most = u64::from(chunks).saturating_mul(MOST_OF_A_CHUNK);
        let mut count = || {
            let count = u64::from_le_bytes(cursor.take()?);
            cursor.check(count <= most, "a count is beyond what its chunks can hold")?;
            Ok(count)
        };
        let (rows, samples, overflows) = (count()?, count()?, count()?);
        let (not_finite, chains, posteriors) = (count()?, count()?, count()?);
        let max_u = f64::from_le_bytes(cursor.take()?);
        cursor.check(!max_u.is_nan(), "the largest u is not a number")?;
        cursor.check(max_u.to_bits() != (-0.0f64).to_bits(), "the largest u is a negative zero")?;
        let mut sum = || {
            let sum = ExactSum::from_bytes(&cursor.take()?, chunks);
            sum.ok_or(cursor.fault("a sum is beyond what its chunks can add up to"))
        };
        let (row_log_density, weight, weight_squared) = (sum()?, sum()?, sum()?);
        let (chain_log_density, acceptance) = (sum()?, sum()?);
        let (inverse_acceptance, posterior_acceptance) = (sum()?, sum()?);
        Ok(Self {
            rows,
            samples,
            overflows,
            not_finite,
            chains,
            posteriors,
            max_u,
            row_log_density,
            weight,
            weight_squared,
            chain_log_density,
            acceptance,
            inverse_acceptance,
            posterior_acceptance,
        })
    }
}
