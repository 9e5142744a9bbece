//! Histograms as densities: bars whose areas add up to the share of the points inside the range.

use super::series::Xy;

/// Equal bins over a range.
#[derive(Debug, Clone)]
pub(super) struct Histogram {
    lo: f64,
    width: f64,
    heights: Vec<f64>,
}

impl Histogram {
    /// Densities of `values` in `bins` equal bins over `lo..=hi`; values outside count for the total.
    pub(super) fn new(values: &[f64], (lo, hi): (f64, f64), bins: usize) -> Histogram {
        let width = (hi - lo) / bins as f64;
        let mut heights = vec![0.0; bins];
        let one = 1.0 / (values.len().max(1) as f64 * width);
        for v in values.iter().filter(|v| (lo..=hi).contains(*v)) {
            // The upper end belongs to the last bin.
            let bin = (((v - lo) / width) as usize).min(bins - 1);
            heights[bin] += one;
        }
        Histogram { lo, width, heights }
    }

    /// The highest bar.
    pub(super) fn highest(&self) -> f64 {
        self.heights.iter().copied().fold(0.0, f64::max)
    }

    /// Bars that are not empty: left edge, right edge, height.
    pub(super) fn bars(&self) -> impl Iterator<Item = (f64, f64, f64)> {
        let bars = self.heights.iter().enumerate();
        bars.filter(|(_, h)| **h > 0.0).map(|(i, h)| (self.edge(i), self.edge(i + 1), *h))
    }

    /// The outline of all bars, from the baseline back to it.
    pub(super) fn outline(&self) -> Vec<Xy> {
        let mut out = vec![(self.lo, 0.0)];
        for (i, h) in self.heights.iter().enumerate() {
            out.extend([(self.edge(i), *h), (self.edge(i + 1), *h)]);
        }
        out.push((self.edge(self.heights.len()), 0.0));
        out
    }

    fn edge(&self, i: usize) -> f64 {
        self.lo + i as f64 * self.width
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn areas_are_shares_of_all_points() {
        let h = Histogram::new(&[0.0, 0.5, 1.0, 2.0, 9.0], (0.0, 2.0), 2);
        let bars: Vec<_> = h.bars().collect();
        // Two of five in the first bin of width one, two in the second (2.0 included), one outside.
        assert_eq!(bars, [(0.0, 1.0, 0.4), (1.0, 2.0, 0.4)]);
        assert_eq!(h.outline().first(), Some(&(0.0, 0.0)));
    }
}
