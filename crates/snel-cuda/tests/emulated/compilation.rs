//! Compiling the kernels for the emulator: g++, and a folder of finished libraries.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use snel_cuda::device::{DeviceError, Program};
use xxhash_rust::xxh3::Xxh3;

use crate::emulator::Emulator;

/// Environment variable with other flags for the compiler.
pub(crate) const FLAGS: &str = "SNEL_EMULATOR_FLAGS";

/// The kernels of this checkout.
pub(crate) fn kernels() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../kernels")
}

/// A copy of the kernels in a folder of its own, `text` of `file` changed by `edit`.
pub(crate) fn changed_kernels(folder: &str, file: &str, edit: impl Fn(&str) -> String) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(folder);
    // Left from another run, or not there.
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(folder.join("emulator")).unwrap();
    for from in [kernels(), kernels().join("emulator")] {
        for entry in fs::read_dir(&from).unwrap().map(|entry| entry.unwrap().path()) {
            if entry.is_file() {
                fs::copy(&entry, folder.join(entry.strip_prefix(kernels()).unwrap())).unwrap();
            }
        }
    }
    let path = folder.join(file);
    fs::write(&path, edit(&fs::read_to_string(&path).unwrap())).unwrap();
    folder
}

fn cache() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("emulator")
}

/// True if there is a g++; says so if not.
pub(crate) fn available() -> bool {
    let found = Command::new("g++").arg("--version").output().is_ok();
    if !found {
        println!("skipped: the emulator needs g++, which is not installed");
    }
    found
}

impl Emulator {
    fn arguments(&self, program: &Program) -> Vec<String> {
        let fixed = [
            "-std=c++17",
            "-fPIC",
            "-shared",
            "-fvisibility=hidden",
            // A library has variables of its own, whatever else is loaded.
            "-fno-gnu-unique",
            "-Wl,-Bsymbolic",
            // It stays loaded: its signal handler is in a chain of such.
            "-Wl,-z,nodelete",
            "-ffp-contract=off",
            "-Wall",
            "-Wextra",
            "-Werror",
            "-Wno-unknown-pragmas",
            "-DSNEL_EMULATOR",
        ];
        let mut arguments: Vec<String> = fixed.iter().map(|&f| f.to_owned()).collect();
        #[cfg(target_arch = "x86_64")]
        if std::is_x86_feature_detected!("fma") {
            arguments.push("-mfma".to_owned());
        }
        arguments.extend(self.flags.iter().cloned());
        arguments
            .extend(program.definitions.iter().map(|(name, value)| format!("-D{name}={value}")));
        arguments
    }

    /// A name for the library: all that it depends on, hashed.
    fn library_name(&self, arguments: &[String]) -> std::io::Result<String> {
        let mut hasher = Xxh3::new();
        for argument in arguments {
            hasher.update(argument.as_bytes());
            hasher.update(b"\0");
        }
        for folder in [self.sources.clone(), self.sources.join("emulator")] {
            let mut files: Vec<PathBuf> =
                fs::read_dir(folder)?.filter_map(|f| Some(f.ok()?.path())).collect();
            files.sort();
            for file in files.iter().filter(|f| f.is_file()) {
                hasher.update(file.file_name().unwrap_or_default().as_encoded_bytes());
                hasher.update(&fs::read(file)?);
            }
        }
        Ok(format!("{:032x}.so", hasher.digest128()))
    }

    pub(crate) fn build(&self, program: &Program) -> Result<PathBuf, DeviceError> {
        static UNIQUE: AtomicU32 = AtomicU32::new(0);
        let arguments = self.arguments(program);
        let name = self.library_name(&arguments).map_err(|e| self.failed("read the sources", e))?;
        fs::create_dir_all(cache()).map_err(|e| self.failed("make the cache", e))?;
        let library = cache().join(&name);
        if library.exists() {
            return Ok(library);
        }
        let number = UNIQUE.fetch_add(1, Ordering::Relaxed);
        let unfinished = cache().join(format!("{}-{number}.tmp", std::process::id()));
        let done = Command::new("g++")
            .args(&arguments)
            .arg("-o")
            .arg(&unfinished)
            .arg(self.sources.join("emulator/launcher.cpp"))
            // A sanitizer that this process was started with is not for the compiler.
            .env_remove("LD_PRELOAD")
            .output()
            .map_err(|e| self.failed("start g++", e))?;
        if !done.status.success() {
            let log = String::from_utf8_lossy(&done.stderr).into_owned();
            return Err(DeviceError::Compile { architecture: "emulator".to_owned(), log });
        }
        fs::rename(&unfinished, &library).map_err(|e| self.failed("keep the library", e))?;
        Ok(library)
    }
}
