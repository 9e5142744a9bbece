//! Chance that a seed repeats.

use std::time::Duration;

use xxhash_rust::xxh3::xxh3_128;

/// A generator of numbers; equal seeds give equal numbers.
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5bf0_3635)
    }

    fn next(&mut self) -> u64 {
        // splitmix64
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `n`, which is not 0.
    pub(super) fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    /// A number of `range`, both ends included.
    pub(super) fn within(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }

    /// True so many times in a hundred.
    pub(super) fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    pub(super) fn between(&mut self, low: Duration, high: Duration) -> Duration {
        Duration::from_micros(self.within(low.as_micros() as u64, high.as_micros() as u64))
    }

    pub(super) fn up_to(&mut self, high: Duration) -> Duration {
        self.between(Duration::ZERO, high)
    }

    pub(super) fn pick<T: Copy>(&mut self, from: &[T]) -> Option<T> {
        if from.is_empty() { None } else { Some(from[self.below(from.len() as u64) as usize]) }
    }
}

/// A number that depends on every bit of `words`.
pub(super) fn mix(words: &[u128]) -> u128 {
    let mut bytes = [0; 96];
    for (i, word) in words.iter().enumerate() {
        bytes[16 * i..16 * (i + 1)].copy_from_slice(&word.to_le_bytes());
    }
    xxh3_128(&bytes[..16 * words.len()])
}
