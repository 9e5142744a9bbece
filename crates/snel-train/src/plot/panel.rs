//! One coordinate system with its axes, and the shapes drawn in it.
//!
//! Invariants
//! 1. Nothing is drawn outside the panel: curves are cut at its edges, dots outside are left out.
//! 2. Only finite coordinates reach the back end.

use plotters::{
    chart::{ChartBuilder, ChartContext, LabelAreaPosition},
    coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter},
    element::{Circle, PathElement, Polygon, Rectangle, Text},
    prelude::{Cartesian2d, SVGBackend},
    series::{DashedLineSeries, LineSeries},
    style::{
        FontTransform, RGBColor, ShapeStyle, TRANSPARENT,
        text_anchor::{HPos, VPos},
    },
};

use super::{
    figure::{Area, Drawn, printable},
    number::{Style, count_ticks, decade_ticks, drawable, ticks},
    series::{Xy, clip, clip_outline},
    style::{AXIS, GRID, INK, LABEL_PX, SMALL_PX, SOFT_INK, fill, stroke, text, text_width, units},
};

/// The range, ticks and name of one axis.
#[derive(Debug, Clone)]
pub(super) struct Axis {
    pub(super) range: (f64, f64),
    at: Vec<f64>,
    style: Style,
    name: String,
    labelled: bool,
}

impl Axis {
    /// A plain axis with about `n` ticks.
    pub(super) fn linear(range: (f64, f64), n: usize, name: &str) -> Axis {
        let (at, style) = ticks(range.0, range.1, n);
        Axis { range, at, style, name: printable(name), labelled: true }
    }

    /// An axis of training steps.
    pub(super) fn steps(range: (f64, f64)) -> Axis {
        let (at, style) = count_ticks(range.0, range.1, 7);
        Axis { range, at, style, name: "training step".into(), labelled: true }
    }

    /// An axis of base-ten logarithms, labelled with the numbers themselves.
    pub(super) fn log10(range: (f64, f64), name: &str) -> Axis {
        let (at, style) = decade_ticks(range.0, range.1);
        Axis { range, at, style, name: printable(name), labelled: true }
    }

    /// The same ticks without their labels: another panel carries them.
    pub(super) fn unlabelled(&self) -> Axis {
        Axis { name: String::new(), labelled: false, ..self.clone() }
    }

    /// Without the ticks near the ends, whose labels would run into those of the next panel, and
    /// with no more labels than `room` SVG pixels hold side by side.
    pub(super) fn inset(mut self, room: f64) -> Axis {
        let (lo, hi) = self.range;
        let margin = 0.07 * (hi - lo);
        self.at.retain(|v| (lo + margin..=hi - margin).contains(v));
        let width = |at: &[f64]| -> f64 {
            at.iter().map(|v| text_width(&self.style.write(*v), SMALL_PX) + 8.0).sum()
        };
        while self.at.len() > 2 && width(&self.at) > room {
            self.at = self.at.iter().copied().step_by(2).collect();
        }
        self
    }

    /// A range without ticks or name.
    pub(super) fn bare(range: (f64, f64)) -> Axis {
        Axis { range, at: Vec::new(), style: Style::Count, name: String::new(), labelled: false }
    }

    fn full_name(&self) -> String {
        match self.style.factor() {
            Some(factor) if self.labelled => format!("{} ({factor})", self.name),
            _ => self.name.clone(),
        }
    }
}

impl Ranged for Axis {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, v: &f64, (from, to): (i32, i32)) -> i32 {
        let (lo, hi) = self.range;
        let t = ((v - lo) / (hi - lo)).clamp(0.0, 1.0);
        from + (t * f64::from(to - from)).round() as i32
    }

    fn key_points<H: KeyPointHint>(&self, hint: H) -> Vec<f64> {
        if hint.weight().allow_light_points() { Vec::new() } else { self.at.clone() }
    }

    fn range(&self) -> std::ops::Range<f64> {
        self.range.0..self.range.1
    }
}

impl ValueFormatter<f64> for Axis {
    fn format_ext(&self, v: &f64) -> String {
        if self.labelled { self.style.write(*v) } else { String::new() }
    }
}

/// Room for labels around a panel, in SVG pixels.
#[derive(Debug, Clone, Copy)]
pub(super) struct Margins {
    pub(super) left: f64,
    pub(super) bottom: f64,
    pub(super) top: f64,
    pub(super) right: f64,
    pub(super) grid: bool,
}

impl Margins {
    /// No room for anything.
    pub(super) const NONE: Margins =
        Margins { left: 0.0, bottom: 0.0, top: 0.0, right: 0.0, grid: false };
    /// A panel with labels on both axes.
    pub(super) const LABELLED: Margins =
        Margins { left: 78.0, bottom: 50.0, top: 6.0, right: 24.0, grid: true };
}

/// The part of `area` whose panel, with these margins, is the square or rectangle at `x`, `y`, `w`
/// wide and `h` high (SVG pixels).
pub(super) fn part<'s>(
    area: &Area<'s>,
    (x, y): (f64, f64),
    (w, h): (f64, f64),
    m: Margins,
) -> Area<'s> {
    let corner = (units(x - m.left), units(y - m.top));
    let size = (units(w + m.left + m.right), units(h + m.top + m.bottom));
    area.clone().shrink(corner, size)
}

/// A coordinate system on a part of a picture.
pub(super) struct Panel<'a, 's> {
    chart: ChartContext<'a, SVGBackend<'s>, Cartesian2d<Axis, Axis>>,
    x: (f64, f64),
    y: (f64, f64),
}

impl<'a, 's> Panel<'a, 's> {
    /// Lays the coordinate system over `area` and draws its axes.
    pub(super) fn new(area: &'a Area<'s>, x: &Axis, y: &Axis, m: Margins) -> Drawn<Panel<'a, 's>> {
        let mut chart = ChartBuilder::on(area)
            .set_label_area_size(LabelAreaPosition::Left, units(m.left))
            .set_label_area_size(LabelAreaPosition::Bottom, units(m.bottom))
            .margin_top(units(m.top))
            .margin_right(units(m.right))
            .build_cartesian_2d(x.clone(), y.clone())?;
        let grid = if m.grid { stroke(GRID, 1.0) } else { TRANSPARENT.into() };
        chart
            .configure_mesh()
            .bold_line_style(grid)
            .max_light_lines(0)
            .axis_style(stroke(AXIS, 1.0))
            .set_all_tick_mark_size(units(4.0))
            .label_style(text(SMALL_PX, INK, HPos::Center, VPos::Center))
            .draw()?;
        let panel = Panel { chart, x: x.range, y: y.range };
        panel.name_axes(area, x, y)?;
        Ok(panel)
    }

    /// Axis names, centred on the panel, at the outer edge of the room for labels.
    fn name_axes(&self, area: &Area<'s>, x: &Axis, y: &Axis) -> Drawn {
        let (corner_x, corner_y) = area.get_base_pixel();
        let (w, h) = self.chart.plotting_area().dim_in_pixel();
        let ((x0, _), (y0, _)) = self.rectangle();
        let centre = (x0 - corner_x + w as i32 / 2, y0 - corner_y + h as i32 / 2);
        let style = text(LABEL_PX, SOFT_INK, HPos::Center, VPos::Center);
        let bottom = area.dim_in_pixel().1 as i32 - units(14.0);
        area.draw(&Text::new(x.full_name(), (centre.0, bottom), style.clone()))?;
        let upward = style.transform(FontTransform::Rotate270);
        area.draw(&Text::new(y.full_name(), (units(18.0), centre.1), upward))
    }

    /// The panel's rectangle in drawing units: horizontal and vertical range.
    pub(super) fn rectangle(&self) -> ((i32, i32), (i32, i32)) {
        let (x, y) = self.chart.plotting_area().get_pixel_range();
        ((x.start, x.end), (y.start, y.end))
    }

    /// A thin frame round the panel.
    pub(super) fn frame(&mut self) -> Drawn {
        let ((x0, x1), (y0, y1)) = (self.x, self.y);
        let corners = vec![(x0, y0), (x1, y0), (x1, y1), (x0, y1), (x0, y0)];
        self.chart.draw_series([PathElement::new(corners, stroke(AXIS, 1.0))])?;
        Ok(())
    }

    /// A curve, cut at the panel's edges.
    pub(super) fn line(&mut self, points: &[Xy], style: ShapeStyle) -> Drawn {
        for part in clip(points, self.y) {
            self.chart.draw_series(LineSeries::new(part, style))?;
        }
        Ok(())
    }

    /// A dashed curve.
    pub(super) fn dashes(&mut self, points: &[Xy], style: ShapeStyle) -> Drawn {
        for part in clip(points, self.y) {
            let series = DashedLineSeries::new(part, units(6.0), units(4.0), style);
            self.chart.draw_series(series)?;
        }
        Ok(())
    }

    /// A dashed horizontal line over the whole width; nothing if it is off the panel.
    pub(super) fn level(&mut self, y: f64, style: ShapeStyle) -> Drawn {
        self.dashes(&[(self.x.0, y), (self.x.1, y)], style)
    }

    /// The region between two curves over the same abscissae: `(x, low, high)`.
    pub(super) fn band(&mut self, points: &[(f64, f64, f64)], style: ShapeStyle) -> Drawn {
        let low = points.iter().map(|p| (p.0, p.1));
        let high = points.iter().rev().map(|p| (p.0, p.2));
        let outline: Vec<Xy> = low.chain(high).collect();
        let outline = clip_outline(&outline, self.y);
        if outline.len() > 2 {
            self.chart.draw_series([Polygon::new(outline, style)])?;
        }
        Ok(())
    }

    /// A vertical bar.
    pub(super) fn bar(&mut self, from: f64, to: f64, height: f64, style: ShapeStyle) -> Drawn {
        let top = height.clamp(self.y.0, self.y.1);
        self.chart.draw_series([Rectangle::new([(from, self.y.0), (to, top)], style)])?;
        Ok(())
    }

    /// Dots of a radius in SVG pixels; those outside the panel are left out.
    pub(super) fn dots(
        &mut self,
        points: impl IntoIterator<Item = Xy>,
        radius: f64,
        colour: RGBColor,
        alpha: f64,
    ) -> Drawn {
        let (x, y) = (self.x, self.y);
        let inside = |p: &Xy| {
            drawable(p.0)
                && drawable(p.1)
                && (x.0..=x.1).contains(&p.0)
                && (y.0..=y.1).contains(&p.1)
        };
        let style = fill(colour, alpha);
        let radius = units(radius);
        let dots = points.into_iter().filter(inside).map(|p| Circle::new(p, radius, style));
        self.chart.draw_series(dots)?;
        Ok(())
    }
}
