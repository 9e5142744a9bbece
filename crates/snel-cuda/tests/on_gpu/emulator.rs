//! A GPU where the tests expect the emulator.

use snel_cuda::device::{Device, DeviceError, Grid, Program};
use snel_cuda::driver::{Gpu, GpuKernel, GpuMemory};
use snel_cuda::multiply::{Prepared, Product};
use snel_cuda::sources;

/// The GPU of the tests.
pub(crate) struct Emulator(Gpu);

/// The number of the GPU to test on.
pub(crate) fn index() -> Option<u32> {
    let device = std::env::var("SNEL_TEST_DEVICE").ok()?;
    let index = device.strip_prefix("cuda:").and_then(|index| index.parse().ok());
    Some(index.unwrap_or_else(|| panic!("SNEL_TEST_DEVICE is {device}, not like cuda:0")))
}

/// Whether there is a GPU to test on.
pub(crate) fn available() -> bool {
    let named = index().is_some();
    if !named {
        println!("skipped: SNEL_TEST_DEVICE names no GPU");
    }
    named
}

impl Emulator {
    /// The seed is that of the emulator's scheduler; a GPU has its own.
    pub(crate) fn new(_seed: u64) -> Self {
        Self(Gpu::open(index().unwrap(), sources::FILES).unwrap_or_else(|error| panic!("{error}")))
    }
}

impl Device for Emulator {
    type Memory = GpuMemory;
    type Kernel = GpuKernel;
    type Product = Prepared;

    fn name(&self) -> &str {
        self.0.name()
    }

    fn architecture(&self) -> &str {
        self.0.architecture()
    }

    fn multiprocessors(&self) -> u32 {
        self.0.multiprocessors()
    }

    fn shared_memory(&self) -> u32 {
        self.0.shared_memory()
    }

    fn compile(
        &mut self,
        program: &Program,
        names: &[&str],
    ) -> Result<Vec<GpuKernel>, DeviceError> {
        self.0.compile(program, names)
    }

    fn multiplier(&mut self) -> Option<String> {
        self.0.multiplier()
    }

    fn prepare(&mut self, product: &Product, most: u32) -> Result<Prepared, DeviceError> {
        self.0.prepare(product, most)
    }

    fn allocate(&self, bytes: usize) -> Result<GpuMemory, DeviceError> {
        self.0.allocate(bytes)
    }

    fn upload(&self, from: &[u8], to: &mut GpuMemory) -> Result<(), DeviceError> {
        self.0.upload(from, to)
    }

    fn download(&self, from: &GpuMemory, to: &mut [u8]) -> Result<(), DeviceError> {
        self.0.download(from, to)
    }

    fn clear(&self, memory: &mut GpuMemory) -> Result<(), DeviceError> {
        self.0.clear(memory)
    }

    unsafe fn launch(
        &self,
        kernel: &GpuKernel,
        grid: Grid,
        arguments: &[u8],
    ) -> Result<(), DeviceError> {
        // SAFETY: the same promise.
        unsafe { self.0.launch(kernel, grid, arguments) }
    }

    unsafe fn multiply(
        &self,
        product: &Prepared,
        count: u32,
        accumulate: bool,
        addresses: [u64; 3],
    ) -> Result<(), DeviceError> {
        // SAFETY: the same promise.
        unsafe { self.0.multiply(product, count, accumulate, addresses) }
    }
}
