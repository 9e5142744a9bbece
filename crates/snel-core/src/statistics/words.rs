//! The form of [`Statistics`] that adds, a part of that of a partial.

use super::Statistics;
use super::bytes::MOST_OF_A_CHUNK;
use crate::bytes::Fault;
use crate::exact_sum::{self, ExactSum};

/// Counts of statistics.
const COUNTS: usize = 6;
/// Words of statistics: six counts, seven sums. The largest `u` does not add.
pub(crate) const WORDS: usize = COUNTS + 7 * exact_sum::BINS;

impl Statistics {
    /// Appends [`WORDS`] words.
    pub(crate) fn write_words(&self, out: &mut Vec<i64>) {
        for count in self.counts() {
            out.push(i64::try_from(count).unwrap_or(i64::MAX));
        }
        for sum in self.sums() {
            out.extend(sum.words());
        }
    }

    /// Reads the sum of the words of some statistics, of `chunks` chunks in all. A fault's place
    /// counts words.
    pub(crate) fn from_words(words: &[i64], max_u: f64, chunks: u32) -> Result<Self, Fault> {
        let most = u64::from(chunks).saturating_mul(MOST_OF_A_CHUNK);
        let count = |at: usize| {
            let count = words.get(at).and_then(|count| u64::try_from(*count).ok());
            let possible = count.filter(|count| *count <= most);
            possible.ok_or(Fault { what: "a count is beyond what its chunks can hold", at })
        };
        let sum = |number: usize| {
            let at = COUNTS + number * exact_sum::BINS;
            let bins = words.get(at..).and_then(|rest| rest.first_chunk());
            let sum = bins.and_then(|bins| ExactSum::from_words(bins, chunks));
            sum.ok_or(Fault { what: "a sum is beyond what its chunks can add up to", at })
        };
        Ok(Self {
            rows: count(0)?,
            samples: count(1)?,
            overflows: count(2)?,
            not_finite: count(3)?,
            chains: count(4)?,
            posteriors: count(5)?,
            max_u: max_u + 0.0,
            row_log_density: sum(0)?,
            weight: sum(1)?,
            weight_squared: sum(2)?,
            chain_log_density: sum(3)?,
            acceptance: sum(4)?,
            inverse_acceptance: sum(5)?,
            posterior_acceptance: sum(6)?,
        })
    }
}
