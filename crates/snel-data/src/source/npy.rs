//! `.npy`: one `NumPy` array. The header is parsed by `npyz`; the data is streamed by us, since
//! that crate fixes the type of number at compile time.

use super::array::Array;
use super::element::Element;
use super::raw::{Stream, open_stream, read_error, read_full, wrong_magic};
use crate::DataError;
use npyz::{DType, Endianness, NpyHeader, Order, TypeChar};
use std::path::Path;

const FORMAT: &str = "npy";
const MAGIC: &[u8] = b"\x93NUMPY";

/// `NumPy` itself refuses longer headers (`max_header_size`).
const MAX_HEADER: usize = 10_000;

pub(super) fn open(path: &Path) -> Result<Array, DataError> {
    let (stream, len) = open_stream(path)?;
    array(path, stream, len, true)
}

/// The array in `stream`, which can hold at most `len` bytes (exactly, if `exact`).
pub(super) fn array(
    path: &Path,
    mut stream: Stream,
    len: u64,
    exact: bool,
) -> Result<Array, DataError> {
    let header = read_header(path, &mut stream)?;
    let malformed =
        |reason: String| DataError::Malformed { path: path.to_owned(), format: FORMAT, reason };
    guard(&header).map_err(|reason| malformed(reason.to_owned()))?;
    let parsed = NpyHeader::from_reader(header.as_slice()).map_err(|e| malformed(e.to_string()))?;
    if parsed.order() == Order::Fortran && parsed.shape().len() > 1 {
        return Err(DataError::FortranOrder { path: path.to_owned() });
    }
    let (element, big_endian) = element(path, &parsed.dtype())?;
    Ok(Array {
        format: FORMAT,
        shape: parsed.shape().to_vec(),
        element,
        big_endian,
        stream,
        bytes_at_most: len.saturating_sub(header.len() as u64),
        exact,
    })
}

/// Magic, version, length and text of the header, as they are in the file.
fn read_header(path: &Path, stream: &mut Stream) -> Result<Vec<u8>, DataError> {
    let mut header = Vec::new();
    let mut take = |header: &mut Vec<u8>, count: usize| {
        let start = header.len();
        header.resize(start + count, 0);
        let got =
            read_full(stream, &mut header[start..]).map_err(|e| read_error(path, FORMAT, e))?;
        header.truncate(start + got);
        Ok(got == count)
    };
    if !take(&mut header, 8)? || !header.starts_with(MAGIC) {
        return Err(wrong_magic(path, FORMAT, &header));
    }
    // Version 1 has two bytes of length, the later ones four.
    let size_bytes = if header[6] == 1 { 2 } else { 4 };
    let whole = take(&mut header, size_bytes)?;
    let text = header[8..].iter().rev().fold(0, |n: usize, &byte| n << 8 | usize::from(byte));
    if whole && text > MAX_HEADER {
        let what = format!("{text} bytes of header; at most {MAX_HEADER} are read");
        return Err(DataError::AbsurdHeader { path: path.to_owned(), what });
    }
    if !whole || !take(&mut header, text)? {
        return Err(DataError::Malformed {
            path: path.to_owned(),
            format: FORMAT,
            reason: "it ends inside the header".to_owned(),
        });
    }
    Ok(header)
}

/// Refuses what the header parser, which recurses and multiplies unchecked, must not see: deep
/// nesting, and numbers whose product leaves 64 bits.
fn guard(header: &[u8]) -> Result<(), &'static str> {
    let text = &header[8..];
    let mut depth = 0usize;
    for byte in text {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > 6 {
            return Err("its header is nested too deeply");
        }
    }
    text.split(|byte| !byte.is_ascii_digit())
        .filter(|digits| !digits.is_empty())
        .try_fold(1u64, |product, digits| {
            let number = std::str::from_utf8(digits).ok()?.parse::<u64>().ok()?;
            product.checked_mul(number.max(1))
        })
        .map(|_| ())
        .ok_or("the sizes in its header are too large")
}

fn element(path: &Path, dtype: &DType) -> Result<(Element, bool), DataError> {
    let known = match dtype {
        DType::Plain(plain) => {
            let element = match (plain.type_char(), plain.size_field()) {
                (TypeChar::Bool, 1) => Some(Element::Bool),
                (TypeChar::Uint, 1) => Some(Element::U8),
                (TypeChar::Uint, 2) => Some(Element::U16),
                (TypeChar::Uint, 4) => Some(Element::U32),
                (TypeChar::Uint, 8) => Some(Element::U64),
                (TypeChar::Int, 1) => Some(Element::I8),
                (TypeChar::Int, 2) => Some(Element::I16),
                (TypeChar::Int, 4) => Some(Element::I32),
                (TypeChar::Int, 8) => Some(Element::I64),
                (TypeChar::Float, 4) => Some(Element::F32),
                (TypeChar::Float, 8) => Some(Element::F64),
                _ => None,
            };
            element.map(|element| (element, plain.endianness() == Endianness::Big))
        }
        _ => None,
    };
    known.ok_or_else(|| DataError::UnsupportedType {
        path: path.to_owned(),
        what: "an array".to_owned(),
        found: crate::names::shorten(&dtype.descr()),
        allowed: "bool, 8- to 64-bit integers, 32- and 64-bit floats",
    })
}

#[cfg(test)]
mod tests {
    use super::guard;

    #[test]
    fn guard_stops_nesting_and_overflow() {
        let header = |text: &str| guard(&[b"\x93NUMPY\x01\x00", text.as_bytes()].concat());
        assert!(header("{'descr': '<f8', 'shape': (4294967295, 2)}").is_ok());
        assert!(header("{'shape': (4294967296, 4294967296)}").is_err());
        assert!(header("{'shape': (0, 99999999999999999999)}").is_err());
        assert!(header(&"(".repeat(5000)).is_err());
    }
}
