//! Matrices with a row for each point of a tile.

use crate::buffer::{Buffer, stride, zeros};
use crate::layer::{Rows, RowsMut};
use crate::tile::{ROOM, clear_behind};

/// A matrix of `width` columns, its rows padded to whole cache lines.
#[derive(Debug, Clone)]
pub(crate) struct Columns {
    values: Buffer,
    stride: usize,
}

impl Columns {
    pub(crate) fn new(width: usize) -> Self {
        let stride = stride(width);
        Self { values: zeros(ROOM * stride), stride }
    }

    /// Row `i`, padding included.
    pub(crate) fn row(&self, i: usize) -> &[f32] {
        &self.values[i * self.stride..][..self.stride]
    }

    /// The same to write to.
    pub(crate) fn row_mut(&mut self, i: usize) -> &mut [f32] {
        &mut self.values[i * self.stride..][..self.stride]
    }

    pub(crate) fn rows(&self) -> Rows<'_> {
        Rows { values: &self.values, stride: self.stride }
    }

    pub(crate) fn rows_mut(&mut self) -> RowsMut<'_> {
        RowsMut { values: &mut self.values, stride: self.stride }
    }

    /// Adds `other`, which is as wide.
    pub(crate) fn add(&mut self, other: &Self) {
        self.values.iter_mut().zip(&other.values[..]).for_each(|(to, v)| *to += v);
    }

    /// Takes over row-major `values` of as many columns.
    pub(crate) fn set_rows(&mut self, values: &[f32], width: usize) {
        for (to, row) in self.values.chunks_exact_mut(self.stride).zip(values.chunks_exact(width)) {
            to[..width].copy_from_slice(row);
        }
        clear_behind(&mut self.values, self.stride, values.len() / width);
    }
}
