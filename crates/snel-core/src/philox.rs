//! Philox4x32-10, the only source of randomness.
//!
//! A counter-based generator (Salmon, Moraes, Dror, Shaw: *Parallel random numbers: as easy as
//! 1, 2, 3*, SC'11) is a keyed bijection of 128-bit counters. Draw number `k` of sample `i` of
//! step `t` is a function of `(seed, stream, t, i, k)` and of nothing else, so any thread or
//! worker can make any sample, and making it twice gives the same bits.
//!
//! Invariants
//! 1. No state: equal arguments give equal words, on every machine.
//! 2. Two streams of one seed never share a (key, counter) pair.
//!
//! Nothing here fails.

const MULTIPLIER: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];
const WEYL: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];
const ROUNDS: usize = 10;

/// What a family of random numbers is for. One stream a purpose: the draws of one never touch
/// those of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum Stream {
    /// Proposal samples of training steps.
    Proposal = 1,
    /// Proposal samples of the final evaluation.
    Evaluation = 2,
    /// Proposal samples of the validations during training.
    Validation = 3,
    /// Initial network parameters.
    Initialise = 4,
    /// Order of the rows inside a pass over the training data.
    Shuffle = 5,
    /// Assignment of rows to train, validation and test.
    Split = 6,
    /// Points drawn from a toy density.
    Toy = 7,
    /// Fitting of proposals (k-means++ starts, sub-sampling).
    Fit = 8,
    /// Points drawn from the model for the user (resampling, Langevin noise).
    Sample = 9,
    /// Proposal samples that give `b` its first value.
    StartB = 10,
    /// Chains of annealed importance sampling.
    Anneal = 11,
    /// Noise of the samples of `q(z|x)` in training steps.
    Posterior = 12,
    /// Grey values of images that become 0 or 1.
    Binarise = 13,
    /// Rows drawn from `p(x|z)` for the user.
    Decode = 14,
    /// Chains of maximum likelihood by Markov chains: their first places, starts and moves.
    Chains = 15,
    /// Order in which persistent chains are moved.
    ChainOrder = 16,
}

/// A key: the seed and the stream. Copy it freely.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    words: [u32; 2],
}

impl Key {
    /// The key of `stream` under `seed`.
    pub const fn new(seed: u32, stream: Stream) -> Self {
        Self { words: [seed, stream as u32] }
    }

    /// Seed and stream as words, for engines that run the generator elsewhere.
    pub const fn words(self) -> [u32; 2] {
        self.words
    }

    /// Four uniform 32-bit words: block `draw` of sample `sample` of step `step`.
    #[inline(always)]
    pub fn block(self, step: u32, sample: u64, draw: u32) -> [u32; 4] {
        philox4x32_10(self.words, [step, sample as u32, (sample >> 32) as u32, draw])
    }
}

/// The bijection itself: key and counter to four words.
#[inline(always)]
pub fn philox4x32_10(mut key: [u32; 2], mut counter: [u32; 4]) -> [u32; 4] {
    for _ in 0..ROUNDS {
        let p0 = u64::from(counter[0]) * u64::from(MULTIPLIER[0]);
        let p1 = u64::from(counter[2]) * u64::from(MULTIPLIER[1]);
        counter = [
            (p1 >> 32) as u32 ^ counter[1] ^ key[0],
            p1 as u32,
            (p0 >> 32) as u32 ^ counter[3] ^ key[1],
            p0 as u32,
        ];
        key = [key[0].wrapping_add(WEYL[0]), key[1].wrapping_add(WEYL[1])];
    }
    counter
}

/// A uniform number strictly inside (0, 1) from one word: `(word + 1/2) * 2^-32`, exact in f64.
#[inline(always)]
pub fn uniform(word: u32) -> f64 {
    (f64::from(word) + 0.5) * (1.0 / 4_294_967_296.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The three vectors for philox4x32-10 published with the authors' library (`kat_vectors`).
    #[test]
    fn published_vectors() {
        let cases = [
            ([0; 2], [0; 4], [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]),
            ([u32::MAX; 2], [u32::MAX; 4], [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]),
            (
                [0xa409_3822, 0x299f_31d0],
                [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344],
                [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1],
            ),
        ];
        for (key, counter, expected) in cases {
            assert_eq!(philox4x32_10(key, counter), expected);
        }
    }

    #[test]
    fn every_argument_matters() {
        let base = Key::new(7, Stream::Proposal).block(3, 5, 0);
        assert_ne!(base, Key::new(8, Stream::Proposal).block(3, 5, 0));
        assert_ne!(base, Key::new(7, Stream::Evaluation).block(3, 5, 0));
        assert_ne!(base, Key::new(7, Stream::Proposal).block(4, 5, 0));
        assert_ne!(base, Key::new(7, Stream::Proposal).block(3, 5 + (1 << 32), 0));
        assert_ne!(base, Key::new(7, Stream::Proposal).block(3, 5, 1));
    }

    #[test]
    fn uniform_stays_inside() {
        assert!(uniform(0) > 0.0);
        assert!(uniform(u32::MAX) < 1.0);
    }
}
