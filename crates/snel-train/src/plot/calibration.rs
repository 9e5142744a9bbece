//! Whether predicted probabilities hold: the PIT histogram and the coverage of central intervals.

use super::{
    PlotError,
    figure::{Key, Mark, Sheet, figure, no_data},
    number::drawable,
    panel::{Axis, Margins, Panel},
    series::Xy,
    style::{AXIS, MODEL, fill, stroke},
};

const SIZE: (u32, u32) = (720, 460);

/// Histogram of the probability integral transform: `shares` of the rows by the predicted
/// distribution function at the observed value, in equal cells from 0 to 1.
///
/// Calibrated predictions give a level histogram; a heap in the middle says that they are too wide,
/// heaps at both ends that they are too narrow.
///
/// # Errors
/// [`PlotError::Draw`] if the drawing back end fails.
pub fn pit(shares: &[f64]) -> Result<String, PlotError> {
    const TITLE: &str = "Observed values in the predicted distribution";
    let fit = !shares.is_empty() && shares.iter().all(|share| drawable(*share) && *share >= 0.0);
    if !fit {
        return no_data(TITLE, SIZE);
    }
    let level = 1.0 / shares.len() as f64;
    let top = shares.iter().copied().fold(2.0 * level, f64::max) * 1.05;
    let keys = [
        Key::new(Mark::Bar, MODEL, "share of the rows"),
        Key::new(Mark::Dashes, AXIS, "calibrated"),
    ];
    let sheet = Sheet { size: SIZE, title: TITLE, subtitle: None, keys: &keys };
    figure(&sheet, |area, _| {
        let x = Axis::linear((0.0, 1.0), 6, "predicted probability of less than was observed");
        let y = Axis::linear((0.0, top), 5, "share in each cell");
        let mut panel = Panel::new(area, &x, &y, Margins::LABELLED)?;
        for (i, share) in shares.iter().enumerate() {
            panel.bar(i as f64 * level, (i + 1) as f64 * level, *share, fill(MODEL, 0.45))?;
        }
        panel.level(level, stroke(AXIS, 1.5))
    })
}

/// Shares of rows within central intervals, against the probability of the interval:
/// `(probability, share)`.
///
/// # Errors
/// [`PlotError::Draw`] if the drawing back end fails.
pub fn coverage(shares: &[(f64, f64)]) -> Result<String, PlotError> {
    const TITLE: &str = "Coverage of central intervals";
    let inside = |v: f64| (0.0..=1.0).contains(&v);
    let curve: Vec<Xy> = shares.iter().copied().filter(|p| inside(p.0) && inside(p.1)).collect();
    if curve.is_empty() {
        return no_data(TITLE, SIZE);
    }
    let keys = [
        Key::new(Mark::Line, MODEL, "share of the rows"),
        Key::new(Mark::Dashes, AXIS, "calibrated"),
    ];
    let sheet = Sheet { size: SIZE, title: TITLE, subtitle: None, keys: &keys };
    figure(&sheet, |area, _| {
        let x = Axis::linear((0.0, 1.0), 6, "probability of the interval");
        let y = Axis::linear((0.0, 1.0), 6, "rows within it");
        let mut panel = Panel::new(area, &x, &y, Margins::LABELLED)?;
        panel.dashes(&[(0.0, 0.0), (1.0, 1.0)], stroke(AXIS, 1.5))?;
        panel.line(&curve, stroke(MODEL, 2.0))?;
        panel.dots(curve.iter().copied(), 2.5, MODEL, 1.0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_shows_no_data() {
        assert!(pit(&[]).unwrap().contains("no data yet"));
        assert!(pit(&[0.5, f64::NAN]).unwrap().contains("no data yet"));
        assert!(coverage(&[(0.5, f64::NAN)]).unwrap().contains("no data yet"));
        assert!(pit(&[0.25, 0.75]).unwrap().contains("share of the rows"));
        assert!(coverage(&[(0.5, 0.4)]).unwrap().contains("share of the rows"));
    }
}
