//! The bytes of a Parquet file, given to the decoder only after a look at each page's header.
//!
//! The decoder (parquet 60) believes two sizes before it looks at the data: the length of a page
//! once decompressed, and the number of values in a dictionary. One damaged byte in either makes it
//! fill gigabytes with zeros. So the header is read here first, and refused if its sizes cannot be
//! true.
//!
//! Invariant: the decoder reads no page whose header was not understood here.

use super::raw::inflated;
use bytes::Bytes;
use parquet::errors::{ParquetError, Result};
use parquet::file::reader::{ChunkReader, Length};
use std::fs::File;
use std::io::{BufRead, BufReader};

/// A page may have this length, however well it is packed. Writers make pages of 1 MiB.
const LARGE_PAGE: u64 = 64 << 20;

/// A file whose column chunks are read page by page.
pub(super) struct Pages {
    file: File,
    len: u64,
}

impl Pages {
    pub(super) fn new(file: File) -> Self {
        let len = Length::len(&file);
        Self { file, len }
    }
}

impl Length for Pages {
    fn len(&self) -> u64 {
        self.len
    }
}

impl ChunkReader for Pages {
    type T = BufReader<File>;

    /// What the decoder reads like this, once it has the index, are headers of pages.
    fn get_read(&self, start: u64) -> Result<Self::T> {
        let mut reader = self.file.get_read(start)?;
        let sizes = Compact(reader.fill_buf()?).page_sizes();
        match sizes {
            Some(sizes) if sizes.are_possible() => Ok(reader),
            Some(_) => Err(refused("a page whose header claims an absurd size")),
            None => Err(refused("a page whose header cannot be understood")),
        }
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        if start.checked_add(length as u64).is_none_or(|end| end > self.len) {
            return Err(refused("a page that goes beyond the end of the file"));
        }
        self.file.get_bytes(start, length)
    }
}

fn refused(what: &str) -> ParquetError {
    ParquetError::General(format!("it has {what}"))
}

/// The sizes in a page's header that are allocated unseen.
#[derive(Debug, Default, PartialEq)]
struct Sizes {
    /// Bytes in the file.
    packed: u64,
    /// Bytes once decompressed.
    unpacked: u64,
    /// Values of a dictionary; each takes at least a byte.
    dictionary: u64,
}

impl Sizes {
    fn are_possible(&self) -> bool {
        self.unpacked <= inflated(self.packed).max(LARGE_PAGE) && self.dictionary <= self.unpacked
    }
}

/// Thrift's compact protocol, as far as a page's header needs it
/// (<https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md>).
struct Compact<'a>(&'a [u8]);

const I32: u8 = 5;
const STRUCT: u8 = 12;

/// Structs and lists inside each other in a page's header.
const DEPTH: usize = 4;

impl Compact<'_> {
    /// Fields 2 and 3 of `PageHeader`, and field 1 of its field 7, `DictionaryPageHeader`.
    fn page_sizes(&mut self) -> Option<Sizes> {
        let mut sizes = Sizes::default();
        self.fields(|this, field| match field {
            (2, I32) => this.size().map(|size| sizes.unpacked = size),
            (3, I32) => this.size().map(|size| sizes.packed = size),
            (7, STRUCT) => this.fields(|this, field| match field {
                (1, I32) => this.size().map(|size| sizes.dictionary = size),
                (_, kind) => this.skip(kind, DEPTH),
            }),
            (_, kind) => this.skip(kind, DEPTH),
        })?;
        Some(sizes)
    }

    /// Calls `read` with number and type of each field of a struct.
    fn fields(&mut self, mut read: impl FnMut(&mut Self, (u64, u8)) -> Option<()>) -> Option<()> {
        let mut number = 0;
        loop {
            let head = self.byte()?;
            if head == 0 {
                return Some(());
            }
            let (step, kind) = (u64::from(head >> 4), head & 15);
            number = if step == 0 { self.size()? } else { number + step };
            read(self, (number, kind))?;
        }
    }

    fn skip(&mut self, kind: u8, depth: usize) -> Option<()> {
        let depth = depth.checked_sub(1)?;
        match kind {
            1 | 2 => Some(()),
            3 => self.advance(1),
            4..=6 => self.varint().map(drop),
            7 => self.advance(8),
            8 => self.varint().and_then(|length| self.advance(length)),
            9 | 10 => {
                let head = self.byte()?;
                let (short, kind) = (u64::from(head >> 4), head & 15);
                let count = if short == 15 { self.varint()? } else { short };
                // In a list, a flag has a byte of its own.
                let kind = if kind <= 2 { 3 } else { kind };
                (0..count).try_for_each(|_| self.skip(kind, depth))
            }
            STRUCT => self.fields(|this, (_, kind)| this.skip(kind, depth)),
            _ => None,
        }
    }

    /// A signed number that must not be negative.
    fn size(&mut self) -> Option<u64> {
        let zigzag = self.varint()?;
        (zigzag % 2 == 0).then_some(zigzag / 2)
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..63).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 127) << shift;
            if byte < 128 {
                return Some(value);
            }
        }
        None
    }

    fn byte(&mut self) -> Option<u8> {
        let (&first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(first)
    }

    fn advance(&mut self, count: u64) -> Option<()> {
        self.0 = self.0.get(usize::try_from(count).ok()?..)?;
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A dictionary page of 300 bytes, 20 packed, with 9 values, a checksum before them, a flag
    /// and a list that must be skipped.
    const HEADER: &[u8] = b"\x15\x04\x15\xd8\x04\x15\x28\x15\x07\x3c\x15\x12\x15\x04\x11\x00\
                            \x19\x25\x02\x04\x18\x02ab\x00";

    #[test]
    fn sizes_are_found_among_other_fields() {
        let expected = Sizes { packed: 20, unpacked: 300, dictionary: 9 };
        assert_eq!(Compact(HEADER).page_sizes(), Some(expected));
        for end in 0..HEADER.len() {
            assert_eq!(Compact(&HEADER[..end]).page_sizes(), None, "{end}");
        }
    }

    #[test]
    fn sizes_that_cannot_be_are_told_from_those_that_can() {
        let sizes = |packed, unpacked, dictionary| Sizes { packed, unpacked, dictionary };
        assert!(sizes(20, LARGE_PAGE, 9).are_possible());
        assert!(!sizes(20, LARGE_PAGE + 1, 9).are_possible());
        assert!(sizes(1 << 20, LARGE_PAGE + 1, 9).are_possible());
        assert!(!sizes(20, 300, 301).are_possible());
    }

    #[test]
    fn negative_sizes_and_deep_nesting_are_not_understood() {
        assert_eq!(Compact(b"\x25\x01\x00").page_sizes(), None);
        assert_eq!(Compact(&[0x1c; 100]).page_sizes(), None);
        assert_eq!(Compact(&[0x19; 100]).page_sizes(), None);
    }
}
