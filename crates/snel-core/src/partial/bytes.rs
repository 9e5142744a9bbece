//! The canonical bytes of a [`Partial`], in which workers send it to each other.
//!
//! All numbers are little-endian:
//!
//! | bytes | what |
//! |---|---|
//! | 4 | number of this format |
//! | 4 | scale exponent |
//! | 4 | chunks of the step |
//! | 4 | largest magnitude, `f32` |
//! | 8 | parameters, `p` |
//! | 8 | parameters with a sum of their own over samples: `p` or 0 |
//! | 8 | words that the chunks of the step carry |
//! | 8 | words that are there, `c` |
//! | 4 | ranges of chunks, `r` |
//! | 4 | chunks whose words are there, `k` |
//! | 8 `r` | first chunk of each range, and the one after its last |
//! | 1960 | statistics: six counts, the largest `u`, seven exact sums of 68 digits to base 2^32 |
//! | 8 `p` | sums over rows, `i64` |
//! | 8 `p` or 0 | sums over samples, `i64` |
//! | 8 `k` | number of each chunk that carries words, ascending, and how many |
//! | 4 `c` | these words |
//!
//! Invariants
//! 1. Equal sums are equal bytes, whatever the order of addition: partials of the same chunks of a
//!    step have the same bytes on whichever workers and in whatever nesting they were summed.
//! 2. One sum has one form: bytes that decode are those that the decoded partial encodes to.
//! 3. The bytes may be anyone's. Decoding never panics and takes memory in proportion to how many
//!    there are; what is decoded can be merged, with whatever else was, and reduced without
//!    overflow.

use super::carried::Carried;
use super::{Partial, Sums};
use crate::bytes::{Cursor, Fault};
use crate::chunks::ChunkSet;
use crate::statistics::{self, Statistics};

/// The format that this version writes and reads.
const FORMAT: u32 = 3;
/// Bytes before the ranges.
const HEADER: usize = 6 * 4 + 4 * 8;
/// `2^scale` and `2^-scale` are normal doubles.
const LARGEST_SCALE: i32 = 1022;

/// Why bytes are not a partial's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PartialDecodeError {
    /// Another version wrote them, or they are something else.
    #[error("partial sums in format {found}; this version reads format {FORMAT}")]
    Format {
        /// The format that they claim.
        found: u32,
    },
    /// They were cut, or go on after the end.
    #[error("partial sums of {found} bytes; by their header there must be {needed}")]
    Length {
        /// How many bytes there are.
        found: u64,
        /// How many there would have to be.
        needed: u128,
    },
    /// A value is none that a sum can have.
    #[error("partial sums, byte {at}: {what}")]
    Invalid {
        /// What is wrong.
        what: &'static str,
        /// Offset of the first byte of the value.
        at: usize,
    },
}

impl From<Fault> for PartialDecodeError {
    fn from(Fault { what, at }: Fault) -> Self {
        Self::Invalid { what, at }
    }
}

impl Partial {
    /// Appends the canonical bytes. Equal sums append equal bytes, in whatever order they were
    /// added.
    pub fn write_to(&self, out: &mut Vec<u8>) {
        let Sums { scale, n_chunks, rows, samples, largest, statistics, carried } = &self.sums;
        let ranges = self.chunks.ranges();
        let pieces = carried.pieces();
        let values = 8 * (ranges.len() + rows.len() + samples.len() + pieces.len());
        out.reserve(HEADER + statistics::BYTES + values + 4 * carried.len());
        out.extend(FORMAT.to_le_bytes());
        out.extend(scale.to_le_bytes());
        out.extend(n_chunks.to_le_bytes());
        out.extend(largest.to_le_bytes());
        out.extend((rows.len() as u64).to_le_bytes());
        out.extend((samples.len() as u64).to_le_bytes());
        out.extend(carried.whole().to_le_bytes());
        out.extend((carried.len() as u64).to_le_bytes());
        out.extend((ranges.len() as u32).to_le_bytes());
        out.extend((pieces.len() as u32).to_le_bytes());
        for range in ranges {
            out.extend(range.start.to_le_bytes());
            out.extend(range.end.to_le_bytes());
        }
        statistics.write_to(out);
        write_integers(rows, out);
        write_integers(samples, out);
        for piece in pieces {
            out.extend(piece.chunk.to_le_bytes());
            out.extend((piece.len as u32).to_le_bytes());
        }
        carried.words().for_each(|word| out.extend(word.to_le_bytes()));
    }

    /// Reads what [`Partial::write_to`] wrote, and nothing else.
    ///
    /// # Errors
    /// [`PartialDecodeError`]: what is wrong, and where.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, PartialDecodeError> {
        let found = bytes.len() as u64;
        if bytes.len() < HEADER {
            return Err(PartialDecodeError::Length { found, needed: HEADER as u128 });
        }
        let mut cursor = Cursor::new(bytes);
        let format = u32::from_le_bytes(cursor.take()?);
        if format != FORMAT {
            return Err(PartialDecodeError::Format { found: format });
        }
        let scale = i32::from_le_bytes(cursor.take()?);
        let possible = (-LARGEST_SCALE..=LARGEST_SCALE).contains(&scale);
        cursor.check(possible, "the scale is beyond the range of doubles")?;
        let n_chunks = u32::from_le_bytes(cursor.take()?);
        let largest = f32::from_le_bytes(cursor.take()?);
        let magnitude = largest.is_finite() && largest.is_sign_positive();
        cursor.check(magnitude, "the largest magnitude is not one")?;
        let parameters = u64::from_le_bytes(cursor.take()?);
        let separate = u64::from_le_bytes(cursor.take()?);
        let all_or_none = separate == 0 || separate == parameters;
        cursor.check(all_or_none, "only some parameters have a sum over samples")?;
        let whole = u64::from_le_bytes(cursor.take()?);
        let carried = u64::from_le_bytes(cursor.take()?);
        cursor.check(carried <= whole, "more words are carried than the step has")?;
        let n_ranges = u32::from_le_bytes(cursor.take()?);
        let n_pieces = u32::from_le_bytes(cursor.take()?);
        // From here on every length is that of bytes that are there.
        let values = [n_ranges.into(), n_pieces.into(), parameters, separate].map(u128::from);
        let values = 8 * values.iter().sum::<u128>() + 4 * u128::from(carried);
        let needed = (HEADER + statistics::BYTES) as u128 + values;
        if u128::from(found) != needed {
            return Err(PartialDecodeError::Length { found, needed });
        }
        let chunks = read_chunks(&mut cursor, n_ranges as usize, n_chunks)?;
        let statistics = Statistics::read_from(&mut cursor, chunks.len())?;
        let rows = read_integers(cursor.slice(8 * parameters as usize)?);
        let samples = read_integers(cursor.slice(8 * separate as usize)?);
        let pieces = cursor.slice(8 * n_pieces as usize)?.as_chunks::<8>().0;
        let carried = read_carried(&mut cursor, pieces, &chunks, carried as usize, whole)?;
        let sums = Sums { scale, n_chunks, rows, samples, largest, statistics, carried };
        Ok(Self { sums, chunks })
    }
}

fn read_chunks(cursor: &mut Cursor, n_ranges: usize, n_chunks: u32) -> Result<ChunkSet, Fault> {
    let ends = cursor.slice(8 * n_ranges)?.as_chunks::<8>().0;
    let ranges = ends.iter().map(|[a, b, c, d, ends @ ..]| {
        u32::from_le_bytes([*a, *b, *c, *d])..u32::from_le_bytes(*ends)
    });
    let set = ChunkSet::from_ranges(ranges).filter(|set| set.ranges().len() == n_ranges);
    let set = set.ok_or(cursor.fault("ranges of chunks are empty, not apart or not ascending"))?;
    let end = set.ranges().last().map_or(0, |range| range.end);
    cursor.check(end <= n_chunks, "the step has no such chunk")?;
    Ok(set)
}

fn read_carried(
    cursor: &mut Cursor,
    pieces: &[[u8; 8]],
    chunks: &ChunkSet,
    count: usize,
    whole: u64,
) -> Result<Carried, Fault> {
    let (mut carried, mut next, mut left) = (Carried::new(whole), 0, count);
    let unsound = cursor.fault("chunks that carry words are not in order, or not among the summed");
    let words = cursor.slice(4 * count)?.as_chunks::<4>().0;
    let mut words = words.iter().map(|word| u32::from_le_bytes(*word));
    for [a, b, c, d, len @ ..] in pieces {
        let chunk = u32::from_le_bytes([*a, *b, *c, *d]);
        let len = u32::from_le_bytes(*len) as usize;
        if chunk < next || !chunks.contains(chunk) || len == 0 || len > left {
            return Err(unsound);
        }
        carried.extend(chunk, words.by_ref().take(len));
        (next, left) = (chunk.saturating_add(1), left - len);
    }
    if left == 0 { Ok(carried) } else { Err(unsound) }
}

/// Appends `values`. The compiler makes it one copy.
fn write_integers(values: &[i64], out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + 8 * values.len(), 0);
    for (bytes, value) in out[start..].as_chunks_mut().0.iter_mut().zip(values) {
        *bytes = value.to_le_bytes();
    }
}

fn read_integers(bytes: &[u8]) -> Vec<i64> {
    bytes.as_chunks().0.iter().map(|value| i64::from_le_bytes(*value)).collect()
}
