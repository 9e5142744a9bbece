//! Small grey images side by side.

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::PlotError;
use super::figure::{Sheet, figure, no_data};
use super::style::units;

/// Pixels of the picture for a value of an image, and between images.
const MAGNIFICATION: usize = 3;
const GAP: usize = 4;
/// SVG pixels around all images, and above them.
const MARGIN: usize = 24;
const TITLE_ROOM: usize = 64;

/// Images of one size, row after row.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Images {
    /// What they are.
    pub title: &'static str,
    /// How to read them.
    pub subtitle: String,
    /// Values from top to bottom of each.
    pub height: usize,
    /// Values from left to right of each.
    pub width: usize,
    /// Images in a row.
    pub columns: usize,
    /// Grey values from 0, black, to 1, white; those beyond are cut off. Image after image, each from
    /// left to right and from top to bottom.
    pub values: Vec<f32>,
}

/// The images in rows of `columns`; without any, "no data yet".
///
/// # Errors
/// [`PlotError::Shape`] if the values are not those of whole images, [`PlotError::Draw`] if the drawing
/// back end fails.
pub fn images(images: &Images) -> Result<String, PlotError> {
    let Images { title, subtitle, height, width, columns, values } = images;
    let size = height * width;
    if size == 0 || *columns == 0 || values.is_empty() {
        return no_data(title, (400, 200));
    }
    if !values.len().is_multiple_of(size) {
        let expected = format!("a multiple of {size} values");
        return Err(PlotError::Shape { what: "the images", expected, found: values.len() });
    }
    let count = values.len() / size;
    let (across, down) = ((*columns).min(count), count.div_ceil(*columns));
    let wide = across * (width * MAGNIFICATION + GAP) - GAP;
    let high = down * (height * MAGNIFICATION + GAP) - GAP;
    let png = paint(images, wide, high)
        .ok_or_else(|| PlotError::Png { why: format!("no room for {wide} x {high} pixels") })?;
    let sheet = Sheet {
        // The title needs some width, however few images there are.
        size: ((wide + 2 * MARGIN).max(420) as u32, (high + TITLE_ROOM + MARGIN) as u32),
        title,
        subtitle: Some(subtitle),
        keys: &[],
    };
    figure(&sheet, |area, bitmaps| {
        let (_, above) = area.get_base_pixel();
        let left = units(MARGIN as f64);
        let (wide, high) = (units(wide as f64), units(high as f64));
        bitmaps.place((left, left + wide), (above, above + high), &png);
        Ok(())
    })
}

/// All images on paper as one PNG, base64.
fn paint(images: &Images, wide: usize, high: usize) -> Option<String> {
    let Images { height, width, columns, values, .. } = images;
    let mut pixels = vec![255u8; wide.checked_mul(high)?];
    for (i, image) in values.chunks_exact(height * width).enumerate() {
        let left = (i % columns) * (width * MAGNIFICATION + GAP);
        let top = (i / columns) * (height * MAGNIFICATION + GAP);
        for y in 0..height * MAGNIFICATION {
            for x in 0..width * MAGNIFICATION {
                let value = image[(y / MAGNIFICATION) * width + x / MAGNIFICATION];
                // NaN is black.
                pixels[(top + y) * wide + left + x] = (255.0 * value.clamp(0.0, 1.0)) as u8;
            }
        }
    }
    let mut file = Vec::new();
    let mut encoder =
        png::Encoder::new(&mut file, u32::try_from(wide).ok()?, u32::try_from(high).ok()?);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_compression(png::Compression::High);
    encoder.write_header().ok()?.write_image_data(&pixels).ok()?;
    Some(STANDARD.encode(file))
}

#[cfg(test)]
mod tests {
    use super::*;
    use resvg::tiny_skia::Pixmap;

    /// Two images of 1 x 2 values below each other: the places and shades of their pixels.
    #[test]
    fn every_value_has_its_place() {
        let values = vec![0.0, 1.0, f32::NAN, 0.5];
        let two = Images { height: 1, width: 2, columns: 1, values, ..Images::default() };
        let (wide, high) = (6, 2 * 3 + GAP);
        let png = STANDARD.decode(paint(&two, wide, high).unwrap()).unwrap();
        let map = Pixmap::decode_png(&png).unwrap();
        let grey = |x, y| map.pixel(x, y).unwrap().red();
        assert_eq!([grey(0, 0), grey(5, 2), grey(1, 9), grey(4, 8)], [0, 255, 0, 127]);
        assert_eq!(grey(0, 4), 255, "paper between");
    }

    #[test]
    fn any_number_of_images_is_drawn() {
        for count in [0, 1, 5, 16] {
            let values = vec![0.3; count * 12];
            let grid = Images {
                title: "t",
                subtitle: "<&>".to_owned(),
                height: 4,
                width: 3,
                columns: 4,
                values,
            };
            let svg = images(&grid).unwrap();
            assert_eq!(svg.contains("data:image/png"), count > 0);
            assert!(resvg::usvg::Tree::from_str(&svg, &resvg::usvg::Options::default()).is_ok());
        }
        let odd =
            Images { height: 2, width: 2, columns: 1, values: vec![0.0; 5], ..Images::default() };
        assert!(matches!(images(&odd), Err(PlotError::Shape { found: 5, .. })));
    }
}
