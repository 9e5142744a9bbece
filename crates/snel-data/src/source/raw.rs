//! Bytes of a file: opening, decompressing, and saying what went wrong.

use crate::DataError;
use flate2::read::MultiGzDecoder;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

/// Deflate codes at best 258 bytes in two bits, so no stream grows by more than this factor.
const DEFLATE_RATIO: u64 = 1032;

/// A forward-only stream of bytes.
pub(super) type Stream = Box<dyn Read + Send>;

/// The file and its length in bytes.
pub(super) fn open_file(path: &Path) -> Result<(File, u64), DataError> {
    let unreadable = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => DataError::Missing { path: path.to_owned() },
        _ => DataError::Unreadable { path: path.to_owned(), source },
    };
    let file = File::open(path).map_err(unreadable)?;
    let meta = file.metadata().map_err(unreadable)?;
    if meta.is_file() && meta.len() == 0 {
        return Err(DataError::NoRows { path: path.to_owned() });
    }
    Ok((file, meta.len()))
}

/// The bytes of the file, decompressed if its name ends in `.gz`, and a bound on how many there
/// can be (exact for a plain file).
pub(super) fn open_stream(path: &Path) -> Result<(Stream, u64), DataError> {
    let (file, len) = open_file(path)?;
    let gz = path.extension().is_some_and(|e| e.eq_ignore_ascii_case("gz"));
    let file = BufReader::with_capacity(1 << 16, file);
    Ok(if gz {
        (Box::new(MultiGzDecoder::new(file)), len.saturating_mul(DEFLATE_RATIO))
    } else {
        (Box::new(file), len)
    })
}

/// Bound on the length of `len` bytes once inflated.
pub(super) fn inflated(len: u64) -> u64 {
    len.saturating_mul(DEFLATE_RATIO)
}

/// Reads until `buffer` is full or the stream ends; returns the bytes read.
pub(super) fn read_full(stream: &mut Stream, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match stream.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(filled)
}

/// A failed read: bytes that do not decode are the file's fault, the rest is the system's.
pub(super) fn read_error(path: &Path, format: &'static str, source: io::Error) -> DataError {
    match source.kind() {
        io::ErrorKind::UnexpectedEof => DataError::Malformed {
            path: path.to_owned(),
            format,
            reason: "it ends too early".to_owned(),
        },
        io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => {
            DataError::Malformed { path: path.to_owned(), format, reason: source.to_string() }
        }
        _ => DataError::Unreadable { path: path.to_owned(), source },
    }
}

/// The error for a file whose first bytes are not those of its format.
pub(super) fn wrong_magic(path: &Path, format: &'static str, start: &[u8]) -> DataError {
    let found: Vec<String> = start.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    DataError::WrongMagic { path: path.to_owned(), format, found: found.join(" ") }
}
