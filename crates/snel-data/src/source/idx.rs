//! `.idx` and `-ubyte`: the format of the MNIST files, big-endian, often gzipped.
//!
//! Two zero bytes, a byte for the type, a byte for the number of axes, a 32-bit length for each
//! axis, the numbers in C order (*The MNIST database of handwritten digits*).

use super::array::Array;
use super::element::Element;
use super::raw::{Stream, open_stream, read_error, read_full, wrong_magic};
use crate::DataError;
use std::path::Path;

const FORMAT: &str = "idx";

pub(super) fn open(path: &Path) -> Result<Array, DataError> {
    let (mut stream, len) = open_stream(path)?;
    let mut magic = [0; 4];
    let got = fill(path, &mut stream, &mut magic)?;
    let [0, 0, code, axes] = magic else { return Err(wrong_magic(path, FORMAT, &magic[..got])) };
    let element = match code {
        0x08 => Element::U8,
        0x09 => Element::I8,
        0x0B => Element::I16,
        0x0C => Element::I32,
        0x0D => Element::F32,
        0x0E => Element::F64,
        _ => {
            return Err(DataError::UnsupportedType {
                path: path.to_owned(),
                what: "numbers".to_owned(),
                found: format!("0x{code:02x}"),
                allowed: "0x08 (u8), 0x09 (i8), 0x0b (i16), 0x0c (i32), 0x0d (f32), 0x0e (f64)",
            });
        }
    };
    let mut lengths = vec![0; 4 * usize::from(axes)];
    if fill(path, &mut stream, &mut lengths)? < lengths.len() {
        let reason = "it ends inside the header".to_owned();
        return Err(DataError::Malformed { path: path.to_owned(), format: FORMAT, reason });
    }
    let (lengths, _) = lengths.as_chunks();
    let shape: Vec<u64> = lengths.iter().map(|&b| u64::from(u32::from_be_bytes(b))).collect();
    let exact = !path.extension().is_some_and(|e| e.eq_ignore_ascii_case("gz"));
    let bytes_at_most = len.saturating_sub(4 + 4 * u64::from(axes));
    Ok(Array { format: FORMAT, shape, element, big_endian: true, stream, bytes_at_most, exact })
}

fn fill(path: &Path, stream: &mut Stream, buffer: &mut [u8]) -> Result<usize, DataError> {
    read_full(stream, buffer).map_err(|e| read_error(path, FORMAT, e))
}
