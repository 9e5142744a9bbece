//! Why a record cannot be used.

use std::io;
use std::path::{Path, PathBuf};

use super::history::HistoryError;

/// Why a record cannot be opened, read or appended to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// The file system refused.
    #[error("cannot {action} the record {}", path.display())]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another coordinator has it.
    #[error(
        "the record {} is in use: another coordinator of this run is alive; stop it first",
        path.display()
    )]
    Locked {
        /// The file.
        path: PathBuf,
    },
    /// The file is something else, or of another version.
    #[error("{} is not a record that this version reads", path.display())]
    NotARecord {
        /// The file.
        path: PathBuf,
    },
    /// An entry was damaged after it was written.
    #[error(
        "the record {} is damaged at byte {at}: no crash leaves this; restore it from a copy",
        path.display()
    )]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// Where the damaged frame begins.
        at: u64,
    },
    /// An entry is whole, but says what no entry says: another version wrote it.
    #[error("the record {}, byte {at}: not an entry that this version knows: {why}", path.display())]
    Entry {
        /// The file.
        path: PathBuf,
        /// Where the frame begins.
        at: u64,
        /// What is wrong with it.
        why: String,
    },
    /// The entry cannot follow those before it.
    #[error("the record {}, byte {at}", path.display())]
    History {
        /// The file.
        path: PathBuf,
        /// Where the frame begins.
        at: u64,
        /// Why not.
        source: HistoryError,
    },
    /// An entry is longer than any that is read; nothing was written.
    #[error("an entry of {bytes} bytes is too long for the record {}", path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
        /// Length of the entry.
        bytes: usize,
    },
}

impl RecordError {
    /// For use with `map_err`.
    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { action, path: path.to_path_buf(), source }
    }
}

/// At most 300 characters of `text`, none of which a terminal would obey: it may quote the file.
pub(super) fn plain(text: &str) -> String {
    text.chars().take(300).map(|c| if c.is_control() { ' ' } else { c }).collect()
}
