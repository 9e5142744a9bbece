//! Reading frames, and telling a torn tail from damage.
//!
//! A frame is torn if it is not sound and no sound frame begins after it. Memory is that of a few
//! of the longest entries, however long the record is.

use std::fmt;
use std::io::{self, Read};

use super::frame::{self, HEADER, LONGEST, MAGIC};

/// What is read at once.
const SLAB: usize = 4 * LONGEST;
/// The longest tail that passes for torn. An append is one frame; what was appended since the
/// last sync, and was lost with the power, is a few.
const LONGEST_TAIL: usize = 4 * LONGEST;

/// The end of a record that holds no whole entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Torn {
    /// Where it begins: the length of what is sound.
    pub at: u64,
    /// How long it is.
    pub bytes: u64,
}

impl fmt::Display for Torn {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Self { at, bytes } = self;
        write!(f, "its last {bytes} bytes, from byte {at} on, are an entry that was cut short")
    }
}

/// What a scan found.
#[derive(Debug, Clone, Copy)]
pub(super) struct Extent {
    /// Bytes up to the end of the last whole entry; 0 if even the first line is cut short.
    pub(super) sound: u64,
    pub(super) torn: Option<Torn>,
}

/// Why a scan ended early.
#[derive(Debug)]
pub(super) enum ScanError<E> {
    Io(io::Error),
    NotARecord,
    /// A frame that was damaged after it was written.
    Corrupt(u64),
    /// `visit` refused the entry at this byte.
    Refused(u64, E),
}

impl<E> From<io::Error> for ScanError<E> {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Shows every payload to `visit`, in order.
pub(super) fn scan<E>(
    input: impl Read,
    mut visit: impl FnMut(&[u8]) -> Result<(), E>,
) -> Result<Extent, ScanError<E>> {
    let mut window = Window { input, bytes: Vec::new(), start: 0, ended: false };
    let seen = window.at_least(MAGIC.len())?;
    if !seen.starts_with(MAGIC) {
        let cut_short = MAGIC.starts_with(seen);
        return if cut_short { Ok(extent(0, seen.len())) } else { Err(ScanError::NotARecord) };
    }
    window.start += MAGIC.len();
    let mut at = MAGIC.len() as u64;
    loop {
        let seen = window.at_least(HEADER + LONGEST)?;
        let Some(payload) = frame::payload(seen) else { break };
        visit(payload).map_err(|error| ScanError::Refused(at, error))?;
        let length = HEADER + payload.len();
        window.start += length;
        at += length as u64;
    }
    let tail = window.at_least(LONGEST_TAIL + 1)?;
    let followed = (1..tail.len()).any(|i| frame::payload(&tail[i..]).is_some());
    if followed || tail.len() > LONGEST_TAIL {
        return Err(ScanError::Corrupt(at));
    }
    Ok(extent(at, tail.len()))
}

fn extent(sound: u64, rest: usize) -> Extent {
    let torn = Torn { at: sound, bytes: rest as u64 };
    Extent { sound, torn: (rest > 0).then_some(torn) }
}

/// A part of the input, moved along by adding to `start`.
struct Window<R> {
    input: R,
    bytes: Vec<u8>,
    start: usize,
    ended: bool,
}

impl<R: Read> Window<R> {
    /// What comes next: `wanted` bytes or more, or all that there are.
    fn at_least(&mut self, wanted: usize) -> io::Result<&[u8]> {
        if self.bytes.len() - self.start < wanted && !self.ended {
            self.bytes.drain(..self.start);
            self.start = 0;
            let missing = (wanted.max(SLAB) - self.bytes.len()) as u64;
            let read = self.input.by_ref().take(missing).read_to_end(&mut self.bytes)?;
            self.ended = (read as u64) < missing;
        }
        Ok(&self.bytes[self.start..])
    }
}
