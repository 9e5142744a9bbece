//! Measured quantities against a size, on two logarithmic axes, beside what is expected.

use super::{
    PlotError,
    figure::{Drawn, Key, Mark, Sheet, figure, no_data},
    number::drawable,
    panel::{Axis, Margins, Panel},
    series::{Xy, widen},
    style::{ACCENT, DATA, INK, MODEL, TRUTH, YARDSTICKS, pale, stroke},
};

const SIZE: (u32, u32) = (900, 520);
/// In this order; a sixth curve is drawn in ink.
const COLOURS: [plotters::style::RGBColor; 5] = [MODEL, DATA, TRUTH, ACCENT, YARDSTICKS[3]];
/// Errors by which a value must differ from zero to be drawn as a value.
const SEEN: f64 = 2.0;
/// Length of the tail of what is only known to be smaller, decades.
const TAIL: f64 = 0.18;

/// A measured value at a size. Both axes are logarithmic: of the value its magnitude is drawn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measured {
    /// The size, above zero.
    pub x: f64,
    /// The value.
    pub y: f64,
    /// Its standard error; zero if it has none to speak of.
    pub se: f64,
}

/// One quantity over sizes.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Trend {
    /// What it is.
    pub name: String,
    /// What was measured, ascending in size.
    pub measured: Vec<Measured>,
    /// Size and value by theory or a fitted model; dashes.
    pub theory: Vec<(f64, f64)>,
}

/// The numbers of [`scaling`].
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Scaling {
    /// Title of the picture.
    pub title: &'static str,
    /// Names of the axes.
    pub axes: [&'static str; 2],
    /// The quantities.
    pub trends: Vec<Trend>,
}

/// Quantities against a size. Bars are one standard error; a value that does not differ from zero
/// by two is drawn as the limit that two errors are, with a tail downwards.
///
/// # Errors
/// [`PlotError::Draw`] if the drawing back end fails.
pub fn scaling(picture: &Scaling) -> Result<String, PlotError> {
    let trends: Vec<Drawing> = picture.trends.iter().map(Drawing::new).collect();
    let all = || trends.iter().flat_map(Drawing::places);
    let range = |of: fn(&Xy) -> f64| {
        let ends = all().fold((f64::INFINITY, f64::NEG_INFINITY), |(lo, hi), p| {
            (lo.min(of(&p)), hi.max(of(&p)))
        });
        (ends.0 <= ends.1).then(|| widen(ends.0, ends.1.max(ends.0 + 0.1), 0.05))
    };
    let (Some(x), Some(y)) = (range(|p| p.0), range(|p| p.1)) else {
        return no_data(picture.title, SIZE);
    };
    let colour = |i: usize| COLOURS.get(i).copied().unwrap_or(INK);
    let mut keys: Vec<Key> = picture
        .trends
        .iter()
        .enumerate()
        .map(|(i, trend)| Key::new(Mark::Line, colour(i), &*trend.name))
        .collect();
    if trends.iter().any(|trend| !trend.theory.is_empty()) {
        keys.push(Key::new(Mark::Dashes, INK, "expected"));
    }
    if trends.iter().any(|trend| !trend.limits.is_empty()) {
        keys.push(Key::new(Mark::None, INK, "with a tail: no more than this"));
    }
    let sheet = Sheet { size: SIZE, title: picture.title, subtitle: None, keys: &keys };
    figure(&sheet, |area, _| {
        let [name_x, name_y] = picture.axes;
        let axes = (Axis::log10(x, name_x), Axis::log10(y, name_y));
        let mut panel = Panel::new(area, &axes.0, &axes.1, Margins::LABELLED)?;
        for (i, trend) in trends.iter().enumerate() {
            trend.draw(&mut panel, colour(i))?;
        }
        Ok(())
    })
}

/// A trend in base-ten logarithms.
struct Drawing {
    values: Vec<Xy>,
    /// Neighbours that are both values.
    lines: Vec<[Xy; 2]>,
    /// Size, and the ends of an error bar.
    bars: Vec<(f64, f64, f64)>,
    limits: Vec<Xy>,
    theory: Vec<Xy>,
}

impl Drawing {
    fn new(trend: &Trend) -> Self {
        let log = |(x, y): Xy| {
            let place = (x.log10(), y.abs().log10());
            (drawable(place.0) && drawable(place.1)).then_some(place)
        };
        let (mut values, mut bars, mut limits) = (Vec::new(), Vec::new(), Vec::new());
        let (mut lines, mut before) = (Vec::new(), None);
        for &Measured { x, y, se } in &trend.measured {
            let size = y.abs();
            if size > SEEN * se {
                let ends = (log((x, size - se)), log((x, size + se)));
                let here = log((x, y));
                values.extend(here);
                lines.extend(before.zip(here).map(|(a, b)| [a, b]));
                before = here;
                if let (true, (Some(low), Some(high))) = (se > 0.0, ends) {
                    bars.push((low.0, low.1, high.1));
                }
            } else {
                limits.extend(log((x, SEEN * se)));
                before = None;
            }
        }
        let theory = trend.theory.iter().filter_map(|&p| log(p)).collect();
        Self { values, lines, bars, limits, theory }
    }

    fn places(&self) -> impl Iterator<Item = Xy> {
        let tails = self.limits.iter().map(|&(x, y)| (x, y - TAIL));
        let bars = self.bars.iter().flat_map(|&(x, low, high)| [(x, low), (x, high)]);
        self.values.iter().chain(&self.theory).chain(&self.limits).copied().chain(tails).chain(bars)
    }

    fn draw(&self, panel: &mut Panel<'_, '_>, colour: plotters::style::RGBColor) -> Drawn {
        for line in &self.lines {
            panel.line(line, pale(colour, 0.5))?;
        }
        panel.dashes(&self.theory, stroke(colour, 1.5))?;
        for &(x, low, high) in &self.bars {
            panel.line(&[(x, low), (x, high)], stroke(colour, 1.5))?;
        }
        for &(x, y) in &self.limits {
            panel.line(&[(x, y - TAIL), (x, y)], stroke(colour, 1.5))?;
        }
        panel.dots(self.values.iter().copied(), 3.5, colour, 1.0)?;
        panel.dots(self.limits.iter().copied(), 2.5, colour, 0.6)
    }
}
