//! Cutting a step into chunks.
//!
//! Invariants
//! 1. Chunks are a function of `n`, `M` and the configured chunk size alone: never of threads,
//!    workers or machines.
//! 2. Chunks `0..row_chunks` are ranges of minibatch rows, the rest ranges of sample numbers;
//!    each row and each sample is in exactly one chunk. Where every row has samples of its own,
//!    there are chunks of rows only, and a row's samples are in its chunk.
//! 3. Row numbers of a step are a function of `(seed, step)`: passes over shuffled data without
//!    replacement, one after the other, whatever the batch size.

use std::ops::Range;

use crate::philox::{Key, Stream};
use crate::shuffle::Permutation;

/// What a chunk covers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Chunk {
    /// Positions in the minibatch.
    Rows(Range<u64>),
    /// Numbers of proposal samples.
    Samples(Range<u64>),
}

/// The work of every step of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batching {
    /// Rows of a minibatch, `n`.
    pub batch: u64,
    /// Proposal samples of a step, `M`; of each row, if rows have their own.
    pub samples: u64,
    /// Every row has samples of its own: the model is conditional.
    pub per_row: bool,
    /// Rows or samples of a chunk.
    pub chunk: u64,
    /// Rows of the training split.
    pub total_rows: u64,
    /// Seed of the run.
    pub seed: u32,
}

/// The work of one step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepPlan {
    /// The step's number, from 0.
    pub step: u32,
    /// Scale exponent of the exact sums.
    pub scale: i32,
    batching: Batching,
}

impl Batching {
    /// The chunk size used unless one is configured: a power of two from 128 to 1,024 that gives
    /// about 32 chunks. Smaller ones would spend their time on the conversion to fixed point,
    /// which costs as much as the gradient of a few points.
    pub fn default_chunk(batch: u64, samples: u64) -> u64 {
        ((batch + samples) / 32).next_power_of_two().clamp(128, 1024)
    }

    /// The same, in rows, where every row has `samples` of its own.
    pub fn default_row_chunk(batch: u64, samples: u64) -> u64 {
        let points = Self::default_chunk(batch, batch.saturating_mul(samples));
        (points / (samples + 1)).max(1)
    }

    /// The plan of step `step` with exact sums in units of `2^-scale`.
    pub fn plan(&self, step: u32, scale: i32) -> StepPlan {
        StepPlan { step, scale, batching: self.clone() }
    }
}

impl StepPlan {
    /// Rows of the minibatch, `n`.
    pub fn batch(&self) -> u64 {
        self.batching.batch
    }

    /// Proposal samples, `M`; of each row, if rows have their own.
    pub fn samples(&self) -> u64 {
        self.batching.samples
    }

    /// Largest number of points in a chunk.
    pub fn chunk_size(&self) -> u64 {
        self.batching.chunk
    }

    fn row_chunks(&self) -> u32 {
        self.batch().div_ceil(self.batching.chunk) as u32
    }

    /// Number of chunks of the step.
    pub fn n_chunks(&self) -> u32 {
        let samples = if self.batching.per_row { 0 } else { self.samples() };
        self.row_chunks() + samples.div_ceil(self.batching.chunk) as u32
    }

    /// What chunk `index`, below [`Self::n_chunks`], covers.
    pub fn chunk(&self, index: u32) -> Chunk {
        let size = self.batching.chunk;
        let range = |i: u32, end: u64| u64::from(i) * size..((u64::from(i) + 1) * size).min(end);
        match index.checked_sub(self.row_chunks()) {
            None => Chunk::Rows(range(index, self.batch())),
            Some(i) => Chunk::Samples(range(i, self.samples())),
        }
    }

    /// Fills `out` with the row numbers at positions `start..` of the minibatch.
    pub fn rows(&self, start: u64, mut out: &mut [u64]) {
        let Batching { batch, total_rows, seed, .. } = self.batching;
        let key = Key::new(seed, Stream::Shuffle);
        let mut position = u64::from(self.step) * batch + start;
        while !out.is_empty() {
            let (pass, first) = (position / total_rows, position % total_rows);
            let count = (total_rows - first).min(out.len() as u64);
            let (now, later) = out.split_at_mut(count as usize);
            now.iter_mut().zip(first..).for_each(|(row, i)| *row = i);
            Permutation::new(key, pass as u32, total_rows).map(now);
            position += count;
            out = later;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn chunks_cover_everything_once(batch in 1u64..300, samples in 1u64..3000, per_row: bool, chunk in 1u64..200) {
            let plan =
                Batching { batch, samples, per_row, chunk, total_rows: 10, seed: 0 }.plan(0, 0);
            let (mut rows, mut drawn) = (0, 0);
            for i in 0..plan.n_chunks() {
                match plan.chunk(i) {
                    Chunk::Rows(r) => { prop_assert_eq!(r.start, rows); rows = r.end; }
                    Chunk::Samples(r) => { prop_assert_eq!(r.start, drawn); drawn = r.end; }
                }
            }
            prop_assert_eq!((rows, drawn), (batch, if per_row { 0 } else { samples }));
        }

        /// Over `total` consecutive positions that start a pass, every row appears once.
        #[test]
        fn a_pass_visits_every_row_once(total in 1u64..200, seed: u32) {
            let batching = Batching {
                batch: total, samples: 1, per_row: false, chunk: 64, total_rows: total, seed,
            };
            for step in 0..3 {
                let mut rows = vec![0; total as usize];
                batching.plan(step, 0).rows(0, &mut rows);
                rows.sort_unstable();
                prop_assert_eq!(rows, (0..total).collect::<Vec<_>>());
            }
        }
    }
}
