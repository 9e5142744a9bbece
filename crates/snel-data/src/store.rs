//! The rows of one part of the data, as the model sees them, in memory or in a scratch file.

use crate::spill::{Spill, SpillWriter};
use snel_core::rows::Rows;
use std::io;
use std::path::Path;

/// Rows of `dim` little-endian f32 values, fetched by number from any thread.
#[derive(Debug)]
pub struct Store {
    bytes: Spill,
    rows: u64,
    dim: usize,
}

impl Store {
    /// True if the rows are in memory, false if they are in a scratch file.
    pub fn in_memory(&self) -> bool {
        matches!(self.bytes, Spill::Memory(_))
    }

    fn row_bytes(&self) -> usize {
        self.dim * size_of::<f32>()
    }
}

impl Rows for Store {
    fn len(&self) -> u64 {
        self.rows
    }

    fn dim(&self) -> usize {
        self.dim
    }

    /// Neighbouring indices that follow each other are read at one go.
    fn gather(&self, indices: &[u64], out: &mut [f32]) -> io::Result<()> {
        let row_bytes = self.row_bytes();
        let mut buffer = Vec::new();
        let mut out = out;
        for run in indices.chunk_by(|a, b| a.checked_add(1) == Some(*b)) {
            if run.iter().any(|&index| index >= self.rows) || out.len() < run.len() * self.dim {
                return Err(io::Error::from(io::ErrorKind::InvalidInput));
            }
            let (now, later) = out.split_at_mut(run.len() * self.dim);
            buffer.resize(run.len() * row_bytes, 0);
            self.bytes.with(run[0] * row_bytes as u64, &mut buffer, |bytes| {
                let (values, _) = bytes.as_chunks();
                for (to, &from) in now.iter_mut().zip(values) {
                    *to = f32::from_le_bytes(from);
                }
            })?;
            out = later;
        }
        Ok(())
    }
}

/// A [`Store`] being filled.
pub(crate) struct StoreWriter<'a> {
    bytes: SpillWriter<'a>,
    dim: usize,
    rows: u64,
    row: Vec<u8>,
}

impl<'a> StoreWriter<'a> {
    /// At most `limit` bytes stay in memory; more go to a file in `dir`.
    pub(crate) fn new(dim: usize, dir: &'a Path, limit: u64) -> Self {
        Self { bytes: SpillWriter::new(dir, limit), dim, rows: 0, row: Vec::new() }
    }

    /// Appends one row.
    pub(crate) fn push(&mut self, row: &[f32]) -> io::Result<()> {
        debug_assert_eq!(row.len(), self.dim);
        self.row.clear();
        self.row.extend(row.iter().flat_map(|value| value.to_le_bytes()));
        self.rows += 1;
        self.bytes.write(&self.row)
    }

    pub(crate) fn finish(self) -> io::Result<Store> {
        Ok(Store { bytes: self.bytes.finish()?, rows: self.rows, dim: self.dim })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn store(rows: u64, dim: usize, limit: u64) -> Store {
        let dir = std::env::temp_dir();
        let mut writer = StoreWriter::new(dim, &dir, limit);
        for row in 0..rows {
            let values: Vec<f32> = (0..dim).map(|k| (row * 10 + k as u64) as f32).collect();
            writer.push(&values).unwrap();
        }
        writer.finish().unwrap()
    }

    proptest! {
        /// Any limit, any order of indices: the same rows, in memory or not.
        #[test]
        fn gathers_what_was_pushed(
            rows in 1u64..40,
            dim in 1usize..5,
            limit in 0u64..900,
            picks in prop::collection::vec(0u64..40, 0..60),
        ) {
            let store = store(rows, dim, limit);
            prop_assert_eq!(store.in_memory(), rows * dim as u64 * 4 <= limit);
            prop_assert_eq!((store.len(), store.dim()), (rows, dim));
            let indices: Vec<u64> = picks.iter().map(|pick| pick % rows).collect();
            let mut out = vec![0.0; indices.len() * dim];
            store.gather(&indices, &mut out).unwrap();
            for (index, row) in indices.iter().zip(out.chunks(dim)) {
                for (k, value) in row.iter().enumerate() {
                    prop_assert_eq!(*value, (index * 10 + k as u64) as f32);
                }
            }
        }
    }

    #[test]
    fn an_index_beyond_the_end_is_an_error() {
        for limit in [0, 1000] {
            assert!(store(3, 2, limit).gather(&[3], &mut [0.0; 2]).is_err());
            assert!(store(3, 2, limit).gather(&[0, 1], &mut [0.0; 2]).is_err());
        }
    }
}
