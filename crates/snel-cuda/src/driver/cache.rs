//! Compiled kernels on disk.
//!
//! A file `KEY.kernel` is the compiler's output followed by its SHA-256.
//!
//! Invariants
//! 1. A file appears whole or not at all: it is written beside its place and then moved there. Any
//!    number of processes may do so at once; they write the same bytes.
//! 2. What is handed out has its digest. Anything else in the folder counts as absent, and is
//!    replaced.
//! 3. A folder that cannot be written costs time, never a run.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

const DIGEST: usize = 32;

/// A folder of compiled kernels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cache {
    folder: PathBuf,
}

/// Why a compiled kernel could not be kept.
#[derive(Debug, thiserror::Error)]
#[error("compiled kernels cannot be kept in {}, so the next start compiles them again", .folder.display())]
pub struct CacheError {
    /// The folder.
    pub folder: PathBuf,
    /// What the system said.
    pub source: io::Error,
}

/// A kernel from the cache or the compiler.
#[derive(Debug)]
pub struct Cached {
    /// The compiler's output.
    pub image: Vec<u8>,
    /// It was there already.
    pub hit: bool,
    /// It could not be kept.
    pub fault: Option<CacheError>,
}

impl Cache {
    /// The cache in `folder`, which is made when it is first needed.
    pub fn at(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// The user's: `$SNEL_CACHE_DIR/kernels`, `$XDG_CACHE_HOME/snel/kernels` or
    /// `~/.cache/snel/kernels`, the first that is known.
    pub fn of_user() -> Option<Self> {
        Self::from_environment(|name| std::env::var_os(name).map(PathBuf::from))
    }

    fn from_environment(variable: impl Fn(&str) -> Option<PathBuf>) -> Option<Self> {
        // Empty means unset, and a relative XDG_CACHE_HOME is to be ignored (XDG base directories).
        let set = |name: &str| variable(name).filter(|path| !path.as_os_str().is_empty());
        let own = set("SNEL_CACHE_DIR").map(|path| path.join("kernels"));
        let xdg =
            || set("XDG_CACHE_HOME").filter(|p| p.is_absolute()).map(|p| p.join("snel/kernels"));
        let home = || set("HOME").map(|path| path.join(".cache/snel/kernels"));
        own.or_else(xdg).or_else(home).map(Self::at)
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What is kept under `key`, or else what `compile` makes, kept from now on.
    ///
    /// # Errors
    /// Those of `compile`.
    pub fn get_or<E>(
        &self,
        key: &str,
        compile: impl FnOnce() -> Result<Vec<u8>, E>,
    ) -> Result<Cached, E> {
        if let Some(image) = self.get(key) {
            return Ok(Cached { image, hit: true, fault: None });
        }
        let image = compile()?;
        let folder = self.folder.clone();
        let fault = self.put(key, &image).err().map(|source| CacheError { folder, source });
        Ok(Cached { image, hit: false, fault })
    }

    fn path(&self, key: &str) -> PathBuf {
        self.folder.join(format!("{key}.kernel"))
    }

    fn get(&self, key: &str) -> Option<Vec<u8>> {
        let mut bytes = fs::read(self.path(key)).ok()?;
        let image = bytes.len().checked_sub(DIGEST)?;
        if Sha256::digest(&bytes[..image])[..] != bytes[image..] {
            return None;
        }
        bytes.truncate(image);
        Some(bytes)
    }

    fn put(&self, key: &str, image: &[u8]) -> io::Result<()> {
        fs::create_dir_all(&self.folder)?;
        let mut file = tempfile::NamedTempFile::new_in(&self.folder)?;
        file.write_all(image)?;
        file.write_all(&Sha256::digest(image))?;
        file.persist(self.path(key))?;
        Ok(())
    }
}

/// Bytes as lower-case hexadecimal digits.
pub(super) fn hexadecimal(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::with_capacity(2 * bytes.len()), |text, byte| text + &format!("{byte:02x}"))
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn cache() -> (tempfile::TempDir, Cache) {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path().join("made/when/needed"));
        (folder, cache)
    }

    fn ask(cache: &Cache, key: &str, image: &[u8]) -> Cached {
        cache.get_or(key, || Ok::<_, Infallible>(image.to_vec())).unwrap()
    }

    #[test]
    fn what_was_compiled_once_is_found() {
        let (_folder, cache) = cache();
        let first = ask(&cache, "a", b"code");
        assert!(!first.hit && first.fault.is_none());
        let again = ask(&cache, "a", b"never made");
        assert!(again.hit);
        assert_eq!(again.image, b"code");
        assert!(!ask(&cache, "b", b"other").hit);
    }

    #[test]
    fn damaged_files_are_replaced() {
        let (_folder, cache) = cache();
        ask(&cache, "a", b"some machine code");
        let whole = fs::read(cache.path("a")).unwrap();
        let mut damages: Vec<Vec<u8>> = (0..whole.len()).map(|n| whole[..n].to_vec()).collect();
        damages.extend((0..whole.len()).map(|n| {
            let mut flipped = whole.clone();
            flipped[n] ^= 0x10;
            flipped
        }));
        damages.push([&whole[..], b"more"].concat());
        for damage in damages {
            fs::write(cache.path("a"), &damage).unwrap();
            let healed = ask(&cache, "a", b"some machine code");
            assert!(!healed.hit, "{} bytes", damage.len());
            assert_eq!(fs::read(cache.path("a")).unwrap(), whole);
        }
    }

    #[test]
    fn failures_of_the_compiler_leave_nothing() {
        let (_folder, cache) = cache();
        assert_eq!(cache.get_or("a", || Err::<Vec<u8>, _>("no")).unwrap_err(), "no");
        assert!(!ask(&cache, "a", b"code").hit);
    }

    #[test]
    fn many_may_ask_at_once() {
        let (_folder, cache) = cache();
        let compiled = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for round in 0..25 {
                        let key = format!("{round}");
                        let image = vec![round; 4096];
                        let cached = cache.get_or(&key, || {
                            compiled.fetch_add(1, Ordering::Relaxed);
                            Ok::<_, Infallible>(image.clone())
                        });
                        assert_eq!(cached.unwrap().image, image);
                    }
                });
            }
        });
        assert!(compiled.into_inner() >= 25);
        let files = fs::read_dir(cache.folder()).unwrap();
        let names: Vec<_> = files.map(|f| f.unwrap().file_name().into_string().unwrap()).collect();
        assert_eq!(names.len(), 25, "{names:?}");
        assert!(names.iter().all(|name| name.ends_with(".kernel")), "{names:?}");
    }

    #[test]
    fn a_folder_that_cannot_be_made_fails_no_run() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, b"").unwrap();
        let cache = Cache::at(file.join("below"));
        let cached = ask(&cache, "a", b"code");
        assert_eq!(cached.image, b"code");
        let text = cached.fault.unwrap().to_string();
        assert!(text.contains("file/below"), "{text}");
    }

    #[test]
    fn the_folder_is_the_users() {
        let folder = |set: &[(&str, &str)]| {
            let of =
                |name: &str| set.iter().find(|(n, _)| *n == name).map(|(_, v)| PathBuf::from(v));
            Cache::from_environment(of).map(|cache| cache.folder().display().to_string())
        };
        let all = [("SNEL_CACHE_DIR", "here"), ("XDG_CACHE_HOME", "/xdg"), ("HOME", "/home/me")];
        assert_eq!(folder(&all).unwrap(), "here/kernels");
        assert_eq!(folder(&all[1..]).unwrap(), "/xdg/snel/kernels");
        assert_eq!(folder(&all[2..]).unwrap(), "/home/me/.cache/snel/kernels");
        assert_eq!(
            folder(&[("XDG_CACHE_HOME", "relative"), ("HOME", "/h")]).unwrap(),
            "/h/.cache/snel/kernels"
        );
        assert_eq!(folder(&[("SNEL_CACHE_DIR", "")]), None);
    }
}
