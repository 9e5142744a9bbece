//! Files that are whole or not there: temporary sibling, fsync, rename, fsync of the folder.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use tempfile::{NamedTempFile, PersistError};

/// A file or folder that could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {}", path.display())]
pub struct FileError {
    /// What was tried, as a verb: `read`, `write`, `create`.
    pub action: &'static str,
    /// On what.
    pub path: PathBuf,
    /// What the system said.
    pub source: io::Error,
}

impl FileError {
    /// For use with `map_err`.
    pub fn at(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self { action, path: path.to_path_buf(), source }
    }
}

/// Writes `bytes` to `path` so that a crash at any moment leaves the old file or the new one.
///
/// # Errors
/// [`FileError`]; `path` is then as it was and no temporary file is left.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    write(path, bytes, NamedTempFile::persist).map_err(FileError::at("write", path))
}

/// As [`write_atomically`], for a file that must not exist yet; of several at once, one succeeds.
///
/// # Errors
/// [`FileError`], of kind [`io::ErrorKind::AlreadyExists`] if `path` exists.
pub fn create_atomically(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    write(path, bytes, NamedTempFile::persist_noclobber).map_err(FileError::at("create", path))
}

type Persist = fn(NamedTempFile, PathBuf) -> Result<File, PersistError>;

fn write(path: &Path, bytes: &[u8], persist: Persist) -> io::Result<()> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut builder = tempfile::Builder::new();
    builder.prefix(".snel-");
    // A temporary file is private; this one will be the user's, and the user's mask applies.
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(fs::Permissions::from_mode(0o666));
    }
    let mut file = builder.tempfile_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    persist(file, path.to_path_buf())?;
    // Makes the rename itself durable; not every file system can, and none needs an error.
    let _ = File::open(folder).and_then(|folder| folder.sync_all());
    Ok(())
}

/// Creates `path` and its parents.
///
/// # Errors
/// [`FileError`].
pub fn create_folder(path: &Path) -> Result<(), FileError> {
    fs::create_dir_all(path).map_err(FileError::at("create folder", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaces_and_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        write_atomically(&path, b"old").unwrap();
        write_atomically(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        let error = create_atomically(&path, b"newer").unwrap_err();
        assert_eq!(error.source.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn failure_names_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("absent/file");
        let error = write_atomically(&path, b"x").unwrap_err();
        assert!(error.to_string().contains("absent/file"), "{error}");
    }
}
