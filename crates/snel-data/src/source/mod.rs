//! Tables of numbers in files, read chunk by chunk.
//!
//! Invariants
//! 1. A chunk holds whole rows of finite values, in the order of the file, `dim` values a row.
//! 2. Memory does not grow with the file: about [`CHUNK_VALUES`] values are held, or one row.
//! 3. No size that a file claims is allocated before the length of the file allows it.
//! 4. A file that does not fit its format is refused with its name and, where there is one, the
//!    line or row; no bytes make a reader panic.

mod array;
mod csv;
mod element;
mod idx;
mod npy;
mod npz;
mod parquet;
mod parquet_pages;
mod raw;
mod select;
mod sniff;

use crate::DataError;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Values in a chunk, unless a single row is longer.
const CHUNK_VALUES: usize = 1 << 16;

/// More columns than this are taken for a mistake.
const MAX_COLUMNS: u64 = 1 << 20;

const ENDINGS: &str = ".csv, .tsv, .txt, .npy, .npz, .parquet, .idx, -ubyte \
                       (.csv, .tsv, .txt, .idx and -ubyte also with .gz)";

/// How to read a file. The default fits most files.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ReadOptions {
    /// Columns to read, in this order, by name or by number from 0; empty: all.
    pub columns: Vec<String>,
    /// Columns to put last, by name or by number from 0, whether they are among `columns` or not;
    /// empty: none. There must be others.
    pub targets: Vec<String>,
    /// Text files: what separates fields; none: guess among comma, semicolon, tab, bar, space.
    pub delimiter: Option<char>,
    /// Text files: whether the first row is names; none: it is if it holds something that is
    /// neither a number nor a mark for a missing value.
    pub header: Option<bool>,
    /// Archives (`.npz`): name of the array; none: the only one, or `X`, or `train`.
    pub member: Option<String>,
}

/// An open file of rows.
pub struct Source {
    path: PathBuf,
    columns: Vec<String>,
    rows: u64,
    format: Format,
}

enum Format {
    Csv(Box<csv::CsvRows>),
    Array(Box<array::ArrayRows>),
    Parquet(Box<parquet::ParquetRows>),
}

/// Opens a file by the ending of its name.
///
/// # Errors
/// Any fault of the name, the header or the chosen columns.
pub fn open(path: &Path, options: &ReadOptions) -> Result<Source, DataError> {
    if options.targets.is_empty() {
        return open_columns(path, options);
    }
    // The names first: which columns are left is known only then.
    let ReadOptions { columns, targets, .. } = options;
    let all = ReadOptions { columns: Vec::new(), targets: Vec::new(), ..options.clone() };
    let names = open_columns(path, &all)?.columns;
    let last = select::choose(path, &names, targets)?;
    let mut order = select::choose(path, &names, columns)?;
    order.retain(|i| !last.contains(i));
    if order.is_empty() {
        return Err(DataError::NoInputs { path: path.to_owned() });
    }
    order.extend(last);
    let columns = order.into_iter().map(|i| names[i].clone()).collect();
    open_columns(path, &ReadOptions { columns, ..options.clone() })
}

fn open_columns(path: &Path, options: &ReadOptions) -> Result<Source, DataError> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let plain = name.strip_suffix(".gz");
    let ending =
        |endings: &[&str]| endings.iter().any(|ending| plain.unwrap_or(&name).ends_with(ending));
    if path.is_dir() {
        let source = std::io::Error::from(std::io::ErrorKind::IsADirectory);
        return Err(DataError::Unreadable { path: path.to_owned(), source });
    }
    let unknown = || DataError::UnknownExtension { path: path.to_owned(), allowed: ENDINGS };
    let wanted = &options.columns;
    let format = if ending(&[".csv", ".tsv", ".txt"]) {
        Format::Csv(Box::new(csv::CsvRows::open(path, options)?))
    } else if ending(&[".idx", "-ubyte"]) {
        Format::Array(Box::new(array::ArrayRows::new(path, idx::open(path)?, wanted)?))
    } else if plain.is_some() {
        return Err(unknown());
    } else if ending(&[".npy"]) {
        Format::Array(Box::new(array::ArrayRows::new(path, npy::open(path)?, wanted)?))
    } else if ending(&[".npz"]) {
        let member = options.member.as_deref();
        Format::Array(Box::new(array::ArrayRows::new(path, npz::open(path, member)?, wanted)?))
    } else if ending(&[".parquet"]) {
        Format::Parquet(Box::new(parquet::ParquetRows::open(path, wanted)?))
    } else {
        return Err(unknown());
    };
    let columns = match &format {
        Format::Csv(rows) => rows.columns(),
        Format::Array(rows) => rows.columns(),
        Format::Parquet(rows) => rows.columns(),
    };
    Ok(Source { path: path.to_owned(), columns: columns.to_vec(), rows: 0, format })
}

impl Source {
    /// Names of the chosen columns; numbers from 0 where the file has no names.
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// Values in a row.
    pub fn dim(&self) -> usize {
        self.columns.len()
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Replaces `out` by the next rows, row-major, and returns how many there are; 0 at the end.
    ///
    /// # Errors
    /// Any fault of the bytes read; [`DataError::NoRows`] if the end comes before the first row.
    /// After an error the source should be dropped.
    pub fn next_chunk(&mut self, out: &mut Vec<f64>) -> Result<usize, DataError> {
        out.clear();
        match &mut self.format {
            Format::Csv(rows) => rows.read(out)?,
            Format::Array(rows) => rows.read(out)?,
            Format::Parquet(rows) => rows.read(out)?,
        }
        let rows = out.len() / self.columns.len();
        if rows == 0 && self.rows == 0 {
            return Err(DataError::NoRows { path: self.path.clone() });
        }
        self.rows += rows as u64;
        Ok(rows)
    }
}

/// Rows to read at once when a row has `width` values.
fn chunk_rows(width: usize) -> usize {
    (CHUNK_VALUES / width.max(1)).max(1)
}

/// Refuses the first value that is not finite. `first_row` is the number of the first row.
fn check_finite(
    path: &Path,
    columns: &[String],
    values: &[f64],
    first_row: u64,
) -> Result<(), DataError> {
    match values.iter().position(|value| !value.is_finite()) {
        None => Ok(()),
        Some(at) => Err(DataError::NotFinite {
            path: path.to_owned(),
            place: crate::Place::Row(first_row + (at / columns.len()) as u64),
            column: columns[at % columns.len()].clone(),
            value: values[at],
        }),
    }
}
