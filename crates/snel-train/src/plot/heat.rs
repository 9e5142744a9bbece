//! Densities as colours: a grid becomes a small PNG under the axes.
//!
//! The colour ramp is viridis (van der Walt and Smith, CC0): equal steps of density look equal, it
//! survives printing in grey and every common colour blindness.

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::{PlotError, series::quantile};

/// What colour stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Shade {
    /// The density, from zero to its 99.9 % quantile over the grid.
    #[default]
    Density,
    /// The log-density, over the twelve nats below that quantile: shows tails and stray modes.
    LogDensity,
}

/// Nats from the darkest to the brightest colour of [`Shade::LogDensity`].
pub(super) const LOG_RANGE: f64 = 12.0;

/// Log-densities at the centres of `ny` x `nx` equal cells of a rectangle.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Grid {
    /// Cells along x.
    pub nx: usize,
    /// Cells along y.
    pub ny: usize,
    /// `ny` rows of `nx` log-densities, nats per unit area; the first row is the smallest y.
    pub log_density: Vec<f64>,
}

impl Grid {
    pub(super) fn check(&self, what: &'static str) -> Result<(), PlotError> {
        let found = self.log_density.len();
        if self.nx.checked_mul(self.ny) == Some(found) {
            return Ok(());
        }
        Err(PlotError::Shape { what, expected: format!("{} x {} values", self.ny, self.nx), found })
    }

    /// The log-density painted in the brightest colour: the 99.9 % quantile.
    pub(super) fn brightest(&self) -> Option<f64> {
        quantile(&mut self.log_density.clone(), 0.999)
    }

    /// The grid as a PNG, base64; the brightest colour stands for `top` and above.
    pub(super) fn png(&self, top: f64, shade: Shade) -> Option<String> {
        let rows = self.log_density.chunks(self.nx.max(1)).rev();
        paint(self.nx, self.ny, rows.flatten().map(|log| level(*log, top, shade)))
    }
}

/// A vertical colour bar as a PNG, base64.
pub(super) fn bar() -> Option<String> {
    paint(1, 256, (0..256).rev().map(|i| f64::from(i) / 255.0))
}

/// The place of a log-density on the colour ramp, 0 to 1; NaN counts as the lowest.
fn level(log: f64, top: f64, shade: Shade) -> f64 {
    match shade {
        Shade::Density => (log - top).exp().clamp(0.0, 1.0),
        Shade::LogDensity => (1.0 + (log - top) / LOG_RANGE).clamp(0.0, 1.0),
    }
}

/// One byte a pixel, its place on a palette of 256: a fourth of the file that colours would make.
fn paint(nx: usize, ny: usize, levels: impl Iterator<Item = f64>) -> Option<String> {
    let pixels: Vec<u8> = levels.map(|level| (255.0 * level).round() as u8).collect();
    let palette: Vec<u8> = (0..=255).flat_map(|i| viridis(f64::from(i) / 255.0)).collect();
    let mut file = Vec::new();
    let mut encoder =
        png::Encoder::new(&mut file, u32::try_from(nx).ok()?, u32::try_from(ny).ok()?);
    encoder.set_color(png::ColorType::Indexed);
    encoder.set_palette(palette);
    encoder.set_compression(png::Compression::High);
    encoder.write_header().ok()?.write_image_data(&pixels).ok()?;
    Some(STANDARD.encode(file))
}

/// Every sixteenth colour of viridis.
const RAMP: [[u8; 3]; 17] = [
    [68, 1, 84],
    [72, 24, 106],
    [71, 45, 123],
    [66, 64, 134],
    [59, 82, 139],
    [51, 99, 141],
    [44, 114, 142],
    [38, 130, 142],
    [33, 145, 140],
    [31, 160, 136],
    [40, 174, 128],
    [63, 188, 115],
    [94, 201, 98],
    [132, 212, 75],
    [173, 220, 48],
    [216, 226, 25],
    [253, 231, 37],
];

/// The colour at `t`, 0 (dark) to 1 (bright); NaN is dark.
fn viridis(t: f64) -> [u8; 3] {
    let t = if t.is_nan() { 0.0 } else { t.clamp(0.0, 1.0) };
    let at = t * (RAMP.len() - 1) as f64;
    let i = (at as usize).min(RAMP.len() - 2);
    let (a, b, t) = (RAMP[i], RAMP[i + 1], at - i as f64);
    std::array::from_fn(|c| {
        (f64::from(a[c]) + t * (f64::from(b[c]) - f64::from(a[c]))).round() as u8
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use resvg::tiny_skia::Pixmap;

    #[test]
    fn the_ramp_has_its_ends_and_brightens_all_the_way() {
        assert_eq!(viridis(0.0), RAMP[0]);
        assert_eq!(viridis(1.0), RAMP[16]);
        assert_eq!(viridis(f64::NAN), RAMP[0]);
        let luma = |t: f64| {
            let [r, g, b] = viridis(t).map(f64::from);
            0.2126 * r + 0.7152 * g + 0.0722 * b
        };
        assert!((0..100).all(|i| luma(f64::from(i + 1) / 100.0) > luma(f64::from(i) / 100.0)));
    }

    #[test]
    fn the_first_row_is_at_the_bottom() {
        let log_density = vec![0.0, f64::NEG_INFINITY, f64::NAN, -1e9];
        let grid = Grid { nx: 2, ny: 2, log_density };
        let png = STANDARD.decode(grid.png(0.0, Shade::Density).unwrap()).unwrap();
        let map = Pixmap::decode_png(&png).unwrap();
        let colour = |x, y| map.pixel(x, y).map(|p| [p.red(), p.green(), p.blue()]).unwrap();
        assert_eq!(colour(0, 1), RAMP[16]);
        assert_eq!([colour(1, 1), colour(0, 0), colour(1, 0)], [RAMP[0]; 3]);
    }
}
