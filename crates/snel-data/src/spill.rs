//! Bytes that are kept in memory while they are few, and in an unlinked file when they are many.
//!
//! Invariants
//! 1. At most `limit` bytes are in memory; the first byte beyond moves all of them to the file.
//! 2. The file has no name: nobody else sees it, and it goes away with the process.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

/// Bytes being written.
pub(crate) struct SpillWriter<'a> {
    dir: &'a Path,
    limit: u64,
    memory: Vec<u8>,
    file: Option<BufWriter<File>>,
}

/// Bytes written once, read at any place.
#[derive(Debug)]
pub(crate) enum Spill {
    Memory(Vec<u8>),
    File(ReadAt),
}

impl<'a> SpillWriter<'a> {
    pub(crate) fn new(dir: &'a Path, limit: u64) -> Self {
        Self { dir, limit, memory: Vec::new(), file: None }
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let Some(file) = &mut self.file {
            return file.write_all(bytes);
        }
        if (self.memory.len() + bytes.len()) as u64 <= self.limit {
            self.memory.extend_from_slice(bytes);
            return Ok(());
        }
        let mut file = BufWriter::with_capacity(1 << 20, tempfile::tempfile_in(self.dir)?);
        file.write_all(&std::mem::take(&mut self.memory))?;
        file.write_all(bytes)?;
        self.file = Some(file);
        Ok(())
    }

    pub(crate) fn finish(self) -> io::Result<Spill> {
        Ok(match self.file {
            None => Spill::Memory(self.memory),
            Some(file) => Spill::File(ReadAt::new(file.into_inner()?)),
        })
    }
}

impl Spill {
    /// Hands the `buffer.len()` bytes from `offset` on to `then`; copies them only from a file.
    pub(crate) fn with<T>(
        &self,
        offset: u64,
        buffer: &mut [u8],
        then: impl FnOnce(&[u8]) -> T,
    ) -> io::Result<T> {
        match self {
            Self::Memory(bytes) => {
                let start = usize::try_from(offset).unwrap_or(usize::MAX);
                let end = start.saturating_add(buffer.len());
                let range = bytes.get(start..end);
                Ok(then(range.ok_or(io::ErrorKind::UnexpectedEof)?))
            }
            Self::File(file) => {
                file.read_exact_at(buffer, offset)?;
                Ok(then(buffer))
            }
        }
    }
}

/// A file read at any place by many threads at once.
#[cfg(unix)]
#[derive(Debug)]
pub(crate) struct ReadAt(File);

#[cfg(unix)]
impl ReadAt {
    fn new(file: File) -> Self {
        Self(file)
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        std::os::unix::fs::FileExt::read_exact_at(&self.0, buffer, offset)
    }
}

/// A file read at any place by one thread at a time: this system has no positioned reads in std.
#[cfg(not(unix))]
#[derive(Debug)]
pub(crate) struct ReadAt(std::sync::Mutex<File>);

#[cfg(not(unix))]
impl ReadAt {
    fn new(file: File) -> Self {
        Self(std::sync::Mutex::new(file))
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        use std::io::{Read, Seek, SeekFrom};
        let mut file = self.0.lock().map_err(|_| io::Error::other("a reader panicked"))?;
        file.seek(SeekFrom::Start(offset))?;
        file.read_exact(buffer)
    }
}
