//! Rows of an array of one number type: what `.npy`, `.npz` and `.idx` share once their headers
//! are read.

use super::element::Element;
use super::raw::{Stream, read_error, read_full};
use super::{MAX_COLUMNS, check_finite, chunk_rows, select};
use crate::DataError;
use std::path::{Path, PathBuf};

/// An array whose numbers come next in `stream`, in C order.
pub(super) struct Array {
    pub(super) format: &'static str,
    pub(super) shape: Vec<u64>,
    pub(super) element: Element,
    pub(super) big_endian: bool,
    pub(super) stream: Stream,
    /// No more bytes than this can follow, whatever the header claims.
    pub(super) bytes_at_most: u64,
    /// True if exactly that many follow.
    pub(super) exact: bool,
}

/// The rows of an [`Array`]: the first axis counts them, the others are flattened.
pub(super) struct ArrayRows {
    path: PathBuf,
    array: Array,
    columns: Vec<String>,
    chosen: Option<Vec<usize>>,
    width: usize,
    rows: u64,
    next_row: u64,
    bytes: Vec<u8>,
    whole: Vec<f64>,
}

impl ArrayRows {
    pub(super) fn new(path: &Path, array: Array, wanted: &[String]) -> Result<Self, DataError> {
        let (rows, width) = rows_and_width(path, &array)?;
        let names: Vec<String> = (0..width).map(|i| i.to_string()).collect();
        let chosen = select::choose(path, &names, wanted)?;
        let columns = chosen.iter().map(|&i| names[i].clone()).collect();
        let chosen = (!wanted.is_empty()).then_some(chosen);
        let (bytes, whole) = (Vec::new(), Vec::new());
        Ok(Self {
            path: path.to_owned(),
            array,
            columns,
            chosen,
            width,
            rows,
            next_row: 0,
            bytes,
            whole,
        })
    }

    pub(super) fn columns(&self) -> &[String] {
        &self.columns
    }

    pub(super) fn read(&mut self, out: &mut Vec<f64>) -> Result<(), DataError> {
        let array = &mut self.array;
        let row_bytes = self.width * array.element.size();
        let rows = (self.rows - self.next_row).min(chunk_rows(self.width) as u64) as usize;
        self.bytes.resize(rows * row_bytes, 0);
        let got = read_full(&mut array.stream, &mut self.bytes)
            .map_err(|e| read_error(&self.path, array.format, e))?;
        if got < self.bytes.len() {
            return Err(DataError::Truncated {
                path: self.path.clone(),
                expected: self.rows * row_bytes as u64,
                found: self.next_row * row_bytes as u64 + got as u64,
            });
        }
        match &self.chosen {
            None => array.element.decode(array.big_endian, &self.bytes, out),
            Some(chosen) => {
                self.whole.clear();
                array.element.decode(array.big_endian, &self.bytes, &mut self.whole);
                for row in self.whole.chunks_exact(self.width) {
                    out.extend(chosen.iter().map(|&i| row[i]));
                }
            }
        }
        check_finite(&self.path, &self.columns, out, self.next_row)?;
        self.next_row += rows as u64;
        if self.next_row == self.rows {
            // What follows the array is not data, but reading on lets a checksum be checked.
            let rest = read_full(&mut array.stream, &mut [0]);
            rest.map_err(|e| read_error(&self.path, array.format, e))?;
        }
        Ok(())
    }
}

/// Rows and columns that the header claims, checked against what the file can hold.
fn rows_and_width(path: &Path, array: &Array) -> Result<(u64, usize), DataError> {
    let absurd = |what: String| DataError::AbsurdHeader { path: path.to_owned(), what };
    let Some((&rows, rest)) = array.shape.split_first() else {
        return Err(absurd("the array is a single number, without rows".to_owned()));
    };
    let claim = || format!("an array of shape {:?}", array.shape);
    let width = rest.iter().try_fold(1u64, |product, &n| product.checked_mul(n));
    let width = width
        .filter(|&w| w <= MAX_COLUMNS)
        .ok_or_else(|| absurd(format!("{} has more than {MAX_COLUMNS} columns", claim())))?;
    if rows == 0 || width == 0 {
        return Err(DataError::NoRows { path: path.to_owned() });
    }
    let bytes = (width * array.element.size() as u64).checked_mul(rows);
    match bytes {
        Some(expected) if expected <= array.bytes_at_most => Ok((rows, width as usize)),
        Some(expected) if array.exact => Err(DataError::Truncated {
            path: path.to_owned(),
            expected,
            found: array.bytes_at_most,
        }),
        _ => Err(absurd(format!(
            "{} cannot be in a file of this length (at most {} bytes of data)",
            claim(),
            array.bytes_at_most
        ))),
    }
}
