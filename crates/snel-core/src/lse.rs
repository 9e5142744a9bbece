//! Streaming sums of weights given by their logarithms.
//!
//! The running maximum is factored out, so the sums neither overflow nor vanish whatever the
//! log-weights are (Milakov, Gimelshein 2018, *Online normalizer calculation for softmax*).
//!
//! Invariants
//! 1. `sum = Σ exp(lw - max)` and `sum_squares = Σ exp(2 (lw - max))` over all that was added.
//! 2. Merging parts in a fixed order gives fixed bits; another order differs by rounding only.
//!
//! `-inf` is a weight of zero and is counted. NaN and `+inf` must be kept out by the caller
//! ([`LogWeights::add`] says whether it took the value).

/// Sums over a set of log-weights.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LogWeights {
    count: u64,
    max: f64,
    sum: f64,
    sum_squares: f64,
}

impl Default for LogWeights {
    fn default() -> Self {
        Self { count: 0, max: f64::NEG_INFINITY, sum: 0.0, sum_squares: 0.0 }
    }
}

impl LogWeights {
    /// Adds one log-weight. Returns false, and does nothing, for NaN and `+inf`.
    pub fn add(&mut self, lw: f64) -> bool {
        if lw.is_nan() || lw == f64::INFINITY {
            return false;
        }
        self.count += 1;
        if lw > self.max {
            let shrink = (self.max - lw).exp();
            self.sum = self.sum * shrink + 1.0;
            self.sum_squares = self.sum_squares * shrink * shrink + 1.0;
            self.max = lw;
        } else if lw > f64::NEG_INFINITY {
            let w = (lw - self.max).exp();
            self.sum += w;
            self.sum_squares += w * w;
        }
        true
    }

    /// Adds everything that `other` holds.
    pub fn merge(&mut self, other: &Self) {
        let max = self.max.max(other.max);
        if max > f64::NEG_INFINITY {
            let (mine, theirs) = ((self.max - max).exp(), (other.max - max).exp());
            self.sum = self.sum * mine + other.sum * theirs;
            self.sum_squares = self.sum_squares * mine * mine + other.sum_squares * theirs * theirs;
        }
        self.max = max;
        self.count += other.count;
    }

    /// How many log-weights were added.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Largest log-weight; `-inf` if there is none.
    pub fn max(&self) -> f64 {
        self.max
    }

    /// `log Σ exp(lw)`; `-inf` if there is none.
    pub fn log_sum(&self) -> f64 {
        self.max + self.sum.ln()
    }

    /// `log Ẑ`, the logarithm of the mean weight.
    pub fn log_mean(&self) -> f64 {
        self.log_sum() - (self.count as f64).ln()
    }

    /// Effective sample size `(Σ w)^2 / Σ w^2` (Kish 1965); 0 if there is no weight.
    pub fn ess(&self) -> f64 {
        if self.sum_squares > 0.0 { self.sum * self.sum / self.sum_squares } else { 0.0 }
    }

    /// Share of the largest weight in the sum of weights.
    pub fn largest_share(&self) -> f64 {
        if self.sum > 0.0 { 1.0 / self.sum } else { 0.0 }
    }

    /// Standard error of the mean weight, relative to the mean: `sd(w) / (sqrt(M) mean(w))`.
    ///
    /// By the delta method it is also the standard error of `log Ẑ`, in nats. Infinite for fewer
    /// than two weights.
    pub fn relative_error(&self) -> f64 {
        if self.count < 2 || self.sum <= 0.0 {
            return f64::INFINITY;
        }
        let m = self.count as f64;
        // var(w) / mean(w)^2 = M / ESS - 1, with the M / (M - 1) of the unbiased variance.
        ((m / self.ess() - 1.0).max(0.0) / (m - 1.0)).sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(values: &[f64]) -> LogWeights {
        let mut sums = LogWeights::default();
        values.iter().for_each(|&lw| assert!(sums.add(lw)));
        sums
    }

    proptest! {
        /// Each addition rounds once; 200 terms stay within 1e-12 relative, whatever the offset.
        #[test]
        fn agrees_with_naive_sums(values in prop::collection::vec(-30.0f64..30.0, 1..200), offset in -1e4f64..1e4) {
            let shifted: Vec<f64> = values.iter().map(|v| v + offset).collect();
            let sums = of(&shifted);
            let naive: f64 = values.iter().map(|v| v.exp()).sum();
            let squares: f64 = values.iter().map(|v| (2.0 * v).exp()).sum();
            // Rounding of v + offset to f64 is up to 1e4 * 2^-53.
            prop_assert!((sums.log_sum() - offset - naive.ln()).abs() < 1e-10);
            prop_assert!((sums.ess() / (naive * naive / squares) - 1.0).abs() < 1e-9);
        }

        #[test]
        fn merge_equals_one_stream(values in prop::collection::vec(-700.0f64..700.0, 2..200), cut in 0.0f64..1.0) {
            let (a, b) = values.split_at((cut * values.len() as f64) as usize);
            let mut merged = of(a);
            merged.merge(&of(b));
            let whole = of(&values);
            prop_assert_eq!(merged.count(), whole.count());
            prop_assert_eq!(merged.max(), whole.max());
            prop_assert!((merged.log_sum() - whole.log_sum()).abs() < 1e-12 * 200.0);
            prop_assert!((merged.ess() / whole.ess() - 1.0).abs() < 1e-10);
        }
    }

    #[test]
    fn edge_values() {
        let mut sums = LogWeights::default();
        assert_eq!((sums.log_mean().is_nan(), sums.ess()), (true, 0.0));
        assert!(sums.add(f64::NEG_INFINITY));
        assert_eq!(sums.log_sum(), f64::NEG_INFINITY);
        assert!(!sums.add(f64::NAN) && !sums.add(f64::INFINITY));
        assert!(sums.add(-1e300) && sums.add(800.0));
        assert_eq!((sums.count(), sums.log_sum(), sums.ess()), (3, 800.0, 1.0));
        let mut empty = LogWeights::default();
        empty.merge(&LogWeights::default());
        assert_eq!(empty, LogWeights::default());
    }

    /// Constant weights: no variance, ESS = M.
    #[test]
    fn constant_weights() {
        let sums = of(&[3.25; 1000]);
        assert_eq!((sums.ess(), sums.log_mean(), sums.relative_error()), (1000.0, 3.25, 0.0));
    }
}
