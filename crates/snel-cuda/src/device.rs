//! What the engine asks of a machine that runs kernels.
//!
//! Two machines answer: a GPU through the CUDA driver, and in the tests an emulator that runs the
//! same kernel sources on a CPU. Work is ordered: whatever is asked of a device happens after all
//! that was asked before. Only [`Device::download`] waits.
//!
//! Every kernel takes one argument: a `#[repr(C)]` struct by value, whose twin is a struct of
//! `kernels/arguments.cuh`. Addresses in it come from [`Memory::address`].

use std::error::Error;

use crate::multiply::Product;

/// What to compile: the kernel sources, specialised by definitions.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Program {
    /// Macros that fix the shape, in order: name and value.
    pub definitions: Vec<(String, String)>,
}

/// Why a device could not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeviceError {
    /// There is not enough memory.
    #[error("{device} has no room for {bytes} more bytes")]
    Memory {
        /// Name of the device.
        device: String,
        /// Bytes asked for.
        bytes: usize,
    },
    /// The kernels do not compile.
    #[error("the kernels do not compile for {architecture}:\n{log}")]
    Compile {
        /// For which architecture.
        architecture: String,
        /// What the compiler said.
        log: String,
    },
    /// The device failed.
    #[error("{device} failed: {action}")]
    Failed {
        /// Name of the device.
        device: String,
        /// What was tried.
        action: String,
        /// Why.
        source: Box<dyn Error + Send + Sync>,
    },
}

/// The blocks and threads of a launch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grid {
    /// Blocks.
    pub blocks: u32,
    /// Threads of a block.
    pub threads: u32,
    /// Dynamic shared memory of a block, bytes.
    pub shared: u32,
}

/// Memory on a device.
pub trait Memory: Send {
    /// Where it begins, as kernels see it. Aligned to 256 bytes.
    fn address(&self) -> u64;

    /// Its length in bytes.
    fn bytes(&self) -> usize;
}

/// A machine that runs kernels.
pub trait Device: Send {
    /// Memory of this device, freed when dropped.
    type Memory: Memory;
    /// A compiled kernel.
    type Kernel: Send;
    /// A product of large matrices, and how it is made.
    type Product: Send;

    /// Its name for people.
    fn name(&self) -> &str;

    /// What its arithmetic depends on, like `sm_90`.
    fn architecture(&self) -> &str;

    /// Blocks that run at a time, about.
    fn multiprocessors(&self) -> u32;

    /// The most shared memory that a block may have, bytes.
    fn shared_memory(&self) -> u32;

    /// Compiles `program`, or finds it compiled, and returns the kernels of these names in order.
    ///
    /// # Errors
    /// [`DeviceError::Compile`] with the compiler's words.
    fn compile(
        &mut self,
        program: &Program,
        names: &[&str],
    ) -> Result<Vec<Self::Kernel>, DeviceError>;

    /// What multiplies large matrices, with its version, on which bits depend. None if nothing does.
    fn multiplier(&mut self) -> Option<String>;

    /// Looks up how to make `product` for `most` matrices; fewer are made in the same way.
    ///
    /// # Errors
    /// [`DeviceError::Failed`], also without a multiplier.
    fn prepare(&mut self, product: &Product, most: u32) -> Result<Self::Product, DeviceError>;

    /// Memory of `bytes` bytes, all zero.
    ///
    /// # Errors
    /// [`DeviceError::Memory`].
    fn allocate(&self, bytes: usize) -> Result<Self::Memory, DeviceError>;

    /// Copies `from` to the beginning of `to`.
    ///
    /// # Errors
    /// [`DeviceError::Failed`].
    fn upload(&self, from: &[u8], to: &mut Self::Memory) -> Result<(), DeviceError>;

    /// Waits for all work and copies the beginning of `from` to `to`.
    ///
    /// # Errors
    /// [`DeviceError::Failed`], also for earlier work that failed.
    fn download(&self, from: &Self::Memory, to: &mut [u8]) -> Result<(), DeviceError>;

    /// Makes all bytes zero.
    ///
    /// # Errors
    /// [`DeviceError::Failed`].
    fn clear(&self, memory: &mut Self::Memory) -> Result<(), DeviceError>;

    /// Starts a kernel on `arguments`, the bytes of its argument struct.
    ///
    /// # Safety
    /// The struct is the kernel's, every address in it is that of living memory of this device with
    /// the room that the kernel expects, and it stays so until the next [`Device::download`].
    ///
    /// # Errors
    /// [`DeviceError::Failed`].
    #[allow(unsafe_code)]
    unsafe fn launch(
        &self,
        kernel: &Self::Kernel,
        grid: Grid,
        arguments: &[u8],
    ) -> Result<(), DeviceError>;

    /// Starts `C = A B`, or `C += A B`, of the first `count` matrices at these addresses of A, B and C.
    ///
    /// # Safety
    /// As for [`Self::launch`]; there are so many matrices of the product's shape, and `count` is not
    /// more than it was prepared for.
    ///
    /// # Errors
    /// [`DeviceError::Failed`].
    #[allow(unsafe_code)]
    unsafe fn multiply(
        &self,
        product: &Self::Product,
        count: u32,
        accumulate: bool,
        addresses: [u64; 3],
    ) -> Result<(), DeviceError>;
}
