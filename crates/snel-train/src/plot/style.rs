//! The look shared by all pictures: colours, fonts, strokes.
//!
//! Colours are those of Okabe and Ito, told apart with any common colour blindness:
//! data is vermilion, the model blue, the truth green, everywhere.

use plotters::style::{
    Color, FontFamily, IntoFont, RGBAColor, RGBColor, ShapeStyle, TextStyle,
    text_anchor::{HPos, Pos, VPos},
};

/// Drawing units per SVG pixel. The SVG back end draws in whole units; this makes them fine enough.
pub(super) const UNIT: i32 = 4;

pub(super) const DATA: RGBColor = RGBColor(0xD5, 0x5E, 0x00);
pub(super) const MODEL: RGBColor = RGBColor(0x00, 0x72, 0xB2);
pub(super) const TRUTH: RGBColor = RGBColor(0x00, 0x8A, 0x66);
pub(super) const ACCENT: RGBColor = RGBColor(0xCC, 0x79, 0xA7);
pub(super) const INK: RGBColor = RGBColor(0x22, 0x22, 0x22);
pub(super) const SOFT_INK: RGBColor = RGBColor(0x5A, 0x5A, 0x5A);
pub(super) const AXIS: RGBColor = RGBColor(0x8C, 0x8C, 0x8C);
pub(super) const GRID: RGBColor = RGBColor(0xE8, 0xE8, 0xE8);
/// Yardstick lines: greys and one colour that no curve uses.
pub(super) const YARDSTICKS: [RGBColor; 4] =
    [RGBColor(0x6E, 0x6E, 0x6E), TRUTH, ACCENT, RGBColor(0xB0, 0x8A, 0x00)];

/// The embedded family first; a browser without it takes its own sans-serif.
pub(super) const FONT: &str = "Inter, sans-serif";
pub(super) const TITLE_PX: f64 = 16.0;
pub(super) const LABEL_PX: f64 = 13.0;
pub(super) const SMALL_PX: f64 = 12.0;

/// Whole drawing units for a length in SVG pixels.
pub(super) fn units(px: f64) -> i32 {
    (px * f64::from(UNIT)).round() as i32
}

/// A line `px` SVG pixels thick.
pub(super) fn stroke(colour: impl Color, px: f64) -> ShapeStyle {
    ShapeStyle {
        color: colour.to_rgba(),
        filled: false,
        stroke_width: units(px).unsigned_abs().max(1),
    }
}

/// A thin line in a lighter shade.
pub(super) fn pale(colour: RGBColor, alpha: f64) -> ShapeStyle {
    stroke(colour.mix(alpha), 1.0)
}

/// A filled shape without an outline.
pub(super) fn fill(colour: RGBColor, alpha: f64) -> ShapeStyle {
    let color: RGBAColor = colour.mix(alpha);
    ShapeStyle { color, filled: true, stroke_width: 0 }
}

/// Text `px` SVG pixels high, anchored as told.
pub(super) fn text(px: f64, colour: RGBColor, h: HPos, v: VPos) -> TextStyle<'static> {
    // The SVG back end divides sizes by 1.24 when it writes them.
    let font = (FontFamily::from(FONT), px * 1.24 * f64::from(UNIT)).into_font();
    let mut style = TextStyle::from(font).pos(Pos::new(h, v));
    style.color = colour.to_backend_color();
    style
}

/// A generous estimate of a text's width in SVG pixels, for laying out legends.
pub(super) fn text_width(text: &str, px: f64) -> f64 {
    let wide = |c: char| match c {
        'i' | 'j' | 'l' | 'I' | '.' | ',' | ':' | ';' | '\'' | '|' => 0.28,
        ' ' | 't' | 'f' | 'r' | '(' | ')' => 0.38,
        'm' | 'w' | 'M' | 'W' | '%' | '@' | '—' => 0.9,
        c if c.is_uppercase() => 0.7,
        _ => 0.6,
    };
    text.chars().map(wide).sum::<f64>() * px
}
