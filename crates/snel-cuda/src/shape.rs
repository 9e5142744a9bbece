//! The shape that kernels are compiled for: tile, threads, and where operands are kept.
//!
//! The sizes here are those of `kernels/shape.cuh`, `tile.cuh`, `product.cuh` and `sums.cuh`,
//! computed before there is a kernel to ask; the engine compares them with `snel_sizes` when it starts.

use snel_core::activation::Activation;
use snel_core::energy::Energy;

use crate::device::{Grid, Program};
use crate::settings::{Placement, Precision, Settings, ShapeError};

/// Threads of a warp.
const WARP: usize = 32;
/// From here on a layer's products are too large for tiles: its weight does not fit in shared memory
/// beside one.
const WIDE: usize = 257;
/// Points that a block weighs at a time, and threads, layer by layer.
const LAYERWISE_TILE: usize = 128;
const LAYERWISE_THREADS: usize = 256;

/// A shape: all that kernels are specialised on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shape {
    /// Widths of all levels, the point first.
    pub(crate) levels: Vec<usize>,
    activation: Activation,
    residual: bool,
    /// How products are made.
    pub precision: Precision,
    /// Points of a tile.
    pub tile: usize,
    /// Threads of a block.
    pub threads: usize,
    /// Where operands are kept.
    pub placement: Placement,
    /// Layer by layer; else tile by tile.
    pub layerwise: bool,
}

/// Bytes, and numbers, that the kernels of a shape expect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sizes {
    /// Dynamic shared memory of a block.
    pub(crate) shared: usize,
    /// The packed parameters.
    pub(crate) packed: usize,
    /// The tile of a block, if it is in global memory.
    pub(crate) tile: usize,
    /// The gradient of a block, if it is in global memory; layer by layer, of a chunk.
    pub(crate) sums: usize,
    /// Layer by layer, values and slopes of a point.
    pub(crate) row: usize,
    /// Length of the flat vector.
    pub(crate) parameters: usize,
}

fn padded(n: usize) -> usize {
    n.next_multiple_of(16)
}

impl Shape {
    /// The shape for `energy` on a device with `available` bytes of shared memory a block.
    ///
    /// # Errors
    /// [`ShapeError`].
    pub fn plan(
        energy: &Energy,
        settings: &Settings,
        available: usize,
    ) -> Result<Self, ShapeError> {
        let Energy::Mlp { dim, widths, activation, residual } = energy else {
            return Err(ShapeError::Quadratic);
        };
        let levels: Vec<usize> = [*dim].into_iter().chain(widths.iter().copied()).collect();
        let with = |tile: usize, weights_shared, tiles_shared| {
            let tile = settings.tile.unwrap_or(tile);
            let threads = settings.threads.unwrap_or_else(|| threads_for(&levels, tile));
            let mut shape = Self {
                levels: levels.clone(),
                activation: *activation,
                residual: *residual,
                precision: settings.precision,
                tile,
                threads,
                placement: Placement { weights_shared, tiles_shared, sums_in_registers: true },
                layerwise: false,
            };
            let most = register_slots(settings.precision, *activation, threads);
            shape.placement.sums_in_registers = shape.sum_slots() <= most;
            if let Some(placement) = settings.placement {
                shape.placement = placement;
            }
            shape
        };
        if settings.layerwise == Some(true) && !widths.is_empty() {
            let mut shape = with(LAYERWISE_TILE, false, false);
            shape.placement.sums_in_registers = false;
            shape.layerwise = true;
            shape.threads = settings.threads.unwrap_or(LAYERWISE_THREADS);
            shape.check()?;
            let needed = shape.sizes().shared;
            let fits = needed <= available;
            return fits.then_some(shape).ok_or(ShapeError::SharedMemory { needed, available });
        }
        // From the fastest to the one that always fits.
        let choices = [
            with(64, true, true),
            with(32, true, true),
            with(64, false, true),
            with(32, false, true),
            with(16, false, true),
            with(64, true, false),
            with(64, false, false),
        ];
        let smallest = &choices[choices.len() - 1];
        smallest.check()?;
        let needed = smallest.sizes().shared;
        let fits = |shape: &&Self| shape.sizes().shared <= available;
        let found = choices.iter().find(fits).cloned();
        found.ok_or(ShapeError::SharedMemory { needed, available })
    }

    /// Whether `energy` has a layer for which products of large matrices are faster than tiles.
    pub(crate) fn is_wide(energy: &Energy) -> bool {
        matches!(energy, Energy::Mlp { widths, .. } if widths.iter().any(|&width| width >= WIDE))
    }

    fn check(&self) -> Result<(), ShapeError> {
        let Self { tile, threads, .. } = *self;
        let warps = threads.is_multiple_of(WARP) && threads >= tile && threads <= 1024;
        if !tile.is_multiple_of(16) || tile == 0 || !warps {
            return Err(ShapeError::Setting { tile, threads });
        }
        // Every size is below that of a tile and the packed parameters in f32.
        let bytes = |n: usize| n.checked_mul(8).is_some_and(|bytes| bytes < 1 << 31);
        let widest: usize = self.levels.iter().map(|&w| padded(w) + 8).sum();
        if !bytes(self.parameters_padded()) || !bytes(widest.saturating_mul(tile)) {
            return Err(ShapeError::TooLarge { parameters: self.sizes().parameters });
        }
        Ok(())
    }

    fn parameters_padded(&self) -> usize {
        let pairs = self.levels.windows(2);
        pairs.map(|w| padded(w[1]).saturating_mul(padded(w[0]) + 8)).fold(0, usize::saturating_add)
    }

    /// What the kernels are compiled with.
    pub fn program(&self) -> Program {
        let Placement { weights_shared, tiles_shared, sums_in_registers } = self.placement;
        let widths: Vec<String> = self.levels[1..].iter().map(usize::to_string).collect();
        let activation = match self.activation {
            Activation::Silu => 0,
            Activation::Relu => 1,
            Activation::Tanh => 2,
            Activation::Gelu => 3,
            Activation::Softplus => 4,
        };
        let number = |n: usize| n.to_string();
        let definitions = [
            ("SNEL_DIM", number(self.levels[0])),
            ("SNEL_WIDTHS", widths.join(",")),
            ("SNEL_ACTIVATION", number(activation)),
            ("SNEL_RESIDUAL", number(self.residual.into())),
            ("SNEL_PRECISION", number(self.precision as usize)),
            ("SNEL_TILE", number(self.tile)),
            ("SNEL_THREADS", number(self.threads)),
            ("SNEL_WEIGHTS_SHARED", number(weights_shared.into())),
            ("SNEL_TILES_SHARED", number(tiles_shared.into())),
            ("SNEL_SUMS_IN_REGISTERS", number(sums_in_registers.into())),
            ("SNEL_LAYERWISE", number(self.layerwise.into())),
        ];
        let definitions = definitions.map(|(name, value)| (name.to_owned(), value));
        Program { definitions: definitions.into() }
    }

    /// A launch of `blocks` blocks.
    pub(crate) fn grid(&self, blocks: u32) -> Grid {
        Grid { blocks, threads: self.threads as u32, shared: self.sizes().shared as u32 }
    }

    /// Memory that the kernels expect.
    pub(crate) fn sizes(&self) -> Sizes {
        if self.layerwise { self.layerwise_sizes() } else { self.tiled_sizes() }
    }

    fn tiled_sizes(&self) -> Sizes {
        let Placement { weights_shared, tiles_shared, sums_in_registers } = self.placement;
        let weights: usize = (1..self.levels.len())
            .map(|i| {
                // In pieces there is no padding between rows, and one more part for the way back.
                let pieces = !weights_shared && self.halves(1) && i > 1;
                let columns = if pieces { padded(self.levels[i - 1]) } else { self.stride(i - 1) };
                let parts = self.parts(i - 1) + usize::from(pieces);
                parts * padded(self.levels[i]) * columns * self.stored_bytes(i - 1)
            })
            .sum();
        let vectors = 4 * self.vectors();
        let rows = |level: usize| self.tile * self.stride(level) * self.stored_bytes(level);
        // Values in parts, and slopes.
        let hidden = (1..self.levels.len()).map(|level| (self.parts(level) + 1) * rows(level));
        let tile = rows(0) + hidden.sum::<usize>();
        let control = self.control();
        let up = |bytes: usize| bytes.next_multiple_of(128);
        let shared = up(control)
            + up(vectors)
            + if weights_shared { up(weights) } else { 0 }
            + if tiles_shared { tile } else { 0 };
        Sizes {
            shared,
            packed: weights + vectors,
            tile: if tiles_shared { 0 } else { tile },
            sums: if sums_in_registers { 0 } else { 4 * self.threads * self.sum_slots() },
            row: 0,
            parameters: self.parameters(),
        }
    }

    fn parameters(&self) -> usize {
        let hidden: usize = self.levels.windows(2).map(|w| w[1] * w[0] + w[1]).sum();
        hidden + self.levels[self.levels.len() - 1] + 1
    }

    /// Floats of biases and output weight, padded.
    fn vectors(&self) -> usize {
        let last = padded(self.levels[self.levels.len() - 1]);
        self.levels[1..].iter().map(|&w| padded(w)).sum::<usize>() + last
    }

    /// The struct Shared: three words, 28 bytes a point, 48 a warp, aligned to 8.
    fn control(&self) -> usize {
        16 + 28 * self.tile + 48 * (self.threads / WARP)
    }

    /// Floats of a chunk's gradient that a thread owns.
    fn sum_slots(&self) -> usize {
        let warps = self.threads / WARP;
        let side = |n: usize| if n.is_multiple_of(32) { 32 } else { 16 };
        let width = |level: usize| padded(self.levels[level]);
        let vector = |level: usize| (width(level) / side(width(level))).div_ceil(warps);
        let weight = |i: usize| {
            let (rows, columns) = (width(i), width(i - 1));
            let across = columns / side(columns);
            let tall = rows.is_multiple_of(64) && rows / 64 * across >= warps;
            let Placement { tiles_shared, sums_in_registers, .. } = self.placement;
            let tall = tall && tiles_shared && !sums_in_registers;
            let height = if tall { 64 } else { side(rows) };
            (rows / height * across).div_ceil(warps) * height * side(columns) / WARP
        };
        let layers: usize = (1..self.levels.len()).map(|i| weight(i) + vector(i)).sum();
        layers + vector(self.levels.len() - 1)
    }

    /// Whether values of a level are bf16.
    fn halves(&self, level: usize) -> bool {
        level > 0 && matches!(self.precision, Precision::Bf16 | Precision::Bf16x3)
    }

    fn stride(&self, level: usize) -> usize {
        padded(self.levels[level]) + if self.halves(level) { 8 } else { 4 }
    }

    fn stored_bytes(&self, level: usize) -> usize {
        if self.halves(level) { 2 } else { 4 }
    }
}

/// Floats of a chunk's gradient that a thread may keep in registers: what the compiler manages without
/// spilling.
fn register_slots(precision: Precision, activation: Activation, threads: usize) -> usize {
    match (precision, activation) {
        // More of them have fewer registers each.
        _ if threads > 256 => 0,
        (Precision::Fp32, _) => 80,
        // Long and accurate functions beside operands in two parts.
        (Precision::Bf16x3, Activation::Gelu | Activation::Softplus) => 120,
        _ => 148,
    }
}

/// A warp for every 32 x 32 block of the widest product forward, from 4 to 8.
fn threads_for(levels: &[usize], tile: usize) -> usize {
    let widest = levels.iter().copied().max().unwrap_or(1);
    let blocks = tile.div_ceil(32) * widest.div_ceil(32);
    (WARP * blocks.clamp(4, 8)).max(tile.next_multiple_of(WARP))
}

mod layerwise;
#[cfg(test)]
mod tests;
