//! Where data points come from.

use std::io;

/// Rows of a data matrix, fetched by number: in memory, or in a file larger than memory.
///
/// Values are those the model sees (standardised, if the run standardises).
pub trait Rows: Send + Sync {
    /// Number of rows.
    fn len(&self) -> u64;

    /// Values in a row, `D`.
    fn dim(&self) -> usize;

    /// Copies the rows `indices` into `out` (`indices.len() * dim` values, row-major).
    ///
    /// # Errors
    /// A read error of the underlying file; never for rows in memory.
    fn gather(&self, indices: &[u64], out: &mut [f32]) -> io::Result<()>;

    /// True if there is no row.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A row-major matrix in memory.
#[derive(Debug, Clone, PartialEq)]
pub struct Matrix {
    values: Vec<f32>,
    dim: usize,
}

impl Matrix {
    /// A matrix of `values.len() / dim` rows; `None` if that is not a whole number.
    pub fn new(values: Vec<f32>, dim: usize) -> Option<Self> {
        (dim > 0 && values.len().is_multiple_of(dim)).then_some(Self { values, dim })
    }

    /// A matrix without rows, for an engine that only evaluates.
    pub fn empty(dim: usize) -> Self {
        Self { values: Vec::new(), dim }
    }

    /// All values, row after row.
    pub fn values(&self) -> &[f32] {
        &self.values
    }
}

impl Rows for Matrix {
    fn len(&self) -> u64 {
        (self.values.len() / self.dim) as u64
    }

    fn dim(&self) -> usize {
        self.dim
    }

    fn gather(&self, indices: &[u64], out: &mut [f32]) -> io::Result<()> {
        for (&index, row) in indices.iter().zip(out.chunks_exact_mut(self.dim)) {
            let start = index as usize * self.dim;
            row.copy_from_slice(&self.values[start..start + self.dim]);
        }
        Ok(())
    }
}
