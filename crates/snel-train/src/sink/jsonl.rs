//! `metrics.jsonl`: one JSON record a line.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::Deserialize;

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
            let bytes = std::fs::read(path).map_err(FileError::at("read", path))?;
            let kept: Vec<&[u8]> = bytes
                .split_inclusive(|&byte| byte == b'\n')
                .filter(|line| step_of(line).is_some_and(|of| of <= step))
                .collect();
            write_atomically(path, &kept.concat())?;
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

/// The step of a whole line. A record with a number that is not finite, `null`, has one too.
fn step_of(line: &[u8]) -> Option<u64> {
    #[derive(Deserialize)]
    struct Step {
        step: u64,
    }
    let whole = line.strip_suffix(b"\n")?;
    serde_json::from_slice(whole).ok().map(|Step { step }| step)
}

/// All records of `path`; lines that are none, and records with numbers that are not finite, are
/// skipped.
///
/// # Errors
/// [`FileError`].
pub(crate) fn read(path: &Path) -> Result<Vec<Record>, FileError> {
    let bytes = std::fs::read(path).map_err(FileError::at("read", path))?;
    let lines = bytes.split(|&byte| byte == b'\n');
    Ok(lines.filter_map(|line| serde_json::from_slice(line).ok()).collect())
}

fn line(record: &Record) -> String {
    // A record of numbers and flags always serialises; NaN becomes null.
    serde_json::to_string(record).map(|json| json + "\n").unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resuming_drops_what_will_be_made_again_and_keeps_the_rest() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        let kept = "{\"kind\":\"step\",\"step\":3,\"bound\":null}\n";
        let text = format!("{kept}?\n{{\"kind\":\"step\",\"step\":4}}\n{{\"step\":2");
        std::fs::write(&path, text).unwrap();
        JsonLines::open(&path, 3).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), kept);
    }

    #[test]
    fn bytes_that_are_no_text_are_skipped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        std::fs::write(&path, b"\xff\xfe\n").unwrap();
        assert!(read(&path).unwrap().is_empty());
    }
}
