//! A GPU as a [`Device`].

#![allow(unsafe_code)]

use std::cell::RefCell;
use std::error::Error;
use std::sync::Arc;

use super::cache::Cache;
use super::compilation::{Compilation, Sources};
use super::cuda::{self, Context, DriverError, GpuKernel, GpuMemory};
use super::nvrtc::{Nvrtc, NvrtcError};
use super::pinned::Pinned;
use super::stream::GpuStream;
use super::target::Target;
use super::{GpuInfo, OpenError};
use crate::device::{Device, DeviceError, Grid, Memory, Program};
use crate::multiply::{self, Prepared, Product, Workspace};

/// Bytes of pinned memory in each direction. What a step moves fits many times; more than this is
/// copied straight from and to the caller's memory, by the driver and in pieces of its own.
const STAGING: usize = 1 << 20;
/// Bytes that a product of cuBLASLt may use: what NVIDIA advises for compute capability 9.0.
const WORKSPACE: usize = 32 << 20;

/// A GPU that compiles its kernels from `sources`.
pub struct Gpu {
    // First of the fields that hold something of the context, so that it is dropped first.
    staging: RefCell<Staging>,
    context: Context,
    info: GpuInfo,
    name: String,
    architecture: String,
    sources: Sources<'static>,
    target: Target,
    compiler: Nvrtc,
    cache: Option<Cache>,
    multiplier: Option<Multiplier>,
    say: fn(&str),
}

/// cuBLASLt, and the memory that its products may use.
struct Multiplier {
    library: Arc<multiply::Library>,
    workspace: GpuMemory,
}

/// Pinned memory through which small copies go.
struct Staging {
    /// Pieces on their way to the GPU.
    up: Pinned,
    /// Bytes of them.
    used: usize,
    /// A piece on its way back.
    down: Pinned,
}

impl Gpu {
    /// Opens GPU `index`, as [`super::gpus`] numbers them.
    ///
    /// # Errors
    /// [`OpenError`], which says what is missing and how to get it.
    pub fn open(index: u32, sources: Sources<'static>) -> Result<Self, OpenError> {
        let found = cuda::count()?;
        if index >= found {
            return Err(OpenError::NoSuch { index, found });
        }
        let compiler = Nvrtc::load()?;
        let info = cuda::info(index)?;
        let target = Target::of(info.capability, compiler.supported())
            .map_err(|source| OpenError::Target { index, name: info.name.clone(), source })?;
        let context = Context::new(index)?;
        context.bind()?;
        let staging = Staging { up: Pinned::new(STAGING)?, used: 0, down: Pinned::new(STAGING)? };
        let (major, minor) = compiler.version();
        Ok(Self {
            staging: RefCell::new(staging),
            context,
            name: format!("GPU {index} ({})", info.name),
            architecture: format!("{} by NVRTC {major}.{minor}", target.architecture()),
            info,
            sources,
            target,
            compiler,
            cache: Cache::of_user(),
            multiplier: None,
            say: |_| {},
        })
    }

    /// Keeps compiled kernels in `cache`, or nowhere.
    #[must_use]
    pub fn with_cache(mut self, cache: Option<Cache>) -> Self {
        self.cache = cache;
        self
    }

    /// What there is to know about it.
    pub fn info(&self) -> &GpuInfo {
        &self.info
    }

    /// The stream of all its copies and launches, for a communicator of NCCL's.
    pub fn stream(&self) -> GpuStream {
        GpuStream(self.context.clone())
    }

    /// Tells people what they should hear by `say`; at first nobody listens.
    #[must_use]
    pub fn saying(mut self, say: fn(&str)) -> Self {
        self.say = say;
        self
    }

    fn failed(&self, action: impl Into<String>) -> impl FnOnce(DriverError) -> DeviceError {
        let (device, action) = (self.name.clone(), action.into());
        move |source| DeviceError::Failed { device, action, source: source.into() }
    }

    fn too_long(&self, action: &str, asked: usize, there: usize) -> DeviceError {
        let source: Box<dyn Error + Send + Sync> = format!("{asked} bytes of {there}").into();
        DeviceError::Failed { device: self.name.clone(), action: action.to_owned(), source }
    }

    fn open_multiplier(&self) -> Result<Multiplier, Box<dyn Error + Send + Sync>> {
        self.context.bind()?;
        let library = Arc::new(multiply::Library::load()?);
        Ok(Multiplier { library, workspace: self.context.allocate(WORKSPACE)? })
    }

    fn not_multiplied(&self, source: impl Into<Box<dyn Error + Send + Sync>>) -> DeviceError {
        DeviceError::Failed {
            device: self.name.clone(),
            action: "multiply matrices".to_owned(),
            source: source.into(),
        }
    }

    fn not_compiled(&self, error: NvrtcError) -> DeviceError {
        match error {
            NvrtcError::Rejected { architecture, log } => {
                DeviceError::Compile { architecture, log }
            }
            error => DeviceError::Failed {
                device: self.name.clone(),
                action: "compile the kernels".to_owned(),
                source: error.into(),
            },
        }
    }
}

impl Drop for Gpu {
    /// Pinned memory is freed in the context that is current, whatever thread this is.
    fn drop(&mut self) {
        let _ = self.context.bind();
    }
}

impl Device for Gpu {
    type Memory = GpuMemory;
    type Kernel = GpuKernel;
    type Product = Prepared;

    fn name(&self) -> &str {
        &self.name
    }

    fn architecture(&self) -> &str {
        &self.architecture
    }

    fn multiprocessors(&self) -> u32 {
        self.info.multiprocessors
    }

    fn shared_memory(&self) -> u32 {
        self.info.shared_memory
    }

    fn compile(
        &mut self,
        program: &Program,
        names: &[&str],
    ) -> Result<Vec<GpuKernel>, DeviceError> {
        let compiler = self.compiler.version();
        let compilation =
            Compilation { sources: self.sources, program, target: self.target, compiler };
        let compile = || self.compiler.compile(&compilation);
        let image = match &self.cache {
            Some(cache) => {
                let cached = cache.get_or(&compilation.key(), compile);
                let cached = cached.map_err(|error| self.not_compiled(error))?;
                if let Some(fault) = cached.fault {
                    (self.say)(&format!("{fault} ({})", fault.source));
                }
                cached.image
            }
            None => compile().map_err(|error| self.not_compiled(error))?,
        };
        let loaded = self.context.load(image, self.target, names, self.info.shared_memory);
        loaded.map_err(self.failed("load the kernels"))
    }

    fn multiplier(&mut self) -> Option<String> {
        if self.multiplier.is_none() {
            match self.open_multiplier() {
                Ok(multiplier) => self.multiplier = Some(multiplier),
                Err(error) => {
                    (self.say)(&format!("wide layers go tile by tile, which is slow: {error}"));
                }
            }
        }
        self.multiplier.as_ref().map(|multiplier| multiplier.library.name())
    }

    fn prepare(&mut self, product: &Product, most: u32) -> Result<Prepared, DeviceError> {
        let Some(Multiplier { library, workspace }) = &self.multiplier else {
            return Err(self.not_multiplied("nobody asked whether there is a multiplier"));
        };
        self.context.bind().map_err(self.failed("prepare a product"))?;
        let prepared = Prepared::new(Arc::clone(library), product, most, workspace.bytes());
        prepared.map_err(|error| self.not_multiplied(error))
    }

    fn allocate(&self, bytes: usize) -> Result<GpuMemory, DeviceError> {
        self.context.allocate(bytes).map_err(|error| {
            if error.is_memory() {
                return DeviceError::Memory { device: self.name.clone(), bytes };
            }
            self.failed(format!("allocate {bytes} bytes"))(error)
        })
    }

    fn upload(&self, from: &[u8], to: &mut GpuMemory) -> Result<(), DeviceError> {
        let action = "copy to the GPU";
        if from.len() > to.bytes() {
            return Err(self.too_long(action, from.len(), to.bytes()));
        }
        let mut staging = self.staging.borrow_mut();
        staging.send(&self.context, from, to).map_err(self.failed(action))
    }

    fn download(&self, from: &GpuMemory, to: &mut [u8]) -> Result<(), DeviceError> {
        let action = "copy from the GPU";
        if to.len() > from.bytes() {
            return Err(self.too_long(action, to.len(), from.bytes()));
        }
        let mut staging = self.staging.borrow_mut();
        staging.fetch(&self.context, from, to).map_err(self.failed(action))
    }

    fn clear(&self, memory: &mut GpuMemory) -> Result<(), DeviceError> {
        self.context.clear(memory).map_err(self.failed("clear memory"))
    }

    unsafe fn launch(
        &self,
        kernel: &GpuKernel,
        grid: Grid,
        arguments: &[u8],
    ) -> Result<(), DeviceError> {
        // SAFETY: the same promise.
        let started = unsafe { self.context.launch(kernel, grid, arguments) };
        started.map_err(self.failed("start a kernel"))
    }

    unsafe fn multiply(
        &self,
        product: &Prepared,
        count: u32,
        accumulate: bool,
        addresses: [u64; 3],
    ) -> Result<(), DeviceError> {
        self.context.bind().map_err(self.failed("start a product"))?;
        let workspace = self.multiplier.as_ref().map(|multiplier| &multiplier.workspace);
        let workspace = workspace.map_or(Workspace::default(), |memory| Workspace {
            address: memory.address(),
            bytes: memory.bytes(),
        });
        let stream = self.context.stream_handle();
        // SAFETY: the same promise. There is one stream, so products use the workspace in turn.
        let started = unsafe { product.launch(count, accumulate, addresses, workspace, stream) };
        started.map_err(|error| self.not_multiplied(error))
    }
}

impl Staging {
    /// Starts to copy `from`, which the caller may change at once.
    fn send(
        &mut self,
        context: &Context,
        from: &[u8],
        to: &mut GpuMemory,
    ) -> Result<(), DriverError> {
        context.bind()?;
        if from.is_empty() {
            return Ok(());
        }
        if from.len() > self.up.bytes() {
            // SAFETY: checked by the caller to fit; waited for before `from` is given back.
            unsafe { context.copy_in(from, to, 0) }?;
            return self.wait(context);
        }
        if from.len() > self.up.bytes() - self.used {
            self.wait(context)?;
        }
        let piece = self.used..self.used + from.len();
        let piece = &mut self.up.slice_mut()[piece];
        piece.copy_from_slice(from);
        self.used += from.len();
        // SAFETY: it fits; the piece is not written again before a wait has set `used` to zero.
        unsafe { context.copy_in(piece, to, 0) }
    }

    /// Waits for all work and copies.
    fn fetch(
        &mut self,
        context: &Context,
        from: &GpuMemory,
        to: &mut [u8],
    ) -> Result<(), DriverError> {
        context.bind()?;
        if to.len() > self.down.bytes() {
            // SAFETY: checked by the caller to be there; waited for before `to` is given back.
            unsafe { context.copy_out(from, to) }?;
            return self.wait(context);
        }
        let piece = &mut self.down.slice_mut()[..to.len()];
        // SAFETY: as above; nobody looks before the wait.
        unsafe { context.copy_out(from, piece) }?;
        self.wait(context)?;
        to.copy_from_slice(&self.down.slice()[..to.len()]);
        Ok(())
    }

    fn wait(&mut self, context: &Context) -> Result<(), DriverError> {
        context.wait()?;
        self.used = 0;
        Ok(())
    }
}
