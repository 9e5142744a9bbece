//! The durable record of one run: what its coordinator did, so that the next one can go on.
//!
//! The file is the line `snel record 1` and then frames, one an [`Entry`]: length and CRC-32C of
//! the payload as little-endian `u32`s, and the payload, a JSON object. It is only appended to.
//!
//! Invariants
//! 1. An entry is there whole or not at all: an append that a crash cut short is cut off when the
//!    record is opened, and so is what a lost power supply left unwritten at the end.
//! 2. What was damaged later is refused, not passed over: a frame that is wrong with a sound one
//!    after it was not cut short.
//! 3. At most one [`Record`] of a file is open, on any machine that shares its locks.
//! 4. The entries are a possible history ([`History`]): steps follow each other, epochs never go
//!    down, and a repeated step has the sums it had.
//!
//! Fails with [`RecordError`], which names the file and, for damage, the byte.

mod entry;
mod error;
mod file;
mod frame;
mod history;
mod scan;

pub use entry::Entry;
pub use error::RecordError;
pub use file::{Record, SyncHandle};
pub use history::{History, HistoryError};
pub use scan::Torn;

#[cfg(test)]
mod tests;
