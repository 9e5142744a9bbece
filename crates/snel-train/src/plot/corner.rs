//! Corner plot: every column and every pair of columns, data against model samples.

use plotters::style::RGBColor;

use super::{
    PlotError,
    contours::contour,
    figure::{Area, Drawn, Key, Mark, Sheet, figure, no_data},
    histogram::Histogram,
    number::drawable,
    panel::{Axis, Margins, Panel, part},
    series::{Xy, quantile, sample, widen},
    slice::bins,
    style::{DATA, LABEL_PX, MODEL, pale, stroke, text_width},
};

/// Columns shown; more would be too small to read.
const MOST_COLUMNS: usize = 8;
/// Dots over all panels together.
const MOST_DOTS: usize = 4000;
const LEFT: f64 = 84.0;
const GAP: f64 = 8.0;
const HEAD: f64 = 76.0;
const FOOT: f64 = 60.0;

/// What the points of a [`corner`] are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Subject {
    /// Rows of data, and samples of the model.
    #[default]
    Rows,
    /// Means of `q(z|x)`, and points of the prior.
    Latents,
}

impl Subject {
    /// The title, and the names of the two sets of points.
    fn words(self) -> [&'static str; 3] {
        match self {
            Self::Rows => ["Data and model samples", "data", "model samples"],
            Self::Latents => ["Latent space", "means of q(z|x)", "prior"],
        }
    }
}

/// The numbers of [`corner`], in original units.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Corner {
    /// What the points are.
    pub subject: Subject,
    /// Name of each of the D columns.
    pub names: Vec<String>,
    /// Data, n x D, row-major.
    pub data: Vec<f64>,
    /// Model samples, m x D, row-major.
    pub model: Vec<f64>,
}

/// Corner plot of data against model samples: marginal histograms on the diagonal, below it the
/// contours that hold half and nine tenths of the points, over a thin scatter of the data.
///
/// The first eight columns are shown; the picture says so if there are more. Ranges cover all but
/// 0.2 % of the data at either end.
///
/// # Errors
/// [`PlotError::Shape`] if a table's length is no multiple of the number of columns,
/// [`PlotError::Draw`] if the drawing back end fails.
pub fn corner(corner: &Corner) -> Result<String, PlotError> {
    let [title, data_name, model_name] = corner.subject.words();
    let width = corner.names.len();
    for (what, rows) in [("the data", &corner.data), ("the model samples", &corner.model)] {
        if (width == 0 && !rows.is_empty()) || (width > 0 && rows.len() % width > 0) {
            let expected = format!("rows of {width} columns");
            return Err(PlotError::Shape { what, expected, found: rows.len() });
        }
    }
    let shown = width.min(MOST_COLUMNS);
    let columns: Option<Vec<Column>> = (0..shown).map(|j| Column::of(corner, j)).collect();
    let columns = columns.filter(|c| !c.is_empty());
    let Some(columns) = columns else { return no_data(title, (900, 520)) };

    let side = (820.0 / shown as f64 - GAP).min(280.0).floor();
    let extent = shown as f64 * (side + GAP) - GAP;
    let subtitle = (shown < width).then(|| format!("the first {shown} of {width} columns"));
    let head = if subtitle.is_some() { HEAD + 22.0 } else { HEAD };
    let size = ((LEFT + extent + 24.0).max(520.0) as u32, (head + extent + FOOT) as u32);
    let mut keys = Vec::new();
    if !corner.data.is_empty() {
        keys.push(Key::new(Mark::Line, DATA, data_name));
    }
    if !corner.model.is_empty() {
        keys.push(Key::new(Mark::Line, MODEL, model_name));
    }
    if shown > 1 {
        keys.push(Key::new(Mark::None, MODEL, "contours hold 50 % and 90 %"));
    }
    let sheet = Sheet { size, title, subtitle: subtitle.as_deref(), keys: &keys };
    figure(&sheet, |area, _| {
        // What the head took is gone from the area; panels sit at its lower end.
        let top = f64::from(area.dim_in_pixel().1) / f64::from(super::style::UNIT) - extent - FOOT;
        for row in 0..shown {
            for col in 0..=row {
                let at = (LEFT + col as f64 * (side + GAP), top + row as f64 * (side + GAP));
                let cell = Cell { at, side, row, col, shown };
                cell.draw(area, &columns)?;
            }
        }
        Ok(())
    })
}

/// One column of both tables, and the range that shows it.
struct Column {
    name: String,
    data: Vec<f64>,
    model: Vec<f64>,
    range: (f64, f64),
}

impl Column {
    /// Column `j`; `None` if it has no finite value at all.
    fn of(corner: &Corner, j: usize) -> Option<Column> {
        let pick =
            |rows: &[f64]| rows.iter().skip(j).step_by(corner.names.len()).copied().collect();
        let (data, model): (Vec<f64>, Vec<f64>) = (pick(&corner.data), pick(&corner.model));
        let mut sorted = data.clone();
        if !data.iter().any(|v| drawable(*v)) {
            sorted.clone_from(&model);
        }
        let (lo, hi) = (quantile(&mut sorted, 0.002)?, quantile(&mut sorted, 0.998)?);
        Some(Column { name: corner.names[j].clone(), data, model, range: widen(lo, hi, 0.07) })
    }
}

/// One panel of the corner.
struct Cell {
    at: (f64, f64),
    side: f64,
    row: usize,
    col: usize,
    shown: usize,
}

impl Cell {
    fn draw(&self, area: &Area<'_>, columns: &[Column]) -> Drawn {
        let (x, y) = (&columns[self.col], &columns[self.row]);
        let labels_left = self.col == 0 && self.row > 0;
        let labels_below = self.row + 1 == self.shown;
        let left = if labels_left { LEFT - 4.0 } else { 0.0 };
        let bottom = if labels_below { FOOT - 4.0 } else { 0.0 };
        let m = Margins { left, bottom, ..Margins::NONE };
        let part = part(area, self.at, (self.side, self.side), m);
        let ticks = if self.side > 150.0 { 5 } else { 4 };
        let axis = |column: &Column, labelled: bool| {
            let axis = Axis::linear(column.range, ticks, &shorten(&column.name, self.side))
                .inset(self.side);
            if labelled { axis } else { axis.unlabelled() }
        };
        if self.row == self.col {
            let histogram = |values: &[f64]| {
                let values: Vec<f64> = values.iter().copied().filter(|v| drawable(*v)).collect();
                Histogram::new(&values, x.range, bins(values.len()).min(self.side as usize / 4))
            };
            let (data, model) = (histogram(&x.data), histogram(&x.model));
            let top = 1.15 * data.highest().max(model.highest()).max(f64::MIN_POSITIVE);
            let y = Axis::bare((0.0, top));
            let mut panel = Panel::new(&part, &axis(x, labels_below), &y, m)?;
            panel.line(&data.outline(), stroke(DATA, 1.5))?;
            panel.line(&model.outline(), stroke(MODEL, 1.5))?;
            return panel.frame();
        }
        let mut panel = Panel::new(&part, &axis(x, labels_below), &axis(y, labels_left), m)?;
        let (data, model) = (pairs(&x.data, &y.data), pairs(&x.model, &y.model));
        let panels = self.shown * (self.shown - 1) / 2;
        panel.dots(sample(&data, MOST_DOTS / panels), 1.0, DATA, 0.35)?;
        let mut outline = |points: &[Xy], colour: RGBColor| -> Drawn {
            for (share, style) in [(0.9, pale(colour, 0.8)), (0.5, stroke(colour, 1.75))] {
                for ring in contour(points, x.range, y.range, share) {
                    panel.line(&ring, style)?;
                }
            }
            Ok(())
        };
        outline(&data, DATA)?;
        outline(&model, MODEL)?;
        panel.frame()
    }
}

/// Points whose both coordinates can be drawn.
fn pairs(x: &[f64], y: &[f64]) -> Vec<Xy> {
    let both = x.iter().copied().zip(y.iter().copied());
    both.filter(|p| drawable(p.0) && drawable(p.1)).collect()
}

/// A name cut to fit a panel.
fn shorten(name: &str, room: f64) -> String {
    if text_width(name, LABEL_PX) <= room {
        return name.to_owned();
    }
    let mut out = String::new();
    for c in name.chars() {
        if text_width(&out, LABEL_PX) + 2.0 * LABEL_PX > room {
            break;
        }
        out.push(c);
    }
    out + "…"
}
