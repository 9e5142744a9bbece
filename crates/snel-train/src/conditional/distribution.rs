//! The distribution of one target at one `x`, given by weighted samples.

/// Values in ascending order with weights that sum to one.
#[derive(Debug, Clone, PartialEq)]
pub struct Distribution {
    values: Vec<f64>,
    weights: Vec<f64>,
    /// Sum of the weights up to each value, itself included.
    below: Vec<f64>,
}

impl Distribution {
    /// The distribution of `values` with log-weights `log_weights`; those that are not finite count
    /// nothing. None if nothing counts.
    pub fn new(values: impl Iterator<Item = f64>, log_weights: &[f64]) -> Option<Self> {
        let largest = log_weights.iter().copied().filter(|lw| lw.is_finite());
        let largest = largest.fold(f64::NEG_INFINITY, f64::max);
        let mut pairs: Vec<(f64, f64)> = values
            .zip(log_weights)
            .filter(|(value, lw)| value.is_finite() && lw.is_finite())
            .map(|(value, lw)| (value, (lw - largest).exp()))
            .collect();
        let total: f64 = pairs.iter().map(|(_, w)| w).sum();
        if total.is_nan() || total <= 0.0 {
            return None;
        }
        pairs.sort_by(|a, b| a.0.total_cmp(&b.0));
        let (values, weights): (Vec<f64>, Vec<f64>) =
            pairs.into_iter().map(|(value, w)| (value, w / total)).unzip();
        let mut sum = 0.0;
        let below = weights.iter().map(|w| {
            sum += w;
            sum
        });
        let below = below.collect();
        Some(Self { values, weights, below })
    }

    /// Its mean.
    pub fn mean(&self) -> f64 {
        self.values.iter().zip(&self.weights).map(|(value, w)| value * w).sum()
    }

    /// Probability of values below `y`.
    pub fn cdf(&self, y: f64) -> f64 {
        let after = self.values.partition_point(|value| *value < y);
        if after == 0 { 0.0 } else { self.below[after - 1].min(1.0) }
    }

    /// The smallest value that at least a share of `level` lies at or below.
    pub fn quantile(&self, level: f64) -> f64 {
        let at = self.below.partition_point(|below| *below < level);
        self.values[at.min(self.values.len() - 1)]
    }

    /// The shortest interval that holds at least a share of `level`.
    pub fn shortest_interval(&self, level: f64) -> [f64; 2] {
        let last = self.values.len() - 1;
        let mut best = [self.values[0], self.values[last]];
        let mut high = 0;
        for low in 0..=last {
            let before = self.below[low] - self.weights[low];
            while high < last && self.below[high] - before < level {
                high += 1;
            }
            if self.below[high] - before < level {
                break;
            }
            if self.values[high] - self.values[low] < best[1] - best[0] {
                best = [self.values[low], self.values[high]];
            }
        }
        best
    }

    /// The continuous ranked probability score of an observed `y`, `E|Y - y| - E|Y - Y'| / 2`
    /// (Gneiting, Raftery 2007): in the units of `y`, smaller is better.
    pub fn crps(&self, y: f64) -> f64 {
        let (mut distance, mut spread) = (0.0, 0.0);
        for ((value, w), below) in self.values.iter().zip(&self.weights).zip(&self.below) {
            distance += w * (value - y).abs();
            // Every pair counts once with a plus and once with a minus: Σ w v (F + F_before - 1).
            spread += w * value * (2.0 * below - w - 1.0);
        }
        distance - spread
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uniform(n: usize) -> Distribution {
        let values = (0..n).map(|i| (i as f64 + 0.5) / n as f64);
        Distribution::new(values, &vec![3.0; n]).unwrap()
    }

    /// Of a uniform variable the score is `y² - y + 1/3`; of `n` points in its place it is off by
    /// less than `1/n`.
    #[test]
    fn agrees_with_the_uniform_distribution() {
        let d = uniform(1000);
        assert!((d.mean() - 0.5).abs() < 1e-12);
        for y in [0.1, 0.5, 0.93] {
            assert!((d.cdf(y) - y).abs() < 1e-3);
            assert!((d.quantile(y) - y).abs() < 1e-3);
            assert!((d.crps(y) - (y * y - y + 1.0 / 3.0)).abs() < 1e-3);
        }
        let [low, high] = d.shortest_interval(0.3);
        assert!((high - low - 0.3).abs() < 2e-3);
        assert_eq!((d.cdf(-1.0), d.quantile(0.0), d.quantile(1.0)), (0.0, 0.0005, 0.9995));
    }

    /// Weights `2 y` make the density of `2 y`: its mean is 2/3, its median the root of 1/2, and the
    /// shortest interval that holds half of it lies at its upper end.
    #[test]
    fn weights_make_the_density() {
        let n = 2000;
        let values = || (0..n).map(|i| (f64::from(i) + 0.5) / f64::from(n));
        let logs: Vec<f64> = values().map(|y| 100.0 + y.ln()).collect();
        let d = Distribution::new(values(), &logs).unwrap();
        assert!((d.mean() - 2.0 / 3.0).abs() < 1e-3);
        assert!((d.quantile(0.5) - 0.5f64.sqrt()).abs() < 1e-3);
        let [low, high] = d.shortest_interval(0.5);
        assert!((low - 0.5f64.sqrt()).abs() < 2e-3 && high > 0.999);
    }

    #[test]
    fn what_is_not_finite_counts_nothing() {
        let logs = [0.0, f64::NAN, f64::NEG_INFINITY, 0.0];
        let d = Distribution::new([1.0, 7.0, 8.0, 2.0].into_iter(), &logs).unwrap();
        assert_eq!((d.mean(), d.crps(1.5)), (1.5, 0.25));
        assert_eq!(Distribution::new([1.0].into_iter(), &[f64::NAN]), None);
    }
}
