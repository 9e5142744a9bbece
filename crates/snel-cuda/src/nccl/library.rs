//! Finding NCCL and its functions.
//!
//! Nothing is linked: a machine without NCCL learns so from an error that says what to install.
//! The version is looked at before any other function, so that an old library is told to be old
//! and not to lack a function. A library once loaded is never unloaded: NCCL has threads.

use std::collections::HashSet;
use std::env;
use std::ffi::{CStr, OsStr, OsString, c_char, c_int};
use std::fmt;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use crate::driver::library::file_of;
use crate::nccl::abi::{self, RawCommunicator, UniqueId};
use crate::nccl::communicator::Place;
use crate::nccl::error::{LoadError, NcclError, ResultCode};

/// The environment variable that names the file of the library.
pub(super) const VARIABLE: &str = "SNEL_NCCL_LIB";
/// Packages install the first; the second comes with the headers.
const NAMES: [&str; 2] = ["libnccl.so.2", "libnccl.so"];
/// Aborting communicators while others run is in use with this version and later (torchft asks
/// for it); what earlier ones do then is not known.
pub(super) const OLDEST: Version = Version(22_500);
/// Version 3 may mean anything by the same names.
const TOO_NEW: Version = Version(30_000);

/// A version of NCCL, as `ncclGetVersion` counts: 2.30.7 is 23007.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(c_int);

impl Version {
    /// As NCCL counts: 2.30.7 is 23007.
    pub fn number(self) -> u32 {
        self.0.unsigned_abs()
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Before 2.9, which was 20900, the major version counted thousands.
        let major = if self.0 < 10_000 { 1_000 } else { 10_000 };
        write!(f, "{}.{}.{}", self.0 / major, self.0 % major / 100, self.0 % 100)
    }
}

/// The functions that are called.
pub(super) struct Functions {
    get_error_string: abi::GetErrorString,
    get_last_error: abi::GetLastError,
    get_unique_id: abi::GetUniqueId,
    pub(super) init_rank_config: abi::InitRankConfig,
    pub(super) get_async_error: abi::GetAsyncError,
    pub(super) all_reduce: abi::AllReduce,
    pub(super) abort: abi::End,
    pub(super) finalize: abi::End,
    pub(super) destroy: abi::End,
}

/// What newer versions can do besides. Nothing calls it yet; `None` is no failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Abilities {
    /// `ncclCommShrink`: survivors go on without a new unique id (2.27).
    pub shrink: bool,
    /// `ncclCommRevoke`: work in flight is stopped, the communicator stays (2.28).
    pub revoke: bool,
    /// `ncclCommGrow`: others join (2.29).
    pub grow: bool,
}

/// NCCL, loaded.
pub struct Library {
    pub(super) functions: Functions,
    file: String,
    version: Version,
    abilities: Abilities,
    /// Who has joined with which id.
    joined: Mutex<HashSet<(UniqueId, u32)>>,
}

impl fmt::Debug for Library {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NCCL {} of {}", self.version, self.file)
    }
}

impl Library {
    /// The library that `SNEL_NCCL_LIB` names, or else the one that the system finds.
    ///
    /// # Errors
    /// [`LoadError`].
    pub fn load() -> Result<Self, LoadError> {
        match env::var_os(VARIABLE).filter(|name| !name.is_empty()) {
            Some(name) => Self::open(&[name]),
            None => Self::open(&NAMES.map(OsString::from)),
        }
    }

    /// The first of these files that can be opened.
    ///
    /// # Errors
    /// [`LoadError`]. A file that can be opened and is not what is needed is not passed over: the
    /// next one is not what the user expects.
    pub fn open<N: AsRef<OsStr>>(names: &[N]) -> Result<Self, LoadError> {
        let mut tried = Vec::new();
        for name in names {
            let file = name.as_ref().to_string_lossy().into_owned();
            // SAFETY: initialisers of NCCL ask nothing of their caller. That the file is NCCL is the
            // word of the user who named it or of the system's loader.
            match unsafe { libloading::Library::new(name.as_ref()) } {
                // Kept for ever: NCCL's threads run its code, and a stuck one never ends.
                Ok(library) => return Self::with(Box::leak(Box::new(library)), file),
                Err(error) => tried.push(format!("{file} ({error})")),
            }
        }
        Err(LoadError::NotFound { tried: tried.join(", ") })
    }

    fn with(library: &'static libloading::Library, file: String) -> Result<Self, LoadError> {
        let find = Finder { library, file: &file };
        let mut version = 0;
        // SAFETY: the type is that of `nccl.h`; the argument is a place for an int.
        let code = unsafe { find.function::<abi::GetVersion>("ncclGetVersion")?(&raw mut version) };
        if code != ResultCode::SUCCESS {
            return Err(LoadError::NoVersion { file, code });
        }
        let version = Version(version);
        if version < OLDEST || version >= TOO_NEW {
            return Err(LoadError::Version { file, found: version });
        }
        // SAFETY: each type is that of the function in `nccl.h`, which has not changed since
        // `OLDEST`.
        let functions = unsafe {
            Functions {
                get_error_string: find.function("ncclGetErrorString")?,
                get_last_error: find.function("ncclGetLastError")?,
                get_unique_id: find.function("ncclGetUniqueId")?,
                init_rank_config: find.function("ncclCommInitRankConfig")?,
                get_async_error: find.function("ncclCommGetAsyncError")?,
                all_reduce: find.function("ncclAllReduce")?,
                abort: find.function("ncclCommAbort")?,
                finalize: find.function("ncclCommFinalize")?,
                destroy: find.function("ncclCommDestroy")?,
            }
        };
        let abilities = Abilities {
            shrink: find.has("ncclCommShrink"),
            revoke: find.has("ncclCommRevoke"),
            grow: find.has("ncclCommGrow"),
        };
        Ok(Self { functions, file, version, abilities, joined: Mutex::default() })
    }

    /// Its version. All ranks of a communicator must have the same.
    pub fn version(&self) -> Version {
        self.version
    }

    /// The file that it was loaded from, as it was named.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// Where that file is, as far as can be told: the loader finds names without a folder itself.
    pub fn path(&self) -> Option<PathBuf> {
        if self.file.contains('/') {
            return Some(PathBuf::from(&self.file));
        }
        file_of(NAMES[1])
    }

    /// What it can do besides what is needed.
    pub fn abilities(&self) -> Abilities {
        self.abilities
    }

    /// A unique id for a communicator that this process takes part in. Others find the way to it
    /// through a socket that is open from now on.
    ///
    /// # Errors
    /// [`NcclError::Call`], for example if there is no network interface to listen on.
    pub fn unique_id(&self, place: Place) -> Result<UniqueId, NcclError> {
        let mut id = UniqueId::from_bytes([0; UniqueId::BYTES]);
        // SAFETY: a place for an id.
        let code = unsafe { (self.functions.get_unique_id)(&raw mut id) };
        if code == ResultCode::SUCCESS {
            return Ok(id);
        }
        Err(self.failure(place, "ncclGetUniqueId", code, std::ptr::null_mut()))
    }

    /// Notes that a rank joins.
    pub(super) fn claim(&self, id: UniqueId, place: Place) -> Result<(), NcclError> {
        let mut joined = self.joined.lock().unwrap_or_else(PoisonError::into_inner);
        if joined.insert((id, place.rank)) { Ok(()) } else { Err(NcclError::IdReused { place }) }
    }

    /// The error of a call, in NCCL's words. `communicator` may be null.
    pub(super) fn failure(
        &self,
        place: Place,
        call: &'static str,
        code: ResultCode,
        communicator: RawCommunicator,
    ) -> NcclError {
        // SAFETY: both return null or a string that lives until the next call; this thread is the
        // only one that calls into the communicator.
        let (what, last) = unsafe {
            let what = text((self.functions.get_error_string)(code));
            (what, text((self.functions.get_last_error)(communicator)))
        };
        let message = if last.is_empty() { what } else { format!("{what}; {last}") };
        NcclError::Call { place, call, code, message }
    }
}

/// # Safety
/// Null, or a string that ends.
unsafe fn text(string: *const c_char) -> String {
    if string.is_null() {
        return String::new();
    }
    // SAFETY: not null, and a string by the caller's word.
    unsafe { CStr::from_ptr(string) }.to_string_lossy().trim().to_owned()
}

struct Finder<'a> {
    library: &'static libloading::Library,
    file: &'a str,
}

impl Finder<'_> {
    /// # Safety
    /// `F` is the type of that function.
    unsafe fn function<F: Copy>(&self, symbol: &'static str) -> Result<F, LoadError> {
        // SAFETY: by the caller's word. The library is never unloaded, so a copy stays good.
        let found = unsafe { self.library.get::<F>(symbol) };
        let wrong = |source| LoadError::Symbol { file: self.file.to_owned(), symbol, source };
        Ok(*found.map_err(wrong)?)
    }

    fn has(&self, symbol: &'static str) -> bool {
        // SAFETY: only looked for, never called.
        unsafe { self.library.get::<unsafe extern "C" fn()>(symbol) }.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_read_as_people_write_them() {
        assert_eq!(Version(23_007).to_string(), "2.30.7");
        assert_eq!(Version(22_503).to_string(), "2.25.3");
        assert_eq!(Version(2_804).to_string(), "2.8.4");
        assert!(Version(2_804) < OLDEST && Version(22_499) < OLDEST && OLDEST < TOO_NEW);
    }
}
