//! The open record.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};

use super::entry::Entry;
use super::error::RecordError;
use super::frame::{self, HEADER, LONGEST, MAGIC};
use super::history::History;

/// A record that entries are appended to. It is locked until this and all its handles are dropped.
#[derive(Debug)]
pub struct Record {
    path: PathBuf,
    file: File,
    /// Bytes of the whole entries.
    length: u64,
    /// True if there may be more in the file: an append that failed.
    overhang: bool,
    /// The last frame: memory that is used again.
    frame: Vec<u8>,
}

/// Makes a record durable, on whichever thread.
#[derive(Debug)]
pub struct SyncHandle {
    path: PathBuf,
    file: File,
}

impl Record {
    /// Opens the record at `path`, or creates it in its folder, which must be there. A torn tail
    /// is cut off; [`History::torn`] says so.
    ///
    /// # Errors
    /// [`RecordError`]. A file that is refused is not changed.
    pub fn open(path: &Path) -> Result<(Self, History), RecordError> {
        let mut options = OpenOptions::new();
        options.read(true).append(true).create(true);
        let file = options.open(path).map_err(RecordError::io("open", path))?;
        file.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => RecordError::Locked { path: path.to_path_buf() },
            TryLockError::Error(source) => RecordError::io("lock", path)(source),
        })?;
        let (history, extent) = History::scan(path, &file)?;
        let path = path.to_path_buf();
        let overhang = extent.torn.is_some();
        let frame = Vec::new();
        let mut record = Self { path, file, length: extent.sound, overhang, frame };
        record.cut_overhang()?;
        if record.length == 0 {
            record.write(MAGIC)?;
        }
        record.file.sync_all().map_err(RecordError::io("sync", &record.path))?;
        sync_folder(&record.path);
        Ok((record, history))
    }

    /// Appends `entry`: a process that is killed after this has not lost it. [`Record::sync`] is
    /// for machines that are.
    ///
    /// # Errors
    /// [`RecordError`]; the record is then as it was.
    pub fn append(&mut self, entry: &Entry) -> Result<(), RecordError> {
        let mut frame = std::mem::take(&mut self.frame);
        frame.clear();
        frame.resize(HEADER, 0);
        serde_json::to_writer(&mut frame, entry)
            .map_err(|error| RecordError::io("append to", &self.path)(error.into()))?;
        let bytes = frame.len() - HEADER;
        if bytes > LONGEST {
            return Err(RecordError::TooLong { path: self.path.clone(), bytes });
        }
        frame::seal(&mut frame);
        self.cut_overhang()?;
        self.write(&frame)?;
        self.frame = frame;
        Ok(())
    }

    /// Waits until all that was appended would survive a loss of power (`fdatasync`).
    ///
    /// # Errors
    /// [`RecordError::Io`]. What was appended since the last success may then be lost, even if a
    /// later call succeeds.
    pub fn sync(&self) -> Result<(), RecordError> {
        sync(&self.file, &self.path)
    }

    /// A handle for another thread to call [`SyncHandle::sync`] on, while this one appends.
    ///
    /// # Errors
    /// [`RecordError::Io`] if the system has no more handles.
    pub fn sync_handle(&self) -> Result<SyncHandle, RecordError> {
        let file =
            self.file.try_clone().map_err(RecordError::io("clone a handle of", &self.path))?;
        Ok(SyncHandle { path: self.path.clone(), file })
    }

    /// Removes what lies after the whole entries, so that the next one follows them.
    fn cut_overhang(&mut self) -> Result<(), RecordError> {
        if self.overhang {
            self.file.set_len(self.length).map_err(RecordError::io("shorten", &self.path))?;
            self.overhang = false;
        }
        Ok(())
    }

    /// Appends `bytes` in one call.
    fn write(&mut self, bytes: &[u8]) -> Result<(), RecordError> {
        self.overhang = true;
        self.file.write_all(bytes).map_err(RecordError::io("append to", &self.path))?;
        self.length += bytes.len() as u64;
        self.overhang = false;
        Ok(())
    }
}

impl SyncHandle {
    /// As [`Record::sync`].
    ///
    /// # Errors
    /// As [`Record::sync`].
    pub fn sync(&self) -> Result<(), RecordError> {
        sync(&self.file, &self.path)
    }
}

fn sync(file: &File, path: &Path) -> Result<(), RecordError> {
    file.sync_data().map_err(RecordError::io("sync", path))
}

/// Makes the file's name durable; not every file system can, and none needs an error.
fn sync_folder(path: &Path) {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let _ = File::open(folder).and_then(|folder| folder.sync_all());
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a failed append has left is not in the way of the next one.
    #[test]
    fn an_overhang_is_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("record");
        let (mut record, _) = Record::open(&path).unwrap();
        record.append(&Entry::Opened { incarnation: 1 }).unwrap();
        // As if the disk had been full.
        record.file.write_all(b"\x40\0\0\0half").unwrap();
        record.overhang = true;
        record.append(&Entry::Rewound { step: 5 }).unwrap();
        let history = History::read(&path).unwrap();
        assert_eq!((history.entries(), history.next_step(), history.torn()), (2, 5, None));
    }
}
