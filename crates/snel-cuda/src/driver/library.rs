//! Libraries of CUDA that are looked for at run time. NCCL is [`crate::nccl::Library`]'s matter.

#![allow(unsafe_code)]

use std::ffi::c_int;
use std::path::PathBuf;

use libloading::Library as Loaded;

/// A library.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Library {
    /// The driver, `libcuda`.
    Driver,
    /// The compiler of kernels, `libnvrtc`.
    Nvrtc,
    /// Matrix products, `libcublasLt`.
    CublasLt,
}

/// A library that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its file, where the system tells.
    pub path: Option<PathBuf>,
    /// Its version, as it says it. The driver says which CUDA it is made for.
    pub version: Option<String>,
}

/// A library that was not found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no {} was found (looked for {}); {}", .library.name(), .looked_for, .library.remedy())]
pub struct Missing {
    /// Which.
    pub library: Library,
    /// The names of files that were tried, as the loader takes them.
    pub looked_for: String,
}

impl Library {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Driver, Self::Nvrtc, Self::CublasLt];

    /// What people call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Driver => "NVIDIA driver",
            Self::Nvrtc => "NVRTC",
            Self::CublasLt => "cuBLASLt",
        }
    }

    /// What Snel does with it.
    pub fn purpose(self) -> &'static str {
        match self {
            Self::Driver => "runs work on NVIDIA GPUs",
            Self::Nvrtc => "compiles the GPU kernels for the model at hand",
            Self::CublasLt => "multiplies the matrices of layers with more than 256 units",
        }
    }

    /// How to get it.
    pub fn remedy(self) -> &'static str {
        match self {
            Self::Driver => {
                "install the driver of an NVIDIA GPU; in a container, start it with the NVIDIA \
                 container toolkit (`--gpus all`)"
            }
            Self::Nvrtc => {
                "install the CUDA toolkit, or `pip install nvidia-cuda-nvrtc` and add the folder of \
                 its libnvrtc.so to LD_LIBRARY_PATH"
            }
            Self::CublasLt => {
                "install the CUDA toolkit, or `pip install nvidia-cublas` and add the folder of its \
                 libcublasLt.so to LD_LIBRARY_PATH"
            }
        }
    }

    /// Loads it. It stays loaded, as libraries of CUDA do not take well to being unloaded.
    ///
    /// # Errors
    /// [`Missing`].
    pub fn find(self) -> Result<Found, Missing> {
        let loaded = self.load()?;
        let found = Found { path: self.path(), version: self.version(&loaded) };
        std::mem::forget(loaded);
        Ok(found)
    }

    pub(crate) fn load(self) -> Result<Loaded, Missing> {
        let names = self.names();
        // SAFETY: these are NVIDIA's libraries; their initialisers ask nothing of the caller.
        let loaded = names.iter().find_map(|name| unsafe { Loaded::new(name) }.ok());
        loaded.ok_or_else(|| Missing { library: self, looked_for: self.looked_for() })
    }

    /// Names for the loader. For libraries that are called through cudarc they are its own, so that
    /// what is found here is found there.
    fn names(self) -> Vec<String> {
        let own = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        match self {
            Self::Driver => cudarc::get_lib_name_candidates("cuda"),
            Self::Nvrtc => cudarc::get_lib_name_candidates("nvrtc"),
            Self::CublasLt => own(&["libcublasLt.so.13", "libcublasLt.so.12", "libcublasLt.so"]),
        }
    }

    /// The names that anyone has on Linux, for messages.
    fn looked_for(self) -> String {
        match self {
            Self::Driver => "libcuda.so, libcuda.so.1".to_owned(),
            Self::Nvrtc => "libnvrtc.so, libnvrtc.so.13, libnvrtc.so.12".to_owned(),
            Self::CublasLt => self.names().join(", "),
        }
    }

    fn stem(self) -> &'static str {
        match self {
            Self::Driver => "libcuda.so",
            Self::Nvrtc => "libnvrtc.so",
            Self::CublasLt => "libcublasLt.so",
        }
    }

    /// The file behind a loaded library, from the list of what this process has mapped.
    fn path(self) -> Option<PathBuf> {
        file_of(self.stem())
    }

    fn version(self, loaded: &Loaded) -> Option<String> {
        match self {
            Self::Driver => cuda_version(one_number(loaded, b"cuDriverGetVersion\0")?),
            Self::Nvrtc => {
                type Call = unsafe extern "C" fn(*mut c_int, *mut c_int) -> c_int;
                // SAFETY: this is the type of `nvrtcVersion` in every release.
                let call = unsafe { loaded.get::<Call>(b"nvrtcVersion\0") }.ok()?;
                let (mut major, mut minor) = (0, 0);
                // SAFETY: it writes to both numbers and keeps nothing.
                let status = unsafe { call(&raw mut major, &raw mut minor) };
                (status == 0).then(|| format!("{major}.{minor}"))
            }
            Self::CublasLt => {
                type Call = unsafe extern "C" fn() -> usize;
                // SAFETY: this is the type of `cublasLtGetVersion` in every release.
                let call = unsafe { loaded.get::<Call>(b"cublasLtGetVersion\0") }.ok()?;
                // SAFETY: it takes nothing.
                packed_version(i64::try_from(unsafe { call() }).ok()?)
            }
        }
    }
}

/// Calls a function that writes one number and returns zero.
fn one_number(loaded: &Loaded, symbol: &[u8]) -> Option<i64> {
    type Call = unsafe extern "C" fn(*mut c_int) -> c_int;
    // SAFETY: the callers name functions of this type.
    let call = unsafe { loaded.get::<Call>(symbol) }.ok()?;
    let mut number: c_int = 0;
    // SAFETY: it writes to the number and keeps nothing.
    let status = unsafe { call(&raw mut number) };
    (status == 0).then_some(i64::from(number))
}

/// `13000` as `13.0`.
fn cuda_version(number: i64) -> Option<String> {
    (number > 0).then(|| format!("{}.{}", number / 1000, number % 1000 / 10))
}

/// `120803` as `12.8.3`.
pub(crate) fn packed_version(number: i64) -> Option<String> {
    (number > 0).then(|| format!("{}.{}.{}", number / 10_000, number % 10_000 / 100, number % 100))
}

/// The file that this process has loaded whose name begins with `stem`, as in `libnccl.so`; where the
/// system tells.
pub(crate) fn file_of(stem: &str) -> Option<PathBuf> {
    let maps = std::fs::read_to_string("/proc/self/maps").ok()?;
    mapped(&maps, stem)
}

/// The first mapped file whose name begins with `stem`.
fn mapped(maps: &str, stem: &str) -> Option<PathBuf> {
    let paths = maps.lines().filter_map(|line| line.find('/').map(|at| PathBuf::from(&line[at..])));
    let is_it =
        |path: &PathBuf| path.file_name().is_some_and(|f| f.to_string_lossy().starts_with(stem));
    paths.into_iter().find(is_it)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_their_makers_write_them() {
        assert_eq!(cuda_version(13_000).unwrap(), "13.0");
        assert_eq!(cuda_version(12_080).unwrap(), "12.8");
        assert_eq!(packed_version(120_803).unwrap(), "12.8.3");
        assert_eq!(cuda_version(0), None);
    }

    #[test]
    fn a_library_is_told_from_those_with_longer_names() {
        let maps = "7f00-7f01 r-xp 00000000 08:01 1   /usr/lib/libnvrtc-builtins.so.13.0\n\
                    7f01-7f02 rw-p 00000000 00:00 0 \n\
                    7f02-7f03 r-xp 00000000 08:01 2   /opt/with space/libnvrtc.so.13\n";
        let path = mapped(maps, Library::Nvrtc.stem()).unwrap();
        assert_eq!(path, PathBuf::from("/opt/with space/libnvrtc.so.13"));
        assert_eq!(mapped(maps, Library::Driver.stem()), None);
    }

    #[test]
    fn what_is_missing_is_said_with_a_remedy() {
        for library in Library::ALL {
            let missing = Missing { library, looked_for: library.looked_for() };
            let text = missing.to_string();
            assert!(text.contains(library.stem()), "{text}");
            assert!(text.contains("install"), "{text}");
        }
    }

    #[test]
    fn the_names_in_messages_are_among_those_tried() {
        for library in Library::ALL {
            let tried = library.names();
            for name in library.looked_for().split(", ") {
                assert!(tried.iter().any(|t| t == name), "{name} of {library:?}");
            }
        }
    }
}
