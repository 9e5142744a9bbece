//! One-dimensional data: histogram and learned density.

use super::{
    PlotError,
    figure::{Key, Mark, Sheet, figure, no_data},
    histogram::Histogram,
    number::drawable,
    panel::{Axis, Margins, Panel},
    series::{Xy, quantile, widen},
    style::{DATA, MODEL, TRUTH, fill, stroke},
};

const SIZE: (u32, u32) = (900, 520);

/// The numbers of [`slice_1d`].
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Slice1d {
    /// Column name, with its unit if it has one.
    pub name: String,
    /// Data points, original units.
    pub data: Vec<f64>,
    /// Where the learned density was computed, ascending, and its logarithm there: `log p(x)` per
    /// original unit.
    pub learned: Vec<(f64, f64)>,
    /// The same for the true density, if known.
    pub truth: Option<Vec<(f64, f64)>>,
}

/// Histogram of one-dimensional data with the learned density over it, and the true one if given.
///
/// # Errors
/// [`PlotError::Draw`] if the drawing back end fails.
pub fn slice_1d(slice: &Slice1d) -> Result<String, PlotError> {
    const TITLE: &str = "Learned density and data";
    let learned = densities(&slice.learned);
    let truth = slice.truth.as_deref().map(densities).unwrap_or_default();
    let mut data: Vec<f64> = slice.data.clone();
    let ends = [quantile(&mut data, 0.001), quantile(&mut data, 0.999)];
    let x = match ends {
        [Some(lo), Some(hi)] => widen(lo, hi, 0.08),
        _ => match (learned.first(), learned.last()) {
            (Some(first), Some(last)) => widen(first.0, last.0, 0.0),
            _ => return no_data(TITLE, SIZE),
        },
    };
    let histogram = Histogram::new(&data, x, bins(data.len()));
    let curve_top = |curve: &[Xy]| {
        let inside = |p: &&Xy| (x.0..=x.1).contains(&p.0);
        let mut values: Vec<f64> = curve.iter().filter(inside).map(|p| p.1).collect();
        quantile(&mut values, 0.995).unwrap_or(0.0)
    };
    let top = histogram.highest().max(curve_top(&learned)).max(curve_top(&truth));
    let y = (0.0, if top > 0.0 { top * 1.1 } else { 1.0 });

    let mut keys = Vec::new();
    if !data.is_empty() {
        keys.push(Key::new(Mark::Bar, DATA, "data"));
    }
    if !truth.is_empty() {
        keys.push(Key::new(Mark::Dashes, TRUTH, "true density"));
    }
    if !learned.is_empty() {
        keys.push(Key::new(Mark::Line, MODEL, "learned density"));
    }
    let sheet = Sheet { size: SIZE, title: TITLE, subtitle: None, keys: &keys };
    figure(&sheet, |area, _| {
        let x = Axis::linear(x, 8, &slice.name);
        let y = Axis::linear(y, 5, "probability density");
        let mut panel = Panel::new(area, &x, &y, Margins::LABELLED)?;
        for (from, to, height) in histogram.bars() {
            panel.bar(from, to, height, fill(DATA, 0.35))?;
        }
        panel.dashes(&truth, stroke(TRUTH, 2.5))?;
        panel.line(&learned, stroke(MODEL, 2.0))
    })
}

/// `(x, exp(log density))`, drawable points only.
fn densities(curve: &[(f64, f64)]) -> Vec<Xy> {
    let density = curve.iter().map(|&(x, log)| (x, log.exp()));
    density.filter(|p| drawable(p.0) && drawable(p.1)).collect()
}

/// Bins for `n` points: about `2 n^(1/3)` (Rice's rule).
pub(super) fn bins(n: usize) -> usize {
    ((2.0 * (n as f64).cbrt()) as usize).clamp(10, 120)
}
