//! The driver's calls that Snel makes. With `pinned` the only module that names its bindings.
//!
//! Invariants
//! 1. A [`Context`] exists only where the driver does.
//! 2. One stream, of its own: the null stream could not be recorded into a graph.
//! 3. Event tracking is off before the first allocation; with one stream it could only cost, and
//!    recording a graph forbids it.

#![allow(unsafe_code)]

use std::ffi::{CStr, c_void};
use std::sync::Arc;

use cudarc::driver::sys::{self, CUdevice_attribute, CUfunction_attribute_enum};
use cudarc::driver::{CudaContext, CudaFunction, CudaSlice, CudaStream, DevicePtr, result};
use cudarc::nvrtc::Ptx;

use super::library::Library;
use super::target::{Capability, Target};
use super::{GpuInfo, OpenError};
use crate::device::{Grid, Memory};

/// A failed call of the driver, in CUDA's words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{call}: {name} ({explanation})")]
pub struct DriverError {
    /// What was called.
    pub call: &'static str,
    /// CUDA's name of the error, as in `CUDA_ERROR_ILLEGAL_ADDRESS`.
    pub name: String,
    /// CUDA's explanation.
    pub explanation: String,
}

impl DriverError {
    /// There was not enough memory.
    pub fn is_memory(&self) -> bool {
        self.name == "CUDA_ERROR_OUT_OF_MEMORY"
    }
}

/// Gives a failed call its name.
pub(super) trait Does<T> {
    fn does(self, call: &'static str) -> Result<T, DriverError>;
}

impl<T> Does<T> for Result<T, result::DriverError> {
    fn does(self, call: &'static str) -> Result<T, DriverError> {
        self.map_err(|error| named(error, call))
    }
}

fn named(error: result::DriverError, call: &'static str) -> DriverError {
    let text = |found: Result<&CStr, result::DriverError>| {
        let own = |text: &CStr| text.to_string_lossy().into_owned();
        found.map_or_else(|_| format!("{:?}", error.0), own)
    };
    DriverError { call, name: text(error.error_name()), explanation: text(error.error_string()) }
}

/// Memory of a GPU.
#[derive(Debug)]
pub struct GpuMemory {
    slice: CudaSlice<u8>,
    address: u64,
    bytes: usize,
}

impl Memory for GpuMemory {
    fn address(&self) -> u64 {
        self.address
    }

    fn bytes(&self) -> usize {
        self.bytes
    }
}

/// A compiled kernel; it keeps the module loaded that it is in.
#[derive(Debug)]
pub struct GpuKernel {
    function: CudaFunction,
}

/// A GPU and its stream. A clone is the same stream.
#[derive(Debug, Clone)]
pub(super) struct Context {
    context: Arc<CudaContext>,
    stream: Arc<CudaStream>,
}

/// GPUs that the driver has.
pub(super) fn count() -> Result<u32, OpenError> {
    Library::Driver.find()?;
    match CudaContext::device_count() {
        Ok(count) => Ok(count.max(0) as u32),
        // A driver without a GPU says so in this way.
        Err(result::DriverError(sys::CUresult::CUDA_ERROR_NO_DEVICE)) => Ok(0),
        Err(error) => Err(named(error, "cuInit").into()),
    }
}

/// What there is to know about GPU `index` without taking memory on it.
pub(super) fn info(index: u32) -> Result<GpuInfo, DriverError> {
    let device = result::device::get(index as i32).does("cuDeviceGet")?;
    let attribute = |which| {
        // SAFETY: the device is one.
        unsafe { result::device::get_attribute(device, which) }.does("cuDeviceGetAttribute")
    };
    Ok(GpuInfo {
        index,
        name: result::device::get_name(device).does("cuDeviceGetName")?,
        // SAFETY: the device is one.
        memory_bytes: unsafe { result::device::total_mem(device) }.does("cuDeviceTotalMem")? as u64,
        capability: Capability {
            major: attribute(CUdevice_attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?
                as u32,
            minor: attribute(CUdevice_attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?
                as u32,
        },
        multiprocessors: attribute(CUdevice_attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)?
            as u32,
        shared_memory: attribute(
            CUdevice_attribute::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN,
        )? as u32,
    })
}

/// Bytes that are taken of GPU `index`'s memory, whoever has taken them.
pub(super) fn memory_taken(index: u32) -> Result<u64, DriverError> {
    let context = CudaContext::new(index as usize).does("cuDevicePrimaryCtxRetain")?;
    context.bind_to_thread().does("cuCtxSetCurrent")?;
    let (free, total) = result::mem_get_info().does("cuMemGetInfo")?;
    Ok(total.saturating_sub(free) as u64)
}

impl Context {
    /// The primary context of GPU `index`, which must be less than [`count`].
    pub(super) fn new(index: u32) -> Result<Self, DriverError> {
        let context = CudaContext::new(index as usize).does("cuDevicePrimaryCtxRetain")?;
        // SAFETY: nothing was allocated yet, and there will be one stream only.
        unsafe { context.disable_event_tracking() };
        let stream = context.new_stream().does("cuStreamCreate")?;
        Ok(Self { context, stream })
    }

    /// Makes the context this thread's, as each call of the driver needs it.
    pub(super) fn bind(&self) -> Result<(), DriverError> {
        self.context.bind_to_thread().does("cuCtxSetCurrent")
    }

    /// Memory full of zeros.
    pub(super) fn allocate(&self, bytes: usize) -> Result<GpuMemory, DriverError> {
        // CUDA has no empty memory.
        let slice = self.stream.alloc_zeros::<u8>(bytes.max(1)).does("cuMemAllocAsync")?;
        let address = slice.device_ptr(&self.stream).0;
        Ok(GpuMemory { slice, address, bytes })
    }

    /// Zeros.
    pub(super) fn clear(&self, memory: &mut GpuMemory) -> Result<(), DriverError> {
        self.stream.memset_zeros(&mut memory.slice).does("cuMemsetD8Async")
    }

    /// Starts to copy `from` to `to` at `offset`.
    ///
    /// # Safety
    /// `from` stays as it is until the next [`Context::wait`], and it fits.
    pub(super) unsafe fn copy_in(
        &self,
        from: &[u8],
        to: &mut GpuMemory,
        offset: usize,
    ) -> Result<(), DriverError> {
        let (address, stream) = (to.address + offset as u64, self.stream.cu_stream());
        // SAFETY: the caller's promise.
        unsafe { result::memcpy_htod_async(address, from, stream) }.does("cuMemcpyHtoDAsync")
    }

    /// Starts to copy the beginning of `from` to `to`.
    ///
    /// # Safety
    /// Nobody looks at `to` until the next [`Context::wait`], and `from` is as long.
    pub(super) unsafe fn copy_out(
        &self,
        from: &GpuMemory,
        to: &mut [u8],
    ) -> Result<(), DriverError> {
        // SAFETY: the caller's promise.
        unsafe { result::memcpy_dtoh_async(to, from.address, self.stream.cu_stream()) }
            .does("cuMemcpyDtoHAsync")
    }

    /// Waits for all work, and tells of any that has failed.
    pub(super) fn wait(&self) -> Result<(), DriverError> {
        self.stream.synchronize().does("cuStreamSynchronize")?;
        // What failed where nothing could be returned: when memory was freed.
        self.context.check_err().does("an earlier call")
    }

    /// True if all work is done. Never waits.
    pub(super) fn is_idle(&self) -> Result<bool, DriverError> {
        // SAFETY: the stream lives as long as `self`.
        let status = unsafe { sys::cuStreamQuery(self.stream.cu_stream()) };
        if status == sys::CUresult::CUDA_ERROR_NOT_READY {
            return Ok(false);
        }
        status.result().does("cuStreamQuery")?;
        Ok(true)
    }

    /// The driver's handle of the stream.
    pub(super) fn stream_handle(&self) -> u64 {
        self.stream.cu_stream() as u64
    }

    /// Loads compiled kernels and finds those of these names. Each may use all shared memory that a
    /// block of this GPU can have.
    pub(super) fn load(
        &self,
        image: Vec<u8>,
        target: Target,
        names: &[&str],
        shared_memory: u32,
    ) -> Result<Vec<GpuKernel>, DriverError> {
        let image = match target {
            Target::Machine(_) => Ptx::from_binary(image),
            Target::Ptx(_) => {
                Ptx::from_src(String::from_utf8_lossy(&image).trim_end_matches('\0').to_owned())
            }
        };
        let module = self.context.load_module(image).does("cuModuleLoadData")?;
        let kernel = |&name: &&str| {
            let function = module.load_function(name).does("cuModuleGetFunction")?;
            let fixed = function.shared_size_bytes().does("cuFuncGetAttribute")?;
            let room = shared_memory as i32 - fixed;
            let most = CUfunction_attribute_enum::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
            function.set_attribute(most, room).does("cuFuncSetAttribute")?;
            Ok(GpuKernel { function })
        };
        names.iter().map(kernel).collect()
    }

    /// Starts a kernel on the bytes of its argument struct.
    ///
    /// # Safety
    /// [`crate::device::Device::launch`]'s.
    pub(super) unsafe fn launch(
        &self,
        kernel: &GpuKernel,
        grid: Grid,
        arguments: &[u8],
    ) -> Result<(), DriverError> {
        self.bind()?;
        let mut bytes = arguments.len();
        // Handed over as one buffer with its length, the driver reads so many bytes and no more;
        // with a list of pointers it would read what the kernel declares.
        let end = std::ptr::null_mut::<c_void>();
        let mut extra = [
            LAUNCH_BUFFER,
            arguments.as_ptr().cast_mut().cast(),
            LAUNCH_BUFFER_SIZE,
            (&raw mut bytes).cast(),
            end,
        ];
        // SAFETY: function and stream live; the driver copies the arguments before it returns; what
        // they point to is the caller's promise.
        let status = unsafe {
            sys::cuLaunchKernel(
                kernel.function.cu_function(),
                grid.blocks,
                1,
                1,
                grid.threads,
                1,
                1,
                grid.shared,
                self.stream.cu_stream(),
                std::ptr::null_mut(),
                extra.as_mut_ptr(),
            )
        };
        status.result().does("cuLaunchKernel")
    }
}

/// `CU_LAUNCH_PARAM_BUFFER_POINTER` of cuda.h.
const LAUNCH_BUFFER: *mut c_void = std::ptr::without_provenance_mut(1);
/// `CU_LAUNCH_PARAM_BUFFER_SIZE` of cuda.h.
const LAUNCH_BUFFER_SIZE: *mut c_void = std::ptr::without_provenance_mut(2);
