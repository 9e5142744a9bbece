//! `.npz`: a zip archive of `.npy` arrays, stored or deflated, as `numpy.savez` writes them.
//!
//! The archive's index is read by `zip`; the bytes of the member are inflated here, because that
//! crate's reader borrows the archive and a [`Stream`] must own what it reads. The checksum is
//! compared when the member ends.

use super::array::Array;
use super::npy;
use super::raw::{Stream, inflated, open_file, wrong_magic};
use crate::DataError;
use flate2::{Crc, read::DeflateDecoder};
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::Path;
use zip::CompressionMethod;

const FORMAT: &str = "npz";

pub(super) fn open(path: &Path, wanted: Option<&str>) -> Result<Array, DataError> {
    let malformed =
        |reason: String| DataError::Malformed { path: path.to_owned(), format: FORMAT, reason };
    let (mut file, file_len) = open_file(path)?;
    let mut start = Vec::new();
    let read = (&mut file).take(4).read_to_end(&mut start);
    read.map_err(|e| super::raw::read_error(path, FORMAT, e))?;
    if !start.starts_with(b"PK") {
        return Err(wrong_magic(path, FORMAT, &start));
    }
    let mut archive =
        zip::ZipArchive::new(BufReader::new(file)).map_err(|e| malformed(e.to_string()))?;
    let index = member(path, &archive, wanted)?;
    let entry = archive.by_index_raw(index).map_err(|e| malformed(e.to_string()))?;
    if entry.encrypted() {
        return Err(malformed("it is encrypted".to_owned()));
    }
    let (packed, unpacked, crc) = (entry.compressed_size(), entry.size(), entry.crc32());
    let method = entry.compression();
    let data = entry.data_start().ok_or_else(|| malformed("a member has no data".to_owned()))?;
    drop(entry);
    if packed > file_len || unpacked > inflated(packed) {
        let what = format!("a member of {unpacked} bytes in {packed} of {file_len}");
        return Err(DataError::AbsurdHeader { path: path.to_owned(), what });
    }
    let mut file = archive.into_inner();
    file.seek(SeekFrom::Start(data)).map_err(|e| super::raw::read_error(path, FORMAT, e))?;
    let bytes = file.take(packed);
    let stream: Stream = match method {
        CompressionMethod::Stored => Box::new(Checked::new(bytes, crc)),
        CompressionMethod::Deflated => Box::new(Checked::new(DeflateDecoder::new(bytes), crc)),
        other => return Err(malformed(format!("members compressed by {other} are not read"))),
    };
    npy::array(path, stream, unpacked, true)
}

/// Position of the wanted array: that name, or the only one, or `X`, or `train`.
fn member<R: Read + Seek>(
    path: &Path,
    archive: &zip::ZipArchive<R>,
    wanted: Option<&str>,
) -> Result<usize, DataError> {
    let arrays: Vec<(usize, String)> = (0..archive.len())
        .filter_map(|i| {
            Some((i, archive.name_for_index(i)?.ok()?.strip_suffix(".npy")?.to_owned()))
        })
        .collect();
    let named = |name: &str| arrays.iter().find(|(_, array)| array == name);
    let found = match wanted {
        Some(name) => named(name),
        None if arrays.len() == 1 => arrays.first(),
        None => named("X").or_else(|| named("train")),
    };
    found.map(|(index, _)| *index).ok_or_else(|| DataError::Member {
        path: path.to_owned(),
        wanted: wanted.map(str::to_owned),
        available: arrays.iter().map(|(_, name)| name.clone()).collect(),
    })
}

/// A stream that fails at its end if its bytes do not have the checksum `expected`.
struct Checked<R> {
    inner: R,
    crc: Crc,
    expected: u32,
}

impl<R> Checked<R> {
    fn new(inner: R, expected: u32) -> Self {
        Self { inner, crc: Crc::new(), expected }
    }
}

impl<R: Read> Read for Checked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let got = self.inner.read(buffer)?;
        self.crc.update(&buffer[..got]);
        if got == 0 && !buffer.is_empty() && self.crc.sum() != self.expected {
            let reason = "the checksum of the member does not agree with its bytes";
            return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
        }
        Ok(got)
    }
}
