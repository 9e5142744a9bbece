//! Random permutations without memory.
//!
//! A six-round Feistel network over an even number of bits (at least eight) that holds `len`, with
//! Philox as the round function and cycle walking for numbers outside (Black and Rogaway,
//! *Ciphers with arbitrary finite domains*, 2002). The image of one index costs a few blocks, so
//! the row of any position of any pass over the data is known without a shuffled index array.
//!
//! Invariant: for fixed (key, tag, len), `at` is a bijection of `0..len`.

use crate::philox::Key;
use crate::vectorise::vectorised;

/// Halves of one or two bits leave the round function too few choices: some orders never occur.
const MIN_HALF_BITS: u32 = 4;
const ROUNDS: u32 = 6;
/// Indices walked side by side.
const LANES: usize = 32;

/// A permutation of `0..len`.
#[derive(Debug, Clone, Copy)]
pub struct Permutation {
    key: Key,
    tag: u32,
    len: u64,
    half_bits: u32,
}

impl Permutation {
    /// The permutation named by `key` and `tag` (the number of the pass, say).
    pub fn new(key: Key, tag: u32, len: u64) -> Self {
        let bits = 64 - len.saturating_sub(1).leading_zeros();
        Self { key, tag, len, half_bits: bits.div_ceil(2).max(MIN_HALF_BITS) }
    }

    /// Image of `index`, which must be below `len`.
    pub fn at(&self, index: u64) -> u64 {
        let mut image = [index];
        self.map(&mut image);
        image[0]
    }

    /// Replaces indices, all below `len`, by their images.
    pub fn map(&self, indices: &mut [u64]) {
        for block in indices.chunks_mut(LANES) {
            debug_assert!(block.iter().all(|&index| index < self.len));
            self.map_block(block);
        }
    }

    /// The network permutes a power of four; walking its cycle until it re-enters `0..len` keeps
    /// the map a bijection. From 64 rows on that takes under four steps on average.
    fn map_block(&self, block: &mut [u64]) {
        let mut walking: [usize; LANES] = std::array::from_fn(|i| i);
        let mut left = block.len();
        while left > 0 {
            let mut values = [0; LANES];
            for (value, &place) in values.iter_mut().zip(&walking[..left]) {
                *value = block[place];
            }
            self.encrypt(&mut values);
            let mut still = 0;
            for i in 0..left {
                block[walking[i]] = values[i];
                if values[i] >= self.len {
                    walking[still] = walking[i];
                    still += 1;
                }
            }
            left = still;
        }
    }

    fn encrypt(&self, values: &mut [u64; LANES]) {
        let mask = (1u64 << self.half_bits) - 1;
        let Self { key, tag, half_bits, .. } = *self;
        vectorised(
            #[inline(always)]
            || {
                for value in values {
                    let (mut left, mut right) = (*value >> half_bits, *value & mask);
                    for round in 0..ROUNDS {
                        let words = key.block(tag, right, round);
                        let mixed = u64::from(words[0]) | u64::from(words[1]) << 32;
                        (left, right) = (right, (left ^ mixed) & mask);
                    }
                    *value = left << half_bits | right;
                }
            },
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::philox::Stream;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn is_a_bijection(seed: u32, tag: u32, len in 1u64..600) {
            let permutation = Permutation::new(Key::new(seed, Stream::Shuffle), tag, len);
            let mut seen = vec![false; len as usize];
            let mut images: Vec<u64> = (0..len).collect();
            permutation.map(&mut images);
            for (index, &image) in (0..len).zip(&images) {
                prop_assert_eq!(image, permutation.at(index));
                prop_assert!(image < len);
                prop_assert!(!std::mem::replace(&mut seen[image as usize], true));
            }
        }
    }

    /// Each of the 24 orders of four things should appear about equally often. Chi-square with 23
    /// degrees of freedom exceeds 49.7 once in a thousand times; the seeds are fixed.
    #[test]
    fn orders_are_even() {
        let mut counts = std::collections::HashMap::new();
        for tag in 0..24_000 {
            let permutation = Permutation::new(Key::new(1, Stream::Shuffle), tag, 4);
            *counts.entry([0, 1, 2, 3].map(|i| permutation.at(i))).or_insert(0u32) += 1;
        }
        assert_eq!(counts.len(), 24);
        let chi2: f64 = counts.values().map(|&c| (f64::from(c) - 1000.0).powi(2) / 1000.0).sum();
        assert!(chi2 < 49.7, "chi-square {chi2}");
    }
}
