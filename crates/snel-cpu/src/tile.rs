//! The points of a tile, in both orders that the arithmetic wants.

use crate::buffer::{Buffer, stride, zeros};
use crate::layer::Rows;

/// Points of a tile. Three layers of 128 units with their slopes are then 440 KiB: with the packed
/// weights they stay in a second-level cache of 1 MiB.
pub(crate) const TILE: usize = 128;
/// Rows of a tile's buffers: blocks of rows may begin before the last point and end after it.
pub(crate) const ROOM: usize = TILE + 8;

/// Up to [`TILE`] points of `D` values.
#[derive(Debug, Clone)]
pub(crate) struct Tile {
    dim: usize,
    len: usize,
    stride: usize,
    /// `T x D`, rows `stride` apart, zeros between.
    x_td: Buffer,
    /// `D x T`, rows [`TILE`] apart.
    x_dt: Vec<f32>,
}

impl Tile {
    pub(crate) fn new(dim: usize) -> Self {
        let stride = stride(dim);
        Self { dim, len: 0, stride, x_td: zeros(ROOM * stride), x_dt: vec![0.0; dim * TILE] }
    }

    /// Number of points.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Values of a point, `D`.
    pub(crate) fn dim(&self) -> usize {
        self.dim
    }

    /// The points, one a row.
    pub(crate) fn rows(&self) -> Rows<'_> {
        Rows { values: &self.x_td, stride: self.stride }
    }

    /// Coordinate `d` of every point.
    pub(crate) fn coordinate(&self, d: usize) -> &[f32] {
        &self.x_dt[d * TILE..][..self.len]
    }

    /// Replaces the points by `values`, row-major.
    pub(crate) fn set_rows(&mut self, values: &[f32]) {
        self.len = values.len() / self.dim;
        for (t, point) in values.chunks_exact(self.dim).enumerate() {
            self.set_point(t, point.iter().copied());
        }
    }

    /// Replaces the points by `len` new ones, to be filled in by [`Self::set_coordinate`] or
    /// [`Self::set_point`].
    pub(crate) fn begin(&mut self, len: usize) {
        self.len = len;
    }

    /// Sets coordinate `d` of every point.
    pub(crate) fn set_coordinate(&mut self, d: usize, values: &[f64]) {
        let to = &mut self.x_dt[d * TILE..][..self.len];
        for (t, (to, value)) in to.iter_mut().zip(values).enumerate() {
            *to = *value as f32;
            self.x_td[t * self.stride + d] = *to;
        }
    }

    /// Sets point `t`.
    pub(crate) fn set_point(&mut self, t: usize, point: impl Iterator<Item = f32>) {
        for (d, value) in point.enumerate() {
            self.x_dt[d * TILE + t] = value;
            self.x_td[t * self.stride + d] = value;
        }
    }

    /// The values of point `t`.
    pub(crate) fn point(&self, t: usize) -> impl Iterator<Item = f32> + use<'_> {
        self.x_td[t * self.stride..][..self.dim].iter().copied()
    }

    /// Becomes the points `x`, row-major.
    pub(crate) fn set_places(&mut self, x: &[f64]) {
        self.begin(x.len() / self.dim);
        for (t, point) in x.chunks_exact(self.dim).enumerate() {
            self.set_point(t, point.iter().map(|&value| value as f32));
        }
    }

    /// Copies the points to `x`, row-major.
    pub(crate) fn copy_places(&self, x: &mut [f64]) {
        for (t, x) in x.chunks_exact_mut(self.dim).enumerate() {
            self.point(t).zip(x).for_each(|(value, x)| *x = f64::from(value));
        }
    }

    /// Adds a point; there must be room.
    pub(crate) fn push(&mut self, point: impl Iterator<Item = f32>) {
        self.len += 1;
        self.set_point(self.len - 1, point);
    }

    /// Adds `by` to every point.
    pub(crate) fn shift(&mut self, by: &[f32]) {
        for (d, by) in by.iter().enumerate() {
            for t in 0..self.len {
                self.x_dt[d * TILE + t] += by;
                self.x_td[t * self.stride + d] += by;
            }
        }
    }

    /// Sets the rows to zero that a block may read behind the last point, so that they hold numbers.
    pub(crate) fn clear_behind(&mut self) {
        clear_behind(&mut self.x_td, self.stride, self.len);
    }

    /// Copies the points to `out`, row-major.
    pub(crate) fn copy_to(&self, out: &mut [f32]) {
        for (point, row) in out.chunks_exact_mut(self.dim).zip(self.x_td.chunks(self.stride)) {
            point.copy_from_slice(&row[..self.dim]);
        }
    }
}

/// Zeros in the rows, `stride` apart, that a block may read behind the first `n`.
pub(crate) fn clear_behind(values: &mut [f32], stride: usize, n: usize) {
    values[n * stride..(n + ROOM - TILE) * stride].fill(0.0);
}
