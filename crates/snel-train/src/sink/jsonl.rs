//! `metrics.jsonl`: one JSON record a line.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use super::Sink;
use crate::file::{FileError, write_atomically};
use crate::metrics::Record;

/// Appends records to a file, a whole line at a time.
#[derive(Debug)]
pub struct JsonLines {
    path: PathBuf,
    file: File,
}

impl JsonLines {
    /// Opens `path` for a run that has done `step` steps: records after it, and a last line cut
    /// short by a crash, are dropped, since the run will make them again.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn open(path: &Path, step: u64) -> Result<Self, FileError> {
        if path.exists() {
            let kept: Vec<Record> =
                read(path)?.into_iter().filter(|record| record.step() <= step).collect();
            let text: String = kept.iter().map(line).collect();
            write_atomically(path, text.as_bytes())?;
        }
        let opened = OpenOptions::new().create(true).append(true).open(path);
        Ok(Self { path: path.to_path_buf(), file: opened.map_err(FileError::at("open", path))? })
    }
}

impl Sink for JsonLines {
    fn record(&mut self, record: &Record) -> Result<(), FileError> {
        self.file.write_all(line(record).as_bytes()).map_err(FileError::at("write", &self.path))
    }
}

/// All records of `path`; lines that are none are skipped.
///
/// # Errors
/// [`FileError`].
pub(crate) fn read(path: &Path) -> Result<Vec<Record>, FileError> {
    let file = File::open(path).map_err(FileError::at("read", path))?;
    let mut records = Vec::new();
    for line in BufReader::new(file).lines() {
        let line = line.map_err(FileError::at("read", path))?;
        records.extend(serde_json::from_str(&line));
    }
    Ok(records)
}

fn line(record: &Record) -> String {
    // A record of numbers and flags always serialises; NaN becomes null.
    serde_json::to_string(record).map(|json| json + "\n").unwrap_or_default()
}
