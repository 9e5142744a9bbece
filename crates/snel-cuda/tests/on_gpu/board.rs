//! A folder of notes, through which processes of one machine speak.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

/// The folder.
#[derive(Debug, Clone)]
pub(crate) struct Board(PathBuf);

impl Board {
    pub(crate) fn at(folder: &Path) -> Self {
        Self(folder.to_path_buf())
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.0
    }

    /// Puts up a note. Who reads it reads all of it: it gets its name when it is whole.
    pub(crate) fn post(&self, name: &str, text: &[u8]) {
        let draft = self.0.join(format!("{name}.draft"));
        fs::write(&draft, text).unwrap();
        fs::rename(draft, self.0.join(name)).unwrap();
    }

    /// The note, if it is there.
    pub(crate) fn look(&self, name: &str) -> Option<Vec<u8>> {
        fs::read(self.0.join(name)).ok()
    }

    /// The note, which is waited for.
    pub(crate) fn read(&self, name: &str, patience: Duration) -> Result<Vec<u8>, String> {
        let start = Instant::now();
        loop {
            if let Some(text) = self.look(name) {
                return Ok(text);
            }
            if start.elapsed() > patience {
                return Err(format!("no note {name} within {patience:?}"));
            }
            thread::sleep(Duration::from_millis(2));
        }
    }
}
