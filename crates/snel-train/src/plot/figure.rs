//! One picture: size, title, legend, room for panels, and its final SVG text.
//!
//! [`figure`] gives the drawing area below title and legend to a closure and wraps the result.
//! Bitmaps asked for by the closure ([`Bitmaps`]) lie under everything drawn.
//!
//! Invariants
//! 1. The SVG has no ids, scripts, style sheets or references to other files.
//! 2. Text from outside is escaped.
//!
//! Fails with [`PlotError::Draw`] only if the drawing back end does.

use std::fmt::Write as _;

use plotters::{
    coord::Shift,
    element::{PathElement, Rectangle, Text},
    prelude::{DrawingArea, IntoDrawingArea, SVGBackend},
    style::{
        RGBColor,
        text_anchor::{HPos, VPos},
    },
};

use super::{
    PlotError,
    style::{
        AXIS, FONT, INK, LABEL_PX, SMALL_PX, SOFT_INK, TITLE_PX, UNIT, fill, stroke, text,
        text_width, units,
    },
};

/// What drawing calls return.
pub(super) type Drawn<T = ()> = Result<T, plotters::drawing::DrawingAreaErrorKind<std::io::Error>>;
/// A rectangle to draw on, in drawing units.
pub(super) type Area<'s> = DrawingArea<SVGBackend<'s>, Shift>;

/// How a legend entry is drawn.
#[derive(Debug, Clone, Copy)]
pub(super) enum Mark {
    Line,
    Dashes,
    Faint,
    Bar,
    /// Only the words.
    None,
}

/// One legend entry.
#[derive(Debug, Clone)]
pub(super) struct Key {
    pub(super) mark: Mark,
    pub(super) colour: RGBColor,
    pub(super) name: String,
}

impl Key {
    pub(super) fn new(mark: Mark, colour: RGBColor, name: impl Into<String>) -> Key {
        Key { mark, colour, name: printable(&name.into()) }
    }

    /// Where the words begin, after the mark; SVG pixels.
    fn indent(&self) -> f64 {
        if matches!(self.mark, Mark::None) { 0.0 } else { 29.0 }
    }
}

/// Title, subtitle, legend and size (SVG pixels) of a picture.
#[derive(Debug)]
pub(super) struct Sheet<'a> {
    pub(super) size: (u32, u32),
    pub(super) title: &'static str,
    pub(super) subtitle: Option<&'a str>,
    pub(super) keys: &'a [Key],
}

/// Bitmaps placed under the drawing: position and size in drawing units, PNG as base64.
#[derive(Debug, Default)]
pub(super) struct Bitmaps(String);

impl Bitmaps {
    /// Stretches a PNG over the rectangle `x0..x1`, `y0..y1` (drawing units).
    pub(super) fn place(&mut self, (x0, x1): (i32, i32), (y0, y1): (i32, i32), png_base64: &str) {
        let (w, h) = (x1 - x0, y1 - y0);
        let _infallible = writeln!(
            self.0,
            r#"<image x="{x0}" y="{y0}" width="{w}" height="{h}" preserveAspectRatio="none" href="data:image/png;base64,{png_base64}"/>"#
        );
    }
}

/// Draws a picture and returns it as SVG text.
pub(super) fn figure(
    sheet: &Sheet<'_>,
    draw: impl FnOnce(&Area<'_>, &mut Bitmaps) -> Drawn,
) -> Result<String, PlotError> {
    let mut raw = String::new();
    let mut bitmaps = Bitmaps::default();
    let unit = UNIT.unsigned_abs();
    let drawn = || -> Drawn {
        let size = (sheet.size.0 * unit, sheet.size.1 * unit);
        let root = SVGBackend::with_string(&mut raw, size).into_drawing_area();
        let top = head(&root, sheet)?;
        let (_, body) = root.split_vertically(top);
        draw(&body, &mut bitmaps)?;
        root.present()
    };
    drawn().map_err(|e| PlotError::Draw { figure: sheet.title.into(), why: e.to_string() })?;
    Ok(wrap(&raw, sheet, &bitmaps))
}

/// A picture that has nothing to show yet.
pub(super) fn no_data(title: &'static str, size: (u32, u32)) -> Result<String, PlotError> {
    figure(&Sheet { size, title, subtitle: None, keys: &[] }, |area, _| {
        let (w, h) = area.dim_in_pixel();
        let (w, h) = (w as i32, h as i32);
        let inset = units(24.0);
        area.draw(&Rectangle::new(
            [(inset, inset / 2), (w - inset, h - inset)],
            stroke(AXIS, 1.0),
        ))?;
        let style = text(TITLE_PX, SOFT_INK, HPos::Center, VPos::Center);
        area.draw(&Text::new("no data yet", (w / 2, h / 2), style))
    })
}

/// Title, subtitle and legend; returns the height they take, in drawing units.
fn head(root: &Area<'_>, sheet: &Sheet<'_>) -> Drawn<i32> {
    let left = 24.0;
    let mut y = 26.0;
    let title = text(TITLE_PX, INK, HPos::Left, VPos::Center);
    root.draw(&Text::new(sheet.title, (units(left), units(y)), title))?;
    if let Some(subtitle) = sheet.subtitle {
        y += 22.0;
        let style = text(LABEL_PX, SOFT_INK, HPos::Left, VPos::Center);
        root.draw(&Text::new(subtitle, (units(left), units(y)), style))?;
    }
    let mut x = left;
    if !sheet.keys.is_empty() {
        y += 23.0;
    }
    for key in sheet.keys {
        let width = key.indent() + text_width(&key.name, SMALL_PX) + 20.0;
        if x > left && x + width > f64::from(sheet.size.0) - left {
            x = left;
            y += 20.0;
        }
        draw_key(root, key, (x, y))?;
        x += width;
    }
    Ok(units(y + 14.0))
}

fn draw_key(root: &Area<'_>, key: &Key, (x, y): (f64, f64)) -> Drawn {
    let at = |dx: f64, dy: f64| (units(x + dx), units(y + dy));
    let line = |from: f64, to: f64| {
        PathElement::new(vec![at(from, 0.0), at(to, 0.0)], stroke(key.colour, 2.0))
    };
    match key.mark {
        Mark::Line => root.draw(&line(0.0, 22.0))?,
        Mark::Dashes => {
            for i in 0..3 {
                root.draw(&line(f64::from(i) * 8.0, f64::from(i) * 8.0 + 5.0))?;
            }
        }
        Mark::Faint => {
            let style = fill(key.colour, 0.3);
            root.draw(&Rectangle::new([at(0.0, -1.5), at(22.0, 1.5)], style))?;
        }
        Mark::Bar => {
            root.draw(&Rectangle::new([at(4.0, -5.0), at(18.0, 5.0)], fill(key.colour, 0.45)))?;
        }
        Mark::None => {}
    }
    let style = text(SMALL_PX, INK, HPos::Left, VPos::Center);
    root.draw(&Text::new(key.name.clone(), at(key.indent(), 0.0), style))
}

/// Replaces the back end's header by ours and puts paper and bitmaps under the drawing.
fn wrap(raw: &str, sheet: &Sheet<'_>, bitmaps: &Bitmaps) -> String {
    let body = share_styles(raw.split_once(">\n").map_or("", |(_, body)| body));
    let (w, h) = sheet.size;
    let unit = UNIT.unsigned_abs();
    let title = sheet.title;
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{w}\" height=\"{h}\" \
         viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"{title}\" font-family=\"{FONT}\" \
         stroke-linejoin=\"round\">\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n{}{body}",
        w * unit,
        h * unit,
        bitmaps.0
    )
}

/// Thousands of dots of one look are most of a file: they say their look once, in a group.
fn share_styles(body: &str) -> String {
    // `<circle cx="1" cy="2" r="3" opacity="…" fill="…" …/>`: the look begins with the opacity.
    let look_of = |line: &str| -> Option<(usize, String)> {
        let at = line.strip_prefix("<circle ").and_then(|rest| rest.find(" opacity=\""))?;
        let at = at + "<circle ".len();
        // On a group, opacity would join its dots into one pale shape.
        let look = line[at..].strip_suffix("/>")?.replacen("opacity", "fill-opacity", 1);
        Some((at, look))
    };
    let mut out = String::with_capacity(body.len());
    let mut group = String::new();
    for line in body.lines() {
        let dot = look_of(line);
        let look = dot.as_ref().map_or("", |(_, look)| look);
        if look != group {
            out.push_str(if group.is_empty() { "" } else { "</g>\n" });
            if !look.is_empty() {
                let _infallible = writeln!(out, "<g{look}>");
            }
            look.clone_into(&mut group);
        }
        out.push_str(dot.as_ref().map_or(line, |(at, _)| &line[..*at]));
        out.push_str(if dot.is_some() { "/>\n" } else { "\n" });
    }
    out
}

/// Text without the control characters that XML forbids; the back end escapes the rest.
pub(super) fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() || "\u{fffe}\u{ffff}".contains(c) { ' ' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::share_styles;

    #[test]
    fn dots_of_one_look_share_it() {
        let dot = |x: u32, fill: &str| {
            format!("<circle cx=\"{x}\" cy=\"2\" r=\"3\" opacity=\"0.3\" fill=\"{fill}\"/>\n")
        };
        let body =
            [dot(1, "red"), dot(2, "red"), dot(3, "blue"), "<rect/>\n</svg>\n".into()].concat();
        let expected = "<g fill-opacity=\"0.3\" fill=\"red\">\n\
            <circle cx=\"1\" cy=\"2\" r=\"3\"/>\n<circle cx=\"2\" cy=\"2\" r=\"3\"/>\n</g>\n\
            <g fill-opacity=\"0.3\" fill=\"blue\">\n<circle cx=\"3\" cy=\"2\" r=\"3\"/>\n</g>\n\
            <rect/>\n</svg>\n";
        assert_eq!(share_styles(&body), expected);
    }
}
