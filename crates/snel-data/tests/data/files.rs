//! Small files made by other writers than our own, where there are any.

use arrow::array::{ArrayRef, BooleanArray, Float32Array, Float64Array, Int64Array, StringArray};
use arrow::record_batch::RecordBatch;
use npyz::WriterBuilder;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use snel_data::{DataError, ReadOptions, open};
use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use zip::write::SimpleFileOptions;

/// A folder that goes away with the test.
pub(crate) struct Folder(tempfile::TempDir);

impl Folder {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn file(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }
}

/// All rows of a file: names, and values row-major.
pub(crate) fn read(
    path: &Path,
    options: &ReadOptions,
) -> Result<(Vec<String>, Vec<f64>), DataError> {
    let mut source = open(path, options)?;
    let (mut all, mut chunk) = (Vec::new(), Vec::new());
    while source.next_chunk(&mut chunk)? > 0 {
        all.extend_from_slice(&chunk);
    }
    Ok((source.columns().to_vec(), all))
}

/// The error of reading `bytes` under `name` with the default options.
pub(crate) fn refusal(name: &str, bytes: impl AsRef<[u8]>) -> DataError {
    let folder = Folder::new();
    read(&folder.file(name, bytes), &ReadOptions::default()).unwrap_err()
}

pub(crate) fn columns(names: &[&str]) -> ReadOptions {
    let columns = names.iter().map(|&name| name.to_owned()).collect();
    ReadOptions { columns, ..ReadOptions::default() }
}

pub(crate) fn npy<T: npyz::Serialize>(dtype: &str, shape: &[u64], values: &[T]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = npyz::WriteOptions::<T>::new()
        .dtype(npyz::DType::new_scalar(dtype.parse().unwrap()))
        .shape(shape)
        .writer(&mut bytes)
        .begin_nd()
        .unwrap();
    for value in values {
        writer.push(value).unwrap();
    }
    writer.finish().unwrap();
    bytes
}

/// A npy file with a header written by hand.
pub(crate) fn npy_header(header: &str, data: &[u8]) -> Vec<u8> {
    let length = u16::try_from(header.len()).unwrap().to_le_bytes();
    [b"\x93NUMPY\x01\x00", length.as_slice(), header.as_bytes(), data].concat()
}

pub(crate) fn npz(members: &[(&str, &[u8])], deflate: bool) -> Vec<u8> {
    let method =
        if deflate { zip::CompressionMethod::DEFLATE } else { zip::CompressionMethod::Stored };
    let options = SimpleFileOptions::default().compression_method(method);
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in members {
        writer.start_file(*name, options).unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

pub(crate) fn idx(code: u8, shape: &[u32], data: &[u8]) -> Vec<u8> {
    let lengths: Vec<u8> = shape.iter().flat_map(|n| n.to_be_bytes()).collect();
    [&[0, 0, code, shape.len() as u8], lengths.as_slice(), data].concat()
}

pub(crate) fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub(crate) fn parquet(columns: Vec<(&str, ArrayRef)>, compression: Compression) -> Vec<u8> {
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let rows = if batch.num_rows() < 100 { 7 } else { 10_000 };
    let properties = WriterProperties::builder()
        .set_compression(compression)
        .set_max_row_group_row_count(Some(rows))
        .build();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    bytes
}

/// Twenty rows: a double, a float, an integer, a flag, a text.
pub(crate) fn table(compression: Compression) -> Vec<u8> {
    let n = 20;
    parquet(
        vec![
            (
                "double",
                Arc::new((0..n).map(|i| Some(f64::from(i) * 0.5)).collect::<Float64Array>()),
            ),
            ("float", Arc::new((0..n).map(|i| Some(i as f32 * 0.25)).collect::<Float32Array>())),
            ("int", Arc::new((0..n).map(|i| Some(i64::from(i) - 10)).collect::<Int64Array>())),
            ("flag", Arc::new((0..n).map(|i| Some(i % 2 == 0)).collect::<BooleanArray>())),
            ("text", Arc::new((0..n).map(|i| Some(format!("t{i}"))).collect::<StringArray>())),
        ],
        compression,
    )
}

pub(crate) fn zstd() -> Compression {
    Compression::ZSTD(ZstdLevel::default())
}
