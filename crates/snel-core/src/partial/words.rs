//! The form of a [`Partial`] that adds: 64-bit words whose element-wise sum over some partials is
//! the form of their union.
//!
//! A reduction that knows integers and nothing else, such as `ncclAllReduce` on `ncclInt64`, can
//! then sum partials. In order:
//!
//! | words | what |
//! |---|---|
//! | `p` | sums over rows |
//! | `p` or 0 | sums over samples |
//! | 5 | counts of the statistics |
//! | 340 | five exact sums of 68 digits to base 2^32, of which the last is the sign |
//!
//! Two numbers of a partial are largest ones and do not add: [`Extremes`] travel beside the words,
//! and so do the chunks. What chunks carry has no such form: a step that carries words is reduced in
//! another way, and [`Partial::reduce`] refuses one that was not.
//!
//! Invariants
//! 1. `words(a) + words(b)`, element by element, reads as `a.merge(b)`: the bytes of
//!    [`Partial::write_to`] are the same.
//! 2. No word wraps: digits are below 2^32, so 2^30 partials can be added, and invariant 3 of
//!    [`super`] holds for the gradient.
//! 3. Words that are read may be anyone's. Reading never panics, and what is read can be merged and
//!    reduced without overflow.

use super::{Partial, PartialDecodeError};
use crate::bytes::Fault;
use crate::chunks::ChunkSet;
use crate::statistics::{self, Statistics};

/// What of a partial does not add: of two partials the larger one counts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Extremes {
    /// Largest magnitude of a chunk's gradient; finite, not negative.
    pub magnitude: f32,
    /// Largest `u` of a sample, `-inf` without samples; never NaN.
    pub u: f64,
}

impl Default for Extremes {
    /// Those of no chunk.
    fn default() -> Self {
        Self { magnitude: 0.0, u: f64::NEG_INFINITY }
    }
}

impl Extremes {
    /// Those of a union.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self { magnitude: self.magnitude.max(other.magnitude), u: self.u.max(other.u) }
    }
}

impl Partial {
    /// Sums over rows, in units of `2^-scale`, one a parameter.
    pub fn rows(&self) -> &[i64] {
        &self.sums.rows
    }

    /// Sums over samples, in units of `2^-scale`; empty unless the objective separates samples.
    pub fn samples(&self) -> &[i64] {
        &self.sums.samples
    }

    /// The largest magnitude and the largest `u` so far.
    pub fn extremes(&self) -> Extremes {
        // Which zero is the larger one depends on the order; adding zero makes both positive.
        Extremes { magnitude: self.sums.largest, u: self.sums.statistics.max_u + 0.0 }
    }

    /// How many words [`Self::write_words`] appends.
    pub fn n_words(&self) -> usize {
        self.sums.rows.len() + self.sums.samples.len() + statistics::WORDS
    }

    /// Appends the words.
    pub fn write_words(&self, out: &mut Vec<i64>) {
        out.reserve(self.n_words());
        out.extend(&self.sums.rows);
        out.extend(&self.sums.samples);
        self.sums.statistics.write_words(out);
    }

    /// Becomes the sum of `chunks` from the sum of their words; scale, number of chunks and
    /// parameters stay.
    ///
    /// # Errors
    /// [`PartialDecodeError`]: what is wrong, and at which byte of the words; the partial is then as
    /// it was.
    pub fn set_words(
        &mut self,
        words: &[i64],
        chunks: ChunkSet,
        extremes: Extremes,
    ) -> Result<(), PartialDecodeError> {
        let needed = self.n_words();
        if words.len() != needed {
            let found = 8 * words.len() as u64;
            return Err(PartialDecodeError::Length { found, needed: 8 * needed as u128 });
        }
        let invalid = |what| Fault { what, at: 0 };
        let end = chunks.ranges().last().map_or(0, |range| range.end);
        if end > self.n_chunks() {
            return Err(invalid("the step has no such chunk").into());
        }
        let Extremes { magnitude, u } = extremes;
        if !magnitude.is_finite() || magnitude.is_sign_negative() {
            return Err(invalid("the largest magnitude is not one").into());
        }
        if u.is_nan() {
            return Err(invalid("the largest u is not a number").into());
        }
        let (sums, scalars) = words.split_at(needed - statistics::WORDS);
        let statistics = Statistics::from_words(scalars, u, chunks.len())
            .map_err(|fault| Fault { at: 8 * (sums.len() + fault.at), ..fault })?;
        let (rows, samples) = sums.split_at(self.sums.rows.len());
        self.sums.rows.copy_from_slice(rows);
        self.sums.samples.copy_from_slice(samples);
        self.sums.statistics = statistics;
        self.sums.largest = magnitude;
        self.chunks = chunks;
        Ok(())
    }
}
