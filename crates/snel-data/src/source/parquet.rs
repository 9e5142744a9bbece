//! `.parquet`: numeric columns, one record batch at a time.
//!
//! The decoder panics on some damaged files ("Decoder for dict should have been set", for one; the
//! test of mutated files finds it in a second). So its calls, and nothing else, run under
//! `catch_unwind`, and a panic becomes [`DataError::Malformed`]. The panic hook still prints its
//! line; a program built with `panic = "abort"` would end there.

use super::parquet_pages::Pages;
use super::raw::{open_file, read_full, wrong_magic};
use super::{check_finite, chunk_rows, select};
use crate::{DataError, Place};
use arrow::array::{Array, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};
use std::fs::File;
use std::io::{Seek, SeekFrom};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

const FORMAT: &str = "parquet";

pub(super) struct ParquetRows {
    path: PathBuf,
    reader: ParquetRecordBatchReader,
    columns: Vec<String>,
    /// Position in a batch, which follows the file's order, of each chosen column.
    positions: Vec<usize>,
    rows: u64,
}

impl ParquetRows {
    pub(super) fn open(path: &Path, wanted: &[String]) -> Result<Self, DataError> {
        let file = checked(path)?;
        let malformed = |reason: String| malformed(path, reason);
        let index = guarded(path, || {
            ArrowReaderMetadata::load(
                &file,
                parquet::arrow::arrow_reader::ArrowReaderOptions::default(),
            )
        })?;
        let index = index.map_err(|e| malformed(e.to_string()))?;
        let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(Pages::new(file), index);
        let fields = builder.schema().fields().clone();
        let names: Vec<String> = fields.iter().map(|field| field.name().clone()).collect();
        let chosen = select::choose(path, &names, wanted)?;
        for &i in &chosen {
            if !is_number(fields[i].data_type()) {
                return Err(DataError::UnsupportedType {
                    path: path.to_owned(),
                    what: format!("column `{}`", names[i]),
                    found: fields[i].data_type().to_string(),
                    allowed: "booleans, integers, floats, decimals",
                });
            }
        }
        if chosen.is_empty() {
            return Err(DataError::NoRows { path: path.to_owned() });
        }
        let mut in_file_order = chosen.clone();
        in_file_order.sort_unstable();
        let positions = chosen.iter().map(|i| in_file_order.partition_point(|j| j < i)).collect();
        let mask = ProjectionMask::roots(builder.parquet_schema(), chosen.iter().copied());
        let builder = builder.with_projection(mask).with_batch_size(chunk_rows(chosen.len()));
        let reader = guarded(path, || builder.build())?.map_err(|e| malformed(e.to_string()))?;
        let columns = chosen.iter().map(|&i| names[i].clone()).collect();
        Ok(Self { path: path.to_owned(), reader, columns, positions, rows: 0 })
    }

    pub(super) fn columns(&self) -> &[String] {
        &self.columns
    }

    pub(super) fn read(&mut self, out: &mut Vec<f64>) -> Result<(), DataError> {
        let batch = loop {
            match guarded(&self.path, || self.reader.next())? {
                None => return Ok(()),
                Some(Ok(batch)) if batch.num_rows() == 0 => {}
                Some(Ok(batch)) => break batch,
                Some(Err(e)) => return Err(malformed(&self.path, e.to_string())),
            }
        };
        self.interleave(&batch, out)?;
        check_finite(&self.path, &self.columns, out, self.rows)?;
        self.rows += batch.num_rows() as u64;
        Ok(())
    }

    fn interleave(&self, batch: &RecordBatch, out: &mut Vec<f64>) -> Result<(), DataError> {
        let broken = |e: ArrowError| malformed(&self.path, e.to_string());
        let width = self.columns.len();
        out.resize(batch.num_rows() * width, 0.0);
        for (k, (&position, column)) in self.positions.iter().zip(&self.columns).enumerate() {
            let values = cast(batch.column(position), &DataType::Float64).map_err(broken)?;
            if let Some(row) = (0..values.len()).find(|&row| values.is_null(row)) {
                return Err(DataError::Null {
                    path: self.path.clone(),
                    place: Place::Row(self.rows + row as u64),
                    column: column.clone(),
                });
            }
            let values = values.as_primitive::<Float64Type>().values();
            for (row, value) in out.chunks_exact_mut(width).zip(values) {
                row[k] = *value;
            }
        }
        Ok(())
    }
}

/// Runs a call into the decoder; its panic is the file's fault. What it leaves half done is not
/// used again: the error ends the reading.
fn guarded<T>(path: &Path, call: impl FnOnce() -> T) -> Result<T, DataError> {
    catch_unwind(AssertUnwindSafe(call))
        .map_err(|_| malformed(path, "its decoder gave up on it".to_owned()))
}

/// The file, if it begins and ends as the format says.
fn checked(path: &Path) -> Result<File, DataError> {
    const MAGIC: &[u8] = b"PAR1";
    let (mut file, len) = open_file(path)?;
    let unreadable = |source| DataError::Unreadable { path: path.to_owned(), source };
    let mut ends = [0; 4];
    let mut read = |from: SeekFrom| {
        file.seek(from).map_err(unreadable)?;
        let mut stream: super::raw::Stream = Box::new(file.try_clone().map_err(unreadable)?);
        let got = read_full(&mut stream, &mut ends).map_err(unreadable)?;
        Ok(ends[..got].to_vec())
    };
    let start = read(SeekFrom::Start(0))?;
    if start != MAGIC {
        return Err(wrong_magic(path, FORMAT, &start));
    }
    if len < 12 || read(SeekFrom::End(-4))? != MAGIC {
        return Err(malformed(path, "its end, where the index is, is missing".to_owned()));
    }
    Ok(file)
}

fn is_number(data_type: &DataType) -> bool {
    data_type.is_numeric() || *data_type == DataType::Boolean
}

fn malformed(path: &Path, reason: String) -> DataError {
    DataError::Malformed { path: path.to_owned(), format: FORMAT, reason }
}
