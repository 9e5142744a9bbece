//! Pictures of a training run, as SVG text, and as PNG through [`to_png`].
//!
//! Each picture is a function of plain numbers:
//!
//! | function | shows |
//! |---|---|
//! | [`bounds`] | training bound and validation interval against step |
//! | [`ess`] | effective sample size against step |
//! | [`log_normaliser`] | `b` and `log Ẑ` against step |
//! | [`log_weights`] | how unequal the importance weights are |
//! | [`density_2d`], [`slice_1d`] | learned density beside the data (D = 2, D = 1) |
//! | [`corner`] | data against model samples, any D |
//! | [`images()`] | small grey images side by side |
//! | [`scaling`] | measured quantities against a size, beside theory |
//! | [`pit`], [`coverage`] | whether predicted probabilities hold |
//!
//! Invariants
//! 1. Values that are not finite are left out; a picture of nothing says "no data yet".
//! 2. The same numbers give the same text.
//! 3. A picture refers to nothing outside itself and defines no ids, so many fit in one page.
//!
//! Fails with [`PlotError::Shape`] when a table or grid has not the promised number of values.

mod calibration;
mod contours;
mod corner;
mod curves;
mod density;
mod figure;
mod heat;
mod histogram;
#[cfg(test)]
mod hostile;
mod images;
mod number;
mod panel;
mod png;
mod scaling;
mod series;
mod slice;
mod style;
mod weights;

pub use self::{
    calibration::{coverage, pit},
    corner::{Corner, Subject, corner},
    curves::{Bounds, Interval, NormaliserPoint, Yardstick, bounds, ess, log_normaliser},
    density::{Density2d, density_2d},
    heat::{Grid, Shade},
    images::{Images, images},
    png::{FONT_OTF, to_png},
    scaling::{Measured, Scaling, Trend, scaling},
    slice::{Slice1d, slice_1d},
    weights::log_weights,
};
pub(crate) use number::{grouped, short};

/// Why a picture could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlotError {
    /// The input's length is not what its shape says.
    #[error("{what} should hold {expected}, but holds {found} values")]
    Shape {
        /// Which argument.
        what: &'static str,
        /// What its length should be, in words.
        expected: String,
        /// Its length.
        found: usize,
    },
    /// The drawing back end refused.
    #[error("picture `{figure}` could not be drawn: {why}")]
    Draw {
        /// Title of the picture.
        figure: String,
        /// The back end's words.
        why: String,
    },
    /// The SVG text could not be turned into a PNG.
    #[error("no PNG could be made of this picture: {why}")]
    Png {
        /// What stood in the way.
        why: String,
    },
}
