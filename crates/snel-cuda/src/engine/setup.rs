//! What a [`super::machine::Machine`] is made of: tables, memory, the size of its launches.
#![allow(unsafe_code)]

use snel_core::density::Density;

use crate::arguments::{self, SizesArguments};
use crate::density::Table;
use crate::device::{Device, DeviceError, Grid, Memory};
use crate::shape::Shape;

/// Most bytes of tiles and gradients in global memory, over all blocks.
pub(super) const SCRATCH: usize = 4 << 30;

/// A density's table in the memory of a device.
pub(super) struct DensityOnDevice<D: Device> {
    nodes: D::Memory,
    values: D::Memory,
    count: i32,
    has_lower: bool,
}

impl<D: Device> DensityOnDevice<D> {
    pub(super) fn new(device: &D, density: Option<&Density>) -> Result<Self, DeviceError> {
        let Table { nodes, values, has_lower } = density.map(Table::new).unwrap_or_default();
        let count = nodes.len() as i32;
        Ok(Self {
            nodes: stored(device, &nodes)?,
            values: stored(device, &values)?,
            count,
            has_lower,
        })
    }

    pub(super) fn arguments(&self) -> arguments::Density {
        arguments::Density {
            nodes: self.nodes.address(),
            values: self.values.address(),
            count: self.count,
            has_lower: self.has_lower.into(),
        }
    }
}

/// Memory that holds `values`.
pub(super) fn stored<D: Device, T: bytemuck::NoUninit>(
    device: &D,
    values: &[T],
) -> Result<D::Memory, DeviceError> {
    let bytes: &[u8] = bytemuck::cast_slice(values);
    let mut memory = device.allocate(bytes.len().max(1))?;
    device.upload(bytes, &mut memory)?;
    Ok(memory)
}

/// Makes `memory` at least `bytes` long. What it held is lost.
pub(super) fn grow<D: Device>(
    device: &D,
    memory: &mut D::Memory,
    bytes: usize,
) -> Result<(), DeviceError> {
    if memory.bytes() < bytes {
        *memory = device.allocate(bytes)?;
    }
    Ok(())
}

/// Blocks that fill the device: as many a multiprocessor as shared memory and threads allow.
pub(super) fn blocks_for<D: Device>(device: &D, shape: &Shape) -> u32 {
    let by_shared = device.shared_memory() / (shape.sizes().shared as u32).max(1);
    let by_threads = 1024 / shape.threads as u32;
    device.multiprocessors() * by_shared.min(by_threads).clamp(1, 8)
}

/// The sizes that the kernels expect: shared memory, packed parameters, tile, gradient slots of a
/// thread, parameters; layer by layer, a row and a chunk's gradient instead of tile and slots.
pub(super) fn ask_sizes<D: Device>(
    device: &D,
    kernel: &D::Kernel,
) -> Result<[u64; 5], DeviceError> {
    let mut sizes = [0; 5];
    let memory = device.allocate(size_of_val(&sizes))?;
    let arguments = SizesArguments { sizes: memory.address() };
    let grid = Grid { blocks: 1, threads: 32, shared: 0 };
    // SAFETY: the kernel writes five words, and there is room for them.
    unsafe { device.launch(kernel, grid, bytemuck::bytes_of(&arguments))? };
    device.download(&memory, bytemuck::cast_slice_mut(&mut sizes))?;
    Ok(sizes)
}
