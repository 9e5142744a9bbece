//! How unequal the importance weights are: a histogram of log-weights.

use super::{
    PlotError,
    figure::{Key, Mark, Sheet, figure, no_data},
    number::{drawable, grouped, short},
    panel::{Axis, Margins, Panel},
    series::{quantile, widen},
    style::{AXIS, DATA, MODEL, fill, stroke},
};

const SIZE: (u32, u32) = (900, 520);
/// Left end of the picture at most, nats below the mean weight.
const FAINTEST: f64 = -15.0;
const BINS: usize = 60;

/// Histogram of log-weights `log d(x) - E(x) - log q(x)` of proposal samples, in nats.
///
/// Centred at `log Ẑ`, the log of their mean weight, so that 0 is a sample of average weight.
/// Bars count samples; the line shows the share of the total weight that each bin carries. A sample
/// outside the model's support (`-inf`) counts as a sample of weight zero; NaN and `+inf` are left
/// out. Below the title stand the effective sample size `(Σw)² / Σw²` and the largest weight's
/// share of the sum.
///
/// # Errors
/// [`PlotError::Draw`] if the drawing back end fails.
pub fn log_weights(log_weights: &[f64]) -> Result<String, PlotError> {
    const TITLE: &str = "Importance weights of the proposal samples";
    let Some(spread) = Spread::of(log_weights) else { return no_data(TITLE, SIZE) };
    let (range, bins) = spread.bins();
    let highest = bins.iter().map(|b| b.samples.max(b.weight)).fold(0.0, f64::max);

    let share = |part: f64, digits| format!("{} %", short(100.0 * part, digits));
    let mut subtitle = format!(
        "{} {}, effective sample size {} ({}), largest weight {} of the sum",
        grouped(spread.n),
        if spread.n == 1 { "sample" } else { "samples" },
        grouped(spread.ess.round() as usize),
        share(spread.ess / spread.n as f64, 3),
        share(spread.largest, 3),
    );
    let below = spread.n - spread.centred.iter().filter(|lw| **lw >= range.0).count();
    if below > 0 {
        subtitle.push_str("; ");
        subtitle.push_str(&share(below as f64 / spread.n as f64, 2));
        subtitle.push_str(" further left");
    }
    let keys = [
        Key::new(Mark::Bar, MODEL, "share of the samples"),
        Key::new(Mark::Line, DATA, "share of the total weight"),
    ];
    let sheet = Sheet { size: SIZE, title: TITLE, subtitle: Some(&subtitle), keys: &keys };
    figure(&sheet, |area, _| {
        let x = Axis::linear(range, 8, "log-weight − log Ẑ (nats)");
        let y = Axis::linear((0.0, highest * 1.06), 5, "share in each bin");
        let mut panel = Panel::new(area, &x, &y, Margins::LABELLED)?;
        let width = (range.1 - range.0) / BINS as f64;
        let edge = |i: usize| range.0 + i as f64 * width;
        for (i, bin) in bins.iter().enumerate().filter(|(_, b)| b.samples > 0.0) {
            panel.bar(edge(i), edge(i + 1), bin.samples, fill(MODEL, 0.45))?;
        }
        let outline: Vec<_> = bins
            .iter()
            .enumerate()
            .flat_map(|(i, bin)| [(edge(i), bin.weight), (edge(i + 1), bin.weight)])
            .collect();
        panel.line(&outline, stroke(DATA, 2.0))?;
        panel.dashes(&[(0.0, 0.0), (0.0, highest * 1.06)], stroke(AXIS, 1.5))
    })
}

/// The numbers of the histogram.
struct Spread {
    /// Samples, those of weight zero included.
    n: usize,
    /// Finite log-weights minus `log Ẑ`.
    centred: Vec<f64>,
    /// Effective sample size.
    ess: f64,
    /// Largest weight over the sum of weights.
    largest: f64,
}

/// What one bin holds of all samples and of all weight, as fractions.
#[derive(Debug, Clone, Copy, Default)]
struct Bin {
    samples: f64,
    weight: f64,
}

impl Spread {
    fn of(log_weights: &[f64]) -> Option<Spread> {
        let zeros = log_weights.iter().filter(|lw| **lw == f64::NEG_INFINITY).count();
        let mut centred: Vec<f64> =
            log_weights.iter().copied().filter(|lw| drawable(*lw)).collect();
        let n = zeros + centred.len();
        let max = centred.iter().copied().reduce(f64::max)?;
        let sum: f64 = centred.iter().map(|lw| (lw - max).exp()).sum();
        let squares: f64 = centred.iter().map(|lw| (2.0 * (lw - max)).exp()).sum();
        let log_z = max + (sum / n as f64).ln();
        for lw in &mut centred {
            *lw -= log_z;
        }
        Some(Spread { n, centred, ess: sum * sum / squares, largest: 1.0 / sum })
    }

    /// Range and contents of the bins: all of the right tail; of the left one all but 0.5 %, and
    /// nothing beyond [`FAINTEST`], where samples carry no weight to speak of.
    fn bins(&self) -> ((f64, f64), Vec<Bin>) {
        let mut sorted = self.centred.clone();
        let lo = quantile(&mut sorted, 0.005).unwrap_or(0.0).max(FAINTEST);
        let hi = sorted.last().copied().unwrap_or(0.0);
        let (lo, hi) = widen(lo.min(0.0), hi.max(0.0), 0.03);
        let mut bins = vec![Bin::default(); BINS];
        let n = self.n as f64;
        for lw in &self.centred {
            let at = (lw - lo) / (hi - lo) * BINS as f64;
            if let Some(bin) = (at >= 0.0).then(|| bins.get_mut(at as usize)).flatten() {
                bin.samples += 1.0 / n;
                // A centred weight has mean one over all samples.
                bin.weight += lw.exp() / n;
            }
        }
        ((lo, hi), bins)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn effective_size_and_shares_of_known_weights() {
        // Weights 1, 1, 2 and a sample outside the support; NaN is no sample.
        let lw = [5.0, 5.0, 5.0 + 2f64.ln(), f64::NEG_INFINITY, f64::NAN, f64::INFINITY];
        let spread = Spread::of(&lw).unwrap();
        assert_eq!(spread.n, 4);
        // (1+1+2)^2 / (1+1+4) and 2 / 4; a few roundings of exp and ln.
        assert!((spread.ess - 16.0 / 6.0).abs() < 1e-12);
        assert!((spread.largest - 0.5).abs() < 1e-12);
        // The mean weight of the four is 1, so the first is average.
        assert!(spread.centred[0].abs() < 1e-12);
        let (_, bins) = spread.bins();
        let total = bins.iter().fold((0.0, 0.0), |t, b| (t.0 + b.samples, t.1 + b.weight));
        assert!((total.0 - 0.75).abs() < 1e-12 && (total.1 - 1.0).abs() < 1e-12, "{total:?}");
    }

    #[test]
    fn nothing_and_only_zeros_show_no_data() {
        for lw in [vec![], vec![f64::NEG_INFINITY; 3], vec![f64::NAN]] {
            assert!(log_weights(&lw).unwrap().contains("no data yet"));
        }
        assert!(log_weights(&[0.0]).unwrap().contains("1 sample,"));
    }
}
