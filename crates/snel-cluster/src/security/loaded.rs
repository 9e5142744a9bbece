//! A file, read whole.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::error::SecurityError;
use super::flag::Flag;

/// No certificate bundle, key or token is larger; a wrong path may be anything.
const LARGEST: u64 = 4 << 20;

/// The bytes of a file, and where they are from. No `Debug`: they may be secret.
#[derive(PartialEq, Eq)]
pub(super) struct Loaded {
    pub(super) flag: Flag,
    pub(super) path: PathBuf,
    pub(super) bytes: Vec<u8>,
}

impl Loaded {
    /// Reads it.
    ///
    /// # Errors
    /// [`SecurityError::Read`].
    pub(super) fn read(flag: Flag, path: &Path) -> Result<Self, SecurityError> {
        match read(path) {
            Ok(bytes) => Ok(Self { flag, path: path.to_owned(), bytes }),
            Err(source) => Err(SecurityError::Read { flag, path: path.to_owned(), source }),
        }
    }

    /// That the contents are wrong. The reason must not quote them.
    pub(super) fn unusable(&self, reason: impl Into<String>) -> SecurityError {
        SecurityError::Unusable { flag: self.flag, path: self.path.clone(), reason: reason.into() }
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(LARGEST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LARGEST {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it has more than 4 MiB"));
    }
    Ok(bytes)
}

/// Whether users outside the file's group may read it. Always false where there are no such modes.
pub(super) fn is_open_to_others(path: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        std::fs::metadata(path).is_ok_and(|meta| meta.permissions().mode() & 0o004 != 0)
    }
    #[cfg(not(unix))]
    {
        let _ = path;
        false
    }
}
