//! Chunks tile by tile: one kernel does all that a step asks of a point while it is on the chip.
#![allow(unsafe_code)]

use super::setup::{SCRATCH, blocks_for};
use crate::arguments::{ScoreArguments, StepArguments};
use crate::device::{Device, DeviceError, Memory};
use crate::shape::{Shape, Sizes};

/// Its kernels, in the order in which they are kept.
pub(super) const KERNELS: [&str; 2] = ["snel_step", "snel_score"];

pub(super) struct Tiles<D: Device> {
    step: D::Kernel,
    score: D::Kernel,
    /// A tile a block.
    pub(super) room: D::Memory,
    /// A chunk's gradient a block.
    gradients: D::Memory,
    /// Blocks of a launch that has enough work.
    pub(super) blocks: u32,
}

impl<D: Device> Tiles<D> {
    pub(super) fn new(
        device: &D,
        [step, score]: [D::Kernel; 2],
        shape: &Shape,
        most_blocks: u32,
    ) -> Result<Self, DeviceError> {
        let Sizes { tile, sums, .. } = shape.sizes();
        let most = (SCRATCH / (tile + sums).max(1)).min(most_blocks as usize);
        let blocks = blocks_for(device, shape).min(most as u32).max(1);
        let all = |bytes: usize| device.allocate((bytes * blocks as usize).max(1));
        Ok(Self { step, score, room: all(tile)?, gradients: all(sums)?, blocks })
    }

    /// Starts a step.
    ///
    /// # Safety
    /// The arguments are those of a step, but for the memory that is this value's.
    pub(super) unsafe fn step(
        &self,
        device: &D,
        shape: &Shape,
        arguments: StepArguments,
    ) -> Result<(), DeviceError> {
        let arguments = StepArguments { sums: self.gradients.address(), ..arguments };
        let grid = shape.grid(self.blocks.min(arguments.n_chunks));
        // SAFETY: tiles and gradients are there for `self.blocks` blocks; the rest is the caller's
        // promise.
        unsafe { device.launch(&self.step, grid, bytemuck::bytes_of(&arguments)) }
    }

    /// Starts scoring.
    ///
    /// # Safety
    /// As for a step; points and scores have room for as many points as the arguments say.
    pub(super) unsafe fn score(
        &self,
        device: &D,
        shape: &Shape,
        arguments: &ScoreArguments,
    ) -> Result<(), DeviceError> {
        let blocks = arguments.count.div_ceil(shape.tile as u32).min(self.blocks);
        // SAFETY: as above.
        unsafe {
            device.launch(&self.score, shape.grid(blocks.max(1)), bytemuck::bytes_of(arguments))
        }
    }
}
