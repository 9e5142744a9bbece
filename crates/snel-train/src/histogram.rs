//! Counts of values in equal bins, filled as a stream.

use serde::{Deserialize, Serialize};

const BINS: usize = 80;

/// A histogram whose range is set by the first values; later ones outside fall into the end bins.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Histogram {
    /// Lower edge of the first bin.
    pub low: f64,
    /// Width of a bin.
    pub width: f64,
    /// Values in each bin.
    pub counts: Vec<u64>,
}

impl Histogram {
    /// Empty bins over the range of the finite `values` and a quarter of it more on both sides.
    pub fn spanning(values: &[f64]) -> Self {
        let finite = || values.iter().copied().filter(|v| v.is_finite());
        let (low, high) =
            (finite().fold(f64::INFINITY, f64::min), finite().fold(f64::NEG_INFINITY, f64::max));
        if low > high {
            return Self::default();
        }
        // A floor keeps equal values in the middle of a drawable range.
        let spread = (high - low).max(1e-3);
        let middle = 0.5 * (low + high);
        let width = 1.5 * spread / BINS as f64;
        Self { low: middle - 0.75 * spread, width, counts: vec![0; BINS] }
    }

    /// Counts the finite values.
    pub fn add_all(&mut self, values: &[f64]) {
        let Some(last) = self.counts.len().checked_sub(1) else { return };
        for v in values.iter().filter(|v| v.is_finite()) {
            let bin = ((v - self.low) / self.width).max(0.0) as usize;
            self.counts[bin.min(last)] += 1;
        }
    }

    /// The same counts with every edge moved by `offset`.
    #[must_use]
    pub fn shifted(mut self, offset: f64) -> Self {
        self.low += offset;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_everything_once() {
        let first = [0.0, 1.0, 2.0];
        let mut h = Histogram::spanning(&first);
        h.add_all(&first);
        h.add_all(&[-100.0, 100.0, f64::NAN, f64::NEG_INFINITY]);
        assert_eq!(h.counts.iter().sum::<u64>(), 5);
        assert_eq!((h.counts[0], h.counts[BINS - 1]), (1, 1));
        let middle = ((1.0 - h.low) / h.width) as usize;
        assert_eq!(h.counts[middle], 1);
    }

    #[test]
    fn equal_or_no_values() {
        let mut h = Histogram::spanning(&[4.0; 10]);
        h.add_all(&[4.0; 10]);
        assert_eq!(h.counts.iter().max(), Some(&10));
        let mut empty = Histogram::spanning(&[f64::NAN]);
        empty.add_all(&[1.0]);
        assert!(empty.counts.is_empty());
    }
}
