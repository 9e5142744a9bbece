//! Tables of numbers written to files: samples and scores.
//!
//! Invariant: the name appears only when the file is whole. Rows go to a temporary file beside it,
//! which is synchronised and renamed by [`RowWriter::finish`]; dropped without that, it is removed
//! and whatever had the name before is still there.

use crate::DataError;
use arrow::array::{ArrayRef, Float64Array};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::record_batch::RecordBatch;
use npyz::WriterBuilder;
use parquet::arrow::ArrowWriter;
use std::fs::File;
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tempfile::{NamedTempFile, TempPath};

/// A file of rows being written: `.csv`, `.npy` (f64, two axes) or `.parquet`.
pub struct RowWriter {
    path: PathBuf,
    columns: usize,
    temporary: TempPath,
    file: File,
    format: Format,
}

enum Format {
    Csv(Box<csv::Writer<File>>),
    Npy(Box<npyz::NpyWriter<f64, BufWriter<File>>>),
    Parquet(Arc<Schema>, Box<ArrowWriter<File>>),
}

/// Writes `values`, row-major, to `path`, with these names of columns where the format has names.
///
/// # Errors
/// [`DataError::UnknownOutput`], [`DataError::PartialRow`], [`DataError::Write`].
pub fn write_rows(path: &Path, columns: &[String], values: &[f64]) -> Result<(), DataError> {
    let mut writer = RowWriter::create(path, columns)?;
    writer.push(values)?;
    writer.finish()
}

impl RowWriter {
    /// Begins a file; its format follows from the ending of `path`.
    ///
    /// # Errors
    /// [`DataError::UnknownOutput`], [`DataError::Write`].
    pub fn create(path: &Path, columns: &[String]) -> Result<Self, DataError> {
        let extension = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
        if !["csv", "npy", "parquet"].contains(&extension.as_str()) {
            let allowed = ".csv, .npy, .parquet";
            return Err(DataError::UnknownOutput { path: path.to_owned(), allowed });
        }
        Self::begin(path, columns, &extension).map_err(failed(path))
    }

    fn begin(path: &Path, columns: &[String], extension: &str) -> io::Result<Self> {
        let (file, temporary) = temporary(path)?.into_parts();
        let other = file.try_clone()?;
        let format = match extension {
            "csv" => {
                let mut writer = csv::Writer::from_writer(other);
                writer.write_record(columns)?;
                Format::Csv(Box::new(writer))
            }
            "npy" => {
                let writer = npyz::WriteOptions::new()
                    .default_dtype()
                    .writer(BufWriter::new(other))
                    .begin_2d(columns.len() as u64)?;
                Format::Npy(Box::new(writer))
            }
            _ => {
                let field = |name: &String| Field::new(name, DataType::Float64, false);
                let schema = Arc::new(Schema::new(columns.iter().map(field).collect::<Vec<_>>()));
                let writer = ArrowWriter::try_new(other, Arc::clone(&schema), None)?;
                Format::Parquet(schema, Box::new(writer))
            }
        };
        Ok(Self { path: path.to_owned(), columns: columns.len(), temporary, file, format })
    }

    /// Appends whole rows, row-major.
    ///
    /// # Errors
    /// [`DataError::PartialRow`], [`DataError::Write`].
    pub fn push(&mut self, values: &[f64]) -> Result<(), DataError> {
        if self.columns == 0 || !values.len().is_multiple_of(self.columns) {
            let (path, values, columns) = (self.path.clone(), values.len(), self.columns);
            return Err(DataError::PartialRow { path, values, columns });
        }
        self.append(values).map_err(failed(&self.path))
    }

    fn append(&mut self, values: &[f64]) -> io::Result<()> {
        let rows = values.chunks_exact(self.columns);
        match &mut self.format {
            Format::Csv(writer) => {
                for row in rows {
                    // Debug prints the shortest digits that read back as the same number, and an
                    // exponent where it is shorter.
                    writer.write_record(row.iter().map(|value| format!("{value:?}")))?;
                }
            }
            Format::Npy(writer) => writer.extend(values.iter().copied())?,
            Format::Parquet(schema, writer) => {
                let column = |k: usize| {
                    let values = values.iter().skip(k).step_by(self.columns).copied();
                    Arc::new(Float64Array::from_iter_values(values)) as ArrayRef
                };
                let columns = (0..self.columns).map(column).collect();
                let batch = RecordBatch::try_new(Arc::clone(schema), columns);
                writer.write(&batch.map_err(io::Error::other)?)?;
            }
        }
        Ok(())
    }

    /// Completes the file and gives it its name.
    ///
    /// # Errors
    /// [`DataError::Write`].
    pub fn finish(self) -> Result<(), DataError> {
        let Self { path, temporary, file, format, .. } = self;
        let complete = || {
            match format {
                Format::Csv(mut writer) => writer.flush()?,
                Format::Npy(writer) => writer.finish()?,
                Format::Parquet(_, writer) => {
                    writer.close()?;
                }
            }
            file.sync_all()?;
            temporary.persist(&path).map_err(|e| e.error)
        };
        complete().map_err(failed(&path))
    }
}

/// A temporary file beside `path`, with the permissions an ordinary new file has.
fn temporary(path: &Path) -> io::Result<NamedTempFile> {
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut builder = tempfile::Builder::new();
    builder.prefix(".snel-").suffix(".part");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    builder.tempfile_in(dir)
}

fn failed(path: &Path) -> impl Fn(io::Error) -> DataError {
    move |source| DataError::Write { path: path.to_owned(), source }
}
