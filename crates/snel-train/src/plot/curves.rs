//! Curves against the training step: likelihood bounds, effective sample size, log-normaliser.

use super::{
    PlotError,
    figure::{Drawn, Key, Mark, Sheet, figure, no_data},
    number::{drawable, short},
    panel::{Axis, Margins, Panel},
    series::{Xy, clean, robust_range, smooth, step_range, thin, widen},
    style::{ACCENT, AXIS, DATA, MODEL, YARDSTICKS, fill, pale, stroke},
};

const SIZE: (u32, u32) = (900, 520);
/// Points of a drawn curve; more would not be seen.
const MOST_POINTS: usize = 1500;

/// A validation log-likelihood, known to lie between two bounds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    /// Training step of the evaluation.
    pub step: u64,
    /// SNL lower bound, nats per point.
    pub lower: f64,
    /// Importance-sampling upper bound, nats per point.
    pub upper: f64,
}

/// A log-likelihood to compare with, drawn as a horizontal line.
#[derive(Debug, Clone, PartialEq)]
pub struct Yardstick {
    /// What it is, for example `Gaussian`.
    pub name: String,
    /// Nats per point, in the units of the other curves.
    pub nats: f64,
}

/// The curves of [`bounds`]; all values in nats per point, larger is better.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Bounds {
    /// Step and minibatch SNL bound.
    pub train: Vec<(u64, f64)>,
    /// Validation intervals.
    pub validation: Vec<Interval>,
    /// Horizontal lines.
    pub yardsticks: Vec<Yardstick>,
    /// What the numbers are measured in, for example `nats per point, original units`.
    pub units: String,
}

/// Training bound and validation interval against step.
///
/// The vertical range follows the values after the first tenth of the run and leaves out the
/// extreme 2 %, so a wild start does not flatten the rest; what lies outside is cut off.
///
/// # Errors
/// [`PlotError::Draw`] if the drawing back end fails.
pub fn bounds(curves: &Bounds) -> Result<String, PlotError> {
    const TITLE: &str = "Log-likelihood during training";
    let raw = clean(&curves.train);
    let (smoothed, window) = smooth(&raw);
    let band: Vec<(f64, f64, f64)> = curves
        .validation
        .iter()
        .filter(|v| drawable(v.lower) && drawable(v.upper))
        .map(|v| (v.step as f64, v.lower, v.upper))
        .collect();
    let lower: Vec<Xy> = band.iter().map(|v| (v.0, v.1)).collect();
    let upper: Vec<Xy> = band.iter().map(|v| (v.0, v.2)).collect();
    if raw.is_empty() && band.is_empty() {
        return no_data(TITLE, SIZE);
    }
    let x = step_range([raw.as_slice(), &lower]);
    let y = likelihood_range((window > 1).then_some(&*smoothed), &raw, &band, x);
    let (y, yardsticks) = with_yardsticks(y, &curves.yardsticks);

    let mut keys = Vec::new();
    if !raw.is_empty() {
        keys.push(Key::new(Mark::Faint, MODEL, "training SNL bound"));
        if window > 1 {
            keys.push(Key::new(Mark::Line, MODEL, format!("its median over {window} records")));
        }
    }
    if !band.is_empty() {
        keys.push(Key::new(Mark::Line, DATA, "validation, lower and upper bound"));
    }
    keys.extend(yardsticks.iter().map(|(key, _)| key.clone()));

    let sheet = Sheet { size: SIZE, title: TITLE, subtitle: None, keys: &keys };
    figure(&sheet, |area, _| {
        let name = if curves.units.is_empty() { "nats per point" } else { &curves.units };
        let y_axis = Axis::linear(y, 6, name);
        let mut panel = Panel::new(area, &Axis::steps(x), &y_axis, Margins::LABELLED)?;
        for (key, nats) in &yardsticks {
            panel.level(*nats, stroke(key.colour, 1.5))?;
        }
        let faint = if window > 1 { 0.25 } else { 0.9 };
        panel.line(&thin(&raw, MOST_POINTS), pale(MODEL, faint))?;
        panel.band(&band, fill(DATA, 0.3))?;
        if window > 1 {
            panel.line(&smoothed, stroke(MODEL, 2.0))?;
        }
        for edge in [&lower, &upper] {
            panel.line(edge, stroke(DATA, 1.5))?;
            if edge.len() <= 40 {
                panel.dots(edge.iter().copied(), 2.5, DATA, 1.0)?;
            }
        }
        Ok(())
    })
}

/// The vertical range of [`bounds`]; the last validation interval is always inside.
///
/// The smoothed curve and the intervals decide. Single steps are noisy: their bulk may widen the
/// range by its own width at most, and decides only where there is nothing else.
fn likelihood_range(
    smoothed: Option<&[Xy]>,
    raw: &[Xy],
    band: &[(f64, f64, f64)],
    x: (f64, f64),
) -> (f64, f64) {
    let late = |points: &[Xy]| -> Vec<f64> {
        let from = x.0 + 0.1 * (x.1 - x.0);
        points.iter().filter(|p| p.0 >= from).map(|p| p.1).collect()
    };
    let join = |a: (f64, f64), b: (f64, f64)| (a.0.min(b.0), a.1.max(b.1));
    let ends: Vec<Xy> = band.iter().flat_map(|v| [(v.0, v.1), (v.0, v.2)]).collect();
    let last = band.last().map(|v| (v.1, v.2));
    let core = [
        smoothed.and_then(|points| robust_range(&mut late(points), 0.02)),
        robust_range(&mut late(&ends), 0.05),
        last,
    ];
    let core = core.into_iter().flatten().reduce(join);
    let steps = robust_range(&mut late(raw), 0.02);
    let (lo, hi) = match (core, steps) {
        (Some((lo, hi)), Some((low, high))) => {
            let width = hi - lo;
            join((lo, hi), (low.max(lo - width), high.min(hi + width)))
        }
        (only, None) | (None, only) => only.unwrap_or((0.0, 1.0)),
    };
    widen(lo, hi, 0.02)
}

/// Widens the range for near yardsticks; far ones are named in the legend as off the picture.
fn with_yardsticks((lo, hi): (f64, f64), all: &[Yardstick]) -> ((f64, f64), Vec<(Key, f64)>) {
    let reach = 0.8 * (hi - lo);
    let (mut low, mut high) = (lo, hi);
    let mut out = Vec::new();
    for (i, yardstick) in all.iter().filter(|y| drawable(y.nats)).enumerate() {
        let (name, nats) = (&yardstick.name, yardstick.nats);
        let mut label = format!("{name} {}", short(nats, 4));
        if nats < lo - reach {
            label += " (below the picture)";
        } else if nats > hi + reach {
            label += " (above the picture)";
        } else {
            low = low.min(nats - 0.04 * (hi - lo));
            high = high.max(nats + 0.04 * (hi - lo));
        }
        out.push((Key::new(Mark::Dashes, YARDSTICKS[i % YARDSTICKS.len()], label), nats));
    }
    ((low, high), out)
}

/// Effective sample size of the proposal samples, as a fraction of M, against step.
///
/// Fractions outside `(0, 1]` are left out: zero has no logarithm.
///
/// # Errors
/// [`PlotError::Draw`] if the drawing back end fails.
pub fn ess(fractions: &[(u64, f64)]) -> Result<String, PlotError> {
    const TITLE: &str = "Effective sample size";
    let raw: Vec<Xy> = clean(fractions)
        .into_iter()
        .filter(|p| p.1 > 0.0 && p.1 <= 1.0)
        .map(|p| (p.0, p.1.log10()))
        .collect();
    let mut values: Vec<f64> = raw.iter().map(|p| p.1).collect();
    let Some((lo, _)) = robust_range(&mut values, 0.005) else { return no_data(TITLE, SIZE) };
    let (smoothed, window) = smooth(&raw);
    let mut keys = vec![Key::new(Mark::Faint, MODEL, "records, each a mean over steps")];
    if window > 1 {
        keys.push(Key::new(Mark::Line, MODEL, format!("median over {window} records")));
    }
    let sheet = Sheet { size: SIZE, title: TITLE, subtitle: None, keys: &keys };
    figure(&sheet, |area, _| {
        let x = Axis::steps(step_range([raw.as_slice()]));
        let y = Axis::log10((lo.floor().min(-1.0), 0.0), "fraction of the proposal samples");
        let mut panel = Panel::new(area, &x, &y, Margins::LABELLED)?;
        let faint = if window > 1 { 0.25 } else { 0.9 };
        panel.line(&thin(&raw, MOST_POINTS), pale(MODEL, faint))?;
        if window > 1 {
            panel.line(&smoothed, stroke(MODEL, 2.0))?;
        }
        Ok(())
    })
}

/// The learned and the estimated log-normaliser at one step, in nats.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NormaliserPoint {
    /// Training step.
    pub step: u64,
    /// The learned `b`.
    pub b: f64,
    /// `log Ẑ` of the step's proposal samples.
    pub log_z: f64,
}

/// `b` and `log Ẑ` against step, and `b - log Ẑ` in a lower panel.
///
/// # Errors
/// [`PlotError::Draw`] if the drawing back end fails.
pub fn log_normaliser(points: &[NormaliserPoint]) -> Result<String, PlotError> {
    const TITLE: &str = "Log-normaliser: learned b and estimated log Ẑ";
    let curve = |value: fn(&NormaliserPoint) -> f64| {
        clean(&points.iter().map(|p| (p.step, value(p))).collect::<Vec<_>>())
    };
    let (b, log_z) = (curve(|p| p.b), curve(|p| p.log_z));
    let difference = curve(|p| p.b - p.log_z);
    if b.is_empty() && log_z.is_empty() {
        return no_data(TITLE, SIZE);
    }
    let x = step_range([b.as_slice(), &log_z]);
    let range = |curves: &[&[Xy]], tail: f64| {
        let mut values: Vec<f64> = curves.iter().flat_map(|c| c.iter().map(|p| p.1)).collect();
        robust_range(&mut values, tail)
    };
    let upper = range(&[&b, &log_z], 0.005).unwrap_or((0.0, 1.0));
    let lower = range(&[&difference], 0.02).unwrap_or((-1.0, 1.0));
    let lower = widen(lower.0.min(0.0), lower.1.max(0.0), 0.05);
    let (trend, window) = smooth(&difference);
    let mut keys =
        vec![Key::new(Mark::Faint, DATA, "log Ẑ of the samples"), Key::new(Mark::Line, MODEL, "b")];
    if window > 1 {
        let name = format!("b − log Ẑ, median over {window} records");
        keys.push(Key::new(Mark::Line, ACCENT, name));
    }
    let sheet = Sheet { size: SIZE, title: TITLE, subtitle: None, keys: &keys };
    figure(&sheet, |area, _| {
        let height = area.dim_in_pixel().1 as i32;
        let (top, bottom) = area.split_vertically(height * 56 / 100);
        let tight = Margins { bottom: 14.0, ..Margins::LABELLED };
        let x = Axis::steps(x);
        let mut panel = Panel::new(&top, &x.unlabelled(), &Axis::linear(upper, 5, "nats"), tight)?;
        panel.line(&thin(&log_z, MOST_POINTS), pale(DATA, 0.5))?;
        panel.line(&thin(&b, MOST_POINTS), stroke(MODEL, 2.0))?;
        let y = Axis::linear(lower, 3, "b − log Ẑ (nats)");
        let mut panel = Panel::new(&bottom, &x, &y, Margins::LABELLED)?;
        difference_panel(&mut panel, &difference, &trend, window)
    })
}

fn difference_panel(panel: &mut Panel<'_, '_>, raw: &[Xy], trend: &[Xy], window: usize) -> Drawn {
    panel.level(0.0, stroke(AXIS, 1.5))?;
    let faint = if window > 1 { 0.4 } else { 0.9 };
    panel.line(&thin(raw, MOST_POINTS), pale(ACCENT, faint))?;
    if window > 1 {
        panel.line(trend, stroke(ACCENT, 2.0))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_a_wild_start_nor_rare_outliers_flatten_the_bounds() {
        // From -4 up to -2, with 1 % of the steps at -1e6 and a start at -1e38.
        let raw: Vec<Xy> = (0..5000)
            .map(|i| match i {
                0..50 => (f64::from(i), -1e38),
                _ if i % 100 == 0 => (f64::from(i), -1e6),
                _ => (f64::from(i), -2.0 - 2.0 * (-f64::from(i) / 800.0).exp()),
            })
            .collect();
        let band = [(0.0, -1e9, -4.0), (2500.0, -2.2, -2.0), (4999.0, -2.1, -1.9)];
        let (lo, hi) = likelihood_range(None, &raw, &band, (0.0, 4999.0));
        assert!((-3.2..=-2.2).contains(&lo) && (-1.9..-1.6).contains(&hi), "{lo} {hi}");
    }

    #[test]
    fn yardsticks_widen_the_range_or_say_where_they_are() {
        let stick = |name: &str, nats| Yardstick { name: name.into(), nats };
        let all = [stick("near", -2.5), stick("far", -9.0), stick("none", f64::NAN)];
        let ((lo, hi), shown) = with_yardsticks((-2.0, -1.0), &all);
        assert!(lo < -2.5 && lo > -3.0 && hi == -1.0);
        let names: Vec<_> = shown.iter().map(|(key, _)| key.name.as_str()).collect();
        assert_eq!(names, ["near −2.500", "far −9.000 (below the picture)"]);
    }
}
