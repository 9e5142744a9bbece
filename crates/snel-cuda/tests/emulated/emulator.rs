//! A [`Device`] that runs the kernels on a CPU: g++ compiles them with `kernels/emulator`, and the
//! library is loaded.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::cell::Cell;
use std::ffi::{CStr, CString, c_char, c_int, c_uint, c_ulonglong, c_void};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use libloading::Library;
use snel_cuda::device::{Device, DeviceError, Grid, Memory, Program};
use snel_cuda::multiply::{self, Prepared, Product, Workspace};

use crate::compilation::{FLAGS, kernels};
use crate::multiplier::Stand;

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

/// The emulated GPU.
#[derive(Clone)]
pub(crate) struct Emulator {
    pub(crate) sources: PathBuf,
    pub(crate) flags: Vec<String>,
    shared_memory: u32,
    multiprocessors: u32,
    /// Seed of the scheduler; every launch has another.
    seed: Cell<u64>,
    /// Downloads, each of which would wait for a GPU.
    pub(crate) waits: Arc<AtomicU64>,
    /// What stands in for cuBLASLt, opened when it is asked for.
    multiplier: Stand,
    library: Option<Arc<multiply::Library>>,
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
            waits: Arc::default(),
            multiplier: Stand::Sound,
            library: None,
        }
    }

    /// The same with kernels of another folder.
    pub(crate) fn with_sources(self, sources: PathBuf) -> Self {
        Self { sources, ..self }
    }

    /// The same with another library for products.
    pub(crate) fn with_multiplier(self, multiplier: Stand) -> Self {
        Self { multiplier, ..self }
    }

    pub(crate) fn failed(
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
    type Product = Prepared;

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

    fn multiplier(&mut self) -> Option<String> {
        let opened = self.multiplier.open()?;
        let library = self.library.get_or_insert_with(|| Arc::new(opened));
        Some(library.name())
    }

    fn prepare(&mut self, product: &Product, most: u32) -> Result<Prepared, DeviceError> {
        let library = self.library.clone().ok_or_else(|| self.failed("multiply", "not opened"))?;
        Prepared::new(library, product, most, 0).map_err(|e| self.failed("prepare a product", e))
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
        self.waits.fetch_add(1, Ordering::Relaxed);
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

    unsafe fn multiply(
        &self,
        product: &Prepared,
        count: u32,
        accumulate: bool,
        addresses: [u64; 3],
    ) -> Result<(), DeviceError> {
        // SAFETY: the same promise.
        let done = unsafe { product.launch(count, accumulate, addresses, Workspace::default(), 0) };
        done.map_err(|e| self.failed("multiply", e))
    }
}
