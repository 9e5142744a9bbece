//! Random permutations without memory.
//!
//! A six-round Feistel network over an even number of bits (at least eight) that holds `len`, with
//! Philox as the round function and cycle walking for numbers outside (Black and Rogaway,
//! *Ciphers with arbitrary finite domains*, 2002). The image of one index costs a few blocks, so
//! the row of any position of any pass over the data is known without a shuffled index array.
//!
//! Invariant: for fixed (key, tag, len), `at` is a bijection of `0..len`.

use crate::philox::Key;

/// Halves of one or two bits leave the round function too few choices: some orders never occur.
const MIN_HALF_BITS: u32 = 4;
const ROUNDS: u32 = 6;

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
        debug_assert!(index < self.len);
        let mut image = self.encrypt(index);
        // The network permutes a power of four; walking its cycle until it re-enters 0..len keeps
        // the map a bijection. From 64 rows on that takes under four steps on average.
        while image >= self.len {
            image = self.encrypt(image);
        }
        image
    }

    fn encrypt(&self, value: u64) -> u64 {
        let mask = (1u64 << self.half_bits) - 1;
        let (mut left, mut right) = (value >> self.half_bits, value & mask);
        for round in 0..ROUNDS {
            let words = self.key.block(self.tag, right, round);
            let mixed = u64::from(words[0]) | u64::from(words[1]) << 32;
            (left, right) = (right, (left ^ mixed) & mask);
        }
        left << self.half_bits | right
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
            for index in 0..len {
                let image = permutation.at(index);
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
