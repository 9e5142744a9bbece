//! A [`Device`] that runs the kernels on a CPU: g++ compiles them with `kernels/emulator`, and the
//! library is loaded.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::cell::Cell;
use std::ffi::{CStr, CString, c_char, c_int, c_uint, c_ulonglong, c_void};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use libloading::Library;
use snel_cuda::device::{Device, DeviceError, Grid, Memory, Program};
use xxhash_rust::xxh3::Xxh3;

type Emulate = unsafe extern "C" fn(
    *const c_char,
    c_uint,
    c_uint,
    c_uint,
    c_ulonglong,
    *const c_void,
    c_ulonglong,
    *mut c_char,
    c_ulonglong,
) -> c_int;

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

/// The emulated GPU.
#[derive(Clone)]
pub(crate) struct Emulator {
    sources: PathBuf,
    flags: Vec<String>,
    shared_memory: u32,
    multiprocessors: u32,
    /// Seed of the scheduler; every launch has another.
    seed: Cell<u64>,
}

pub(crate) struct Kernel {
    library: Arc<Library>,
    name: CString,
}

pub(crate) struct HostMemory {
    start: *mut u8,
    layout: Layout,
}

// SAFETY: the memory is this value's own.
unsafe impl Send for HostMemory {}

impl Emulator {
    pub(crate) fn new(seed: u64) -> Self {
        let flags = std::env::var(FLAGS).unwrap_or_else(|_| "-O1".to_owned());
        Self {
            sources: kernels(),
            flags: flags.split_whitespace().map(str::to_owned).collect(),
            shared_memory: 232_448,
            multiprocessors: 3,
            seed: Cell::new(seed),
        }
    }

    /// The same with kernels of another folder.
    pub(crate) fn with_sources(self, sources: PathBuf) -> Self {
        Self { sources, ..self }
    }

    fn failed(
        &self,
        action: &str,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> DeviceError {
        DeviceError::Failed {
            device: self.name().to_owned(),
            action: action.to_owned(),
            source: source.into(),
        }
    }

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

    fn build(&self, program: &Program) -> Result<PathBuf, DeviceError> {
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

impl Memory for HostMemory {
    fn address(&self) -> u64 {
        self.start as u64
    }

    fn bytes(&self) -> usize {
        self.layout.size()
    }
}

impl Drop for HostMemory {
    fn drop(&mut self) {
        // SAFETY: it was allocated with this layout.
        unsafe { dealloc(self.start, self.layout) }
    }
}

impl Device for Emulator {
    type Memory = HostMemory;
    type Kernel = Kernel;

    fn name(&self) -> &'static str {
        "the emulator"
    }

    fn architecture(&self) -> &'static str {
        "emulator"
    }

    fn multiprocessors(&self) -> u32 {
        self.multiprocessors
    }

    fn shared_memory(&self) -> u32 {
        self.shared_memory
    }

    fn compile(&mut self, program: &Program, names: &[&str]) -> Result<Vec<Kernel>, DeviceError> {
        let path = self.build(program)?;
        // SAFETY: the library is ours and runs nothing when it is loaded.
        let library = unsafe { Library::new(path) }.map_err(|e| self.failed("load kernels", e))?;
        let library = Arc::new(library);
        let kernel = |name: &&str| Kernel {
            library: Arc::clone(&library),
            name: CString::new(*name).unwrap_or_default(),
        };
        Ok(names.iter().map(kernel).collect())
    }

    fn allocate(&self, bytes: usize) -> Result<HostMemory, DeviceError> {
        let layout = Layout::from_size_align(bytes.max(1), 256);
        let layout = layout.map_err(|e| self.failed("allocate", e))?;
        // SAFETY: the size is not zero.
        let start = unsafe { alloc_zeroed(layout) };
        if start.is_null() {
            return Err(DeviceError::Memory { device: self.name().to_owned(), bytes });
        }
        Ok(HostMemory { start, layout })
    }

    fn upload(&self, from: &[u8], to: &mut HostMemory) -> Result<(), DeviceError> {
        if from.len() > to.bytes() {
            return Err(self.failed("upload", "the memory is too small"));
        }
        // SAFETY: there is room, and the two are apart.
        unsafe { std::ptr::copy_nonoverlapping(from.as_ptr(), to.start, from.len()) };
        Ok(())
    }

    fn download(&self, from: &HostMemory, to: &mut [u8]) -> Result<(), DeviceError> {
        if to.len() > from.bytes() {
            return Err(self.failed("download", "the memory is too small"));
        }
        // SAFETY: there is as much, and the two are apart.
        unsafe { std::ptr::copy_nonoverlapping(from.start, to.as_mut_ptr(), to.len()) };
        Ok(())
    }

    fn clear(&self, memory: &mut HostMemory) -> Result<(), DeviceError> {
        // SAFETY: it is as long.
        unsafe { memory.start.write_bytes(0, memory.bytes()) };
        Ok(())
    }

    unsafe fn launch(
        &self,
        kernel: &Kernel,
        grid: Grid,
        arguments: &[u8],
    ) -> Result<(), DeviceError> {
        let mut message = [0u8; 512];
        let seed = self.seed.get();
        self.seed.set(seed.wrapping_add(1));
        // SAFETY: the launcher has this signature; the arguments are the caller's promise, and
        // their length is checked there.
        let status = unsafe {
            let emulate = kernel.library.get::<Emulate>(c"snel_emulate");
            let emulate = emulate.map_err(|e| self.failed("find the launcher", e))?;
            emulate(
                kernel.name.as_ptr(),
                grid.blocks,
                grid.threads,
                grid.shared,
                seed,
                arguments.as_ptr().cast(),
                arguments.len() as u64,
                message.as_mut_ptr().cast(),
                message.len() as u64,
            )
        };
        if status == 0 {
            return Ok(());
        }
        let report = CStr::from_bytes_until_nul(&message).unwrap_or_default();
        let report = report.to_string_lossy().into_owned();
        Err(self.failed(&format!("run {}", kernel.name.to_string_lossy()), report))
    }
}
