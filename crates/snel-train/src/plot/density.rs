//! Two-dimensional densities as heat maps, beside the data.

use plotters::{
    element::{Rectangle, Text},
    style::text_anchor::{HPos, VPos},
};

use super::{
    PlotError,
    figure::{Area, Bitmaps, Drawn, Sheet, figure, no_data},
    heat::{self, Grid, LOG_RANGE, Shade},
    number::{drawable, ticks},
    panel::{Axis, Margins, Panel, part},
    series::{Xy, sample},
    style::{AXIS, DATA, INK, LABEL_PX, SMALL_PX, SOFT_INK, stroke, text, units},
};

/// Height of each panel and of what stands under and over it, in SVG pixels.
const PANEL: f64 = 300.0;
const TITLE_ROOM: f64 = 64.0;
const LABEL_ROOM: f64 = 56.0;
const LEFT: f64 = 84.0;
const GAP: f64 = 28.0;
const BAR_ROOM: f64 = 112.0;
/// Points of the scatter plot; more would hide each other and make the file large.
const MOST_POINTS: usize = 3000;

/// The numbers of [`density_2d`]. All panels show the rectangle `x` times `y`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Density2d {
    /// Names of the two columns, with their units if they have any.
    pub names: [String; 2],
    /// Left and right edge, original units.
    pub x: [f64; 2],
    /// Lower and upper edge, original units.
    pub y: [f64; 2],
    /// The learned log-density in the rectangle.
    pub learned: Grid,
    /// The true log-density in the rectangle, if known.
    pub truth: Option<Grid>,
    /// Data points; about 3,000 of them are drawn at most.
    pub data: Vec<[f64; 2]>,
    /// What colour stands for; the panels share it.
    pub shade: Shade,
    /// Densities are of y, given x.
    pub conditional: bool,
}

/// The learned density as a heat map, the data, and the true density if given, over the same axes.
///
/// Colours of [`Shade::Density`] run from zero to the 99.9 % quantile over the cells (the larger one
/// of the two densities), so that a single peak does not darken all else.
///
/// A rectangle that is not finite or has no area shows "no data yet".
///
/// # Errors
/// [`PlotError::Shape`] if a grid has not `ny * nx` values, [`PlotError::Draw`] if the drawing back
/// end fails.
pub fn density_2d(density: &Density2d) -> Result<String, PlotError> {
    let title = if density.conditional {
        "Learned density of y given x"
    } else {
        "Learned density and data"
    };
    density.learned.check("the learned density")?;
    if let Some(truth) = &density.truth {
        truth.check("the true density")?;
    }
    let n_panels = if density.truth.is_some() { 3.0 } else { 2.0 };
    let rectangle_is_fit = spans(density.x) && spans(density.y);
    let width = if rectangle_is_fit { panel_width(density) } else { PANEL };
    let total = LEFT + n_panels * (width + GAP) + BAR_ROOM - GAP;
    let size = (total.ceil() as u32, (TITLE_ROOM + PANEL + LABEL_ROOM) as u32);

    let tops = [Some(&density.learned), density.truth.as_ref()];
    let top = tops.into_iter().flatten().filter_map(Grid::brightest).reduce(f64::max);
    let (Some(top), true) = (top, rectangle_is_fit) else { return no_data(title, size) };

    let sheet = Sheet { size, title, subtitle: None, keys: &[] };
    figure(&sheet, |area, bitmaps| {
        let mut panels = vec![("learned density", Some(&density.learned)), ("data", None)];
        if let Some(truth) = &density.truth {
            panels.push(("true density", Some(truth)));
        }
        for (i, (title, grid)) in panels.into_iter().enumerate() {
            let x = LEFT + i as f64 * (width + GAP);
            let place = Place { x, width, first: i == 0 };
            draw_panel(area, bitmaps, density, &place, title, grid.map(|g| (g, top)))?;
        }
        let x = LEFT + n_panels * (width + GAP) - GAP + 22.0;
        colour_bar(area, bitmaps, x, top, density.shade)
    })
}

/// Whether an axis can run from one edge to the other.
fn spans([lo, hi]: [f64; 2]) -> bool {
    let size = lo.abs().max(hi.abs());
    drawable(lo) && drawable(hi) && hi - lo > (1e-9 * size).max(1e-100)
}

/// Equal units on both axes where the rectangle is not too long for it; else a square.
fn panel_width(density: &Density2d) -> f64 {
    let ratio = (density.x[1] - density.x[0]) / (density.y[1] - density.y[0]);
    if (0.6..=1.6).contains(&ratio) { (PANEL * ratio).round() } else { PANEL }
}

struct Place {
    x: f64,
    width: f64,
    first: bool,
}

fn draw_panel(
    area: &Area<'_>,
    bitmaps: &mut Bitmaps,
    density: &Density2d,
    place: &Place,
    title: &str,
    grid: Option<(&Grid, f64)>,
) -> Drawn {
    let top = area_top();
    let left = if place.first { LEFT - 4.0 } else { 0.0 };
    let m = Margins { left, bottom: 50.0, ..Margins::NONE };
    let part = part(area, (place.x, top), (place.width, PANEL), m);
    let x = Axis::linear((density.x[0], density.x[1]), 5, &density.names[0]);
    let y = Axis::linear((density.y[0], density.y[1]), 5, &density.names[1]);
    let y = if place.first { y } else { y.unlabelled() };
    let mut panel = Panel::new(&part, &x, &y, m)?;
    if let Some((grid, brightest)) = grid {
        let (x, y) = panel.rectangle();
        if let Some(png) = grid.png(brightest, density.shade) {
            bitmaps.place(x, y, &png);
        }
    } else {
        let points: Vec<Xy> = density.data.iter().map(|p| (p[0], p[1])).collect();
        panel.dots(sample(&points, MOST_POINTS), 1.5, DATA, 0.35)?;
    }
    panel.frame()?;
    let style = text(LABEL_PX, INK, HPos::Center, VPos::Center);
    let centre = (units(place.x + place.width / 2.0), units(top - 12.0));
    area.draw(&Text::new(title.to_owned(), centre, style))
}

/// Where panels begin below the picture's title.
fn area_top() -> f64 {
    TITLE_ROOM - 40.0
}

/// The colours with their meaning, right of the panels.
fn colour_bar(area: &Area<'_>, bitmaps: &mut Bitmaps, x: f64, top: f64, shade: Shade) -> Drawn {
    let y = area_top();
    let (from, to) = ((units(x), units(y)), (units(x + 14.0), units(y + PANEL)));
    let (_, above) = area.get_base_pixel();
    if let Some(png) = heat::bar() {
        bitmaps.place((from.0, to.0), (from.1 + above, to.1 + above), &png);
    }
    area.draw(&Rectangle::new([from, to], stroke(AXIS, 1.0)))?;
    // Densities too small or too large for a number are shown relative to the brightest.
    let (hi, name) = match (shade, top.exp()) {
        (Shade::LogDensity, _) => (top, "log-density"),
        (Shade::Density, hi) if hi.is_normal() && hi < 1e150 => (hi, "density"),
        (Shade::Density, _) => (1.0, "relative"),
    };
    let lo = if shade == Shade::LogDensity { hi - LOG_RANGE } else { 0.0 };
    let (at, style) = ticks(lo, hi, 5);
    let label = text(SMALL_PX, INK, HPos::Left, VPos::Center);
    for v in at {
        let tick_y = y + PANEL * (1.0 - (v - lo) / (hi - lo));
        area.draw(&Text::new(style.write(v), (units(x + 20.0), units(tick_y)), label.clone()))?;
    }
    let name = style.factor().map_or(name.to_owned(), |factor| format!("{name} {factor}"));
    let style = text(SMALL_PX, SOFT_INK, HPos::Left, VPos::Center);
    area.draw(&Text::new(name, (units(x), units(y - 12.0)), style))
}
