//! The shape that kernels are compiled for: tile, threads, and where operands are kept.
//!
//! The sizes here are those of `kernels/shape.cuh`, `tile.cuh` and `sums.cuh`, computed before
//! there is a kernel to ask; the engine compares them with `snel_sizes` when it starts.

use std::fmt;

use snel_core::activation::Activation;
use snel_core::energy::Energy;

use crate::device::{Grid, Program};

/// Threads of a warp.
const WARP: usize = 32;
/// Floats of a chunk's gradient that a thread may keep in registers: what the compiler manages
/// without spilling, with 128 threads or 256.
const REGISTER_SLOTS: usize = 80;

/// How products are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Precision {
    /// Ordinary f32 arithmetic, no tensor cores.
    Fp32,
    /// Tensor cores on operands rounded to 10 bits of fraction.
    Tf32,
    /// Energies from operands split in two bf16 (an error of about 2^-16), gradients in bf16.
    Bf16x3,
    /// Tensor cores on bf16, 7 bits of fraction; points keep twice that. Sums are f32.
    #[default]
    Bf16,
}

impl Precision {
    /// Every precision, for tests that must cover all.
    pub const ALL: [Self; 4] = [Self::Fp32, Self::Tf32, Self::Bf16x3, Self::Bf16];
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fp32 => "fp32",
            Self::Tf32 => "tf32",
            Self::Bf16x3 => "bf16x3",
            Self::Bf16 => "bf16",
        })
    }
}

/// Where a block keeps its operands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placement {
    /// Weights in shared memory; else they are read through the caches.
    pub weights_shared: bool,
    /// The tile in shared memory; else in global memory, a tile a block.
    pub tiles_shared: bool,
    /// The chunk's gradient in registers; else in global memory, a gradient a block.
    pub sums_in_registers: bool,
}

/// What may be chosen. The default of everything is the engine's own choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Settings {
    /// How products are made.
    pub precision: Precision,
    /// Points of a tile: 16, 32, 48, ... Bits depend on it.
    pub tile: Option<usize>,
    /// Threads of a block: whole warps, at least a tile, at most 1,024.
    pub threads: Option<usize>,
    /// Where operands are kept.
    pub placement: Option<Placement>,
    /// Most blocks of a launch.
    pub blocks: Option<u32>,
}

/// Why there are no kernels for a shape.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ShapeError {
    /// The energy is not a perceptron.
    #[error("a quadratic energy has no CUDA kernels; train it with `--device cpu`")]
    Quadratic,
    /// A setting that no kernel can have.
    #[error(
        "a tile of {tile} points with {threads} threads: the tile must be a multiple of 16, threads \
         a multiple of 32 from the tile to 1024"
    )]
    Setting {
        /// Points of a tile.
        tile: usize,
        /// Threads of a block.
        threads: usize,
    },
    /// Not even a tile's bookkeeping fits.
    #[error("a block needs {needed} bytes of shared memory, the device has {available}")]
    SharedMemory {
        /// Bytes of the smallest shape.
        needed: usize,
        /// Bytes that a block may have.
        available: usize,
    },
    /// The offsets of the kernels are 32 bits wide.
    #[error("{parameters} parameters are too many for the kernels, which count to 2^31 bytes")]
    TooLarge {
        /// Parameters of the model.
        parameters: usize,
    },
}

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
    /// The gradient of a block, if it is in global memory.
    pub(crate) sums: usize,
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
                placement: Placement { weights_shared, tiles_shared, sums_in_registers: false },
            };
            shape.placement.sums_in_registers = shape.sum_slots() <= REGISTER_SLOTS;
            if let Some(placement) = settings.placement {
                shape.placement = placement;
            }
            shape
        };
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
        let Placement { weights_shared, tiles_shared, sums_in_registers } = self.placement;
        let weights: usize = (1..self.levels.len())
            .map(|i| padded(self.levels[i]) * self.stride(i - 1) * self.stored_bytes(i - 1))
            .sum();
        let last = padded(self.levels[self.levels.len() - 1]);
        let vectors = 4 * (self.levels[1..].iter().map(|&w| padded(w)).sum::<usize>() + last);
        let rows = |level: usize| self.tile * self.stride(level) * self.stored_bytes(level);
        let tile = rows(0) + 2 * (1..self.levels.len()).map(rows).sum::<usize>();
        let warps = self.threads / WARP;
        // The struct Shared: three words, 28 bytes a point, 48 a warp, aligned to 8.
        let control = 16 + 28 * self.tile + 48 * warps;
        let up = |bytes: usize| bytes.next_multiple_of(128);
        let shared = up(control)
            + up(vectors)
            + if weights_shared { up(weights) } else { 0 }
            + if tiles_shared { tile } else { 0 };
        let hidden: usize = self.levels.windows(2).map(|w| w[1] * w[0] + w[1]).sum();
        Sizes {
            shared,
            packed: weights + vectors,
            tile: if tiles_shared { 0 } else { tile },
            sums: if sums_in_registers { 0 } else { 4 * self.threads * self.sum_slots() },
            parameters: hidden + self.levels[self.levels.len() - 1] + 1,
        }
    }

    /// Floats of a chunk's gradient that a thread owns.
    fn sum_slots(&self) -> usize {
        let warps = self.threads / WARP;
        let vector = |level: usize| padded(self.levels[level]).div_ceil(self.threads);
        let side = |n: usize| if padded(n).is_multiple_of(32) { 32 } else { 16 };
        let weight = |i: usize| {
            let (rows, columns) = (self.levels[i], self.levels[i - 1]);
            let (height, width) = (side(rows), side(columns));
            let blocks = (padded(rows) / height) * (padded(columns) / width);
            blocks.div_ceil(warps) * height * width / WARP
        };
        let layers: usize = (1..self.levels.len()).map(|i| weight(i) + vector(i)).sum();
        layers + vector(self.levels.len() - 1)
    }

    fn halves(&self, level: usize) -> bool {
        level > 0 && self.precision == Precision::Bf16
    }

    fn stride(&self, level: usize) -> usize {
        padded(self.levels[level]) + if self.halves(level) { 8 } else { 4 }
    }

    fn stored_bytes(&self, level: usize) -> usize {
        if self.halves(level) { 2 } else { 4 }
    }
}

/// A warp for every 32 x 32 block of the widest product forward, from 4 to 8.
fn threads_for(levels: &[usize], tile: usize) -> usize {
    let widest = levels.iter().copied().max().unwrap_or(1);
    let blocks = tile.div_ceil(32) * widest.div_ceil(32);
    (WARP * blocks.clamp(4, 8)).max(tile.next_multiple_of(WARP))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn energy(dim: usize, widths: &[usize]) -> Energy {
        Energy::Mlp { dim, widths: widths.to_vec(), activation: Activation::Silu, residual: false }
    }

    fn plan(dim: usize, widths: &[usize], precision: Precision) -> Shape {
        let settings = Settings { precision, ..Settings::default() };
        // What a block of compute capability 9.0 may have.
        Shape::plan(&energy(dim, widths), &settings, 232_448).unwrap()
    }

    #[test]
    fn small_networks_live_in_shared_memory() {
        let shape = plan(8, &[64, 64], Precision::Bf16);
        assert_eq!((shape.tile, shape.threads), (64, 128));
        let all = Placement { weights_shared: true, tiles_shared: true, sums_in_registers: true };
        assert_eq!(shape.placement, all);
        let shape = plan(64, &[128; 3], Precision::Bf16);
        assert_eq!((shape.tile, shape.threads), (64, 256));
        assert_eq!(shape.placement, Placement { sums_in_registers: false, ..all });
    }

    #[test]
    fn wide_networks_spill_to_global_memory() {
        let shape = plan(784, &[1024; 3], Precision::Fp32);
        assert!(!shape.placement.weights_shared && !shape.placement.tiles_shared);
        assert!(shape.sizes().shared < 232_448);
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let quadratic = Shape::plan(&Energy::Quadratic { dim: 2 }, &Settings::default(), 1 << 20);
        assert_eq!(quadratic, Err(ShapeError::Quadratic));
        let settings = Settings { tile: Some(64), threads: Some(32), ..Settings::default() };
        let odd = Shape::plan(&energy(2, &[8]), &settings, 1 << 20);
        assert_eq!(odd, Err(ShapeError::Setting { tile: 64, threads: 32 }));
        let huge = Shape::plan(&energy(2, &[1 << 20; 2]), &Settings::default(), 1 << 20);
        assert!(matches!(huge, Err(ShapeError::TooLarge { .. })));
        let none = Shape::plan(&energy(2, &[8]), &Settings::default(), 512);
        assert!(matches!(none, Err(ShapeError::SharedMemory { .. })));
    }

    /// The list that CI compiles for real architectures is what the engine would compile: each
    /// line is the plan for the network that it names.
    #[test]
    fn the_list_of_specialisations_is_planned() {
        let list = include_str!("../../../kernels/specialisations.txt");
        let mut count = 0;
        for line in list.lines().filter(|l| l.contains("-D")) {
            let words: Vec<&str> = line.split_whitespace().collect();
            let value = |name: &str| {
                let prefix = format!("-D{name}=");
                words.iter().find_map(|w| w.strip_prefix(prefix.as_str())).unwrap()
            };
            let widths = value("SNEL_WIDTHS").split(',').map(|w| w.parse().unwrap()).collect();
            let energy = Energy::Mlp {
                dim: value("SNEL_DIM").parse().unwrap(),
                widths,
                activation: Activation::ALL[value("SNEL_ACTIVATION").parse::<usize>().unwrap()],
                residual: value("SNEL_RESIDUAL") == "1",
            };
            let precision = Precision::ALL[value("SNEL_PRECISION").parse::<usize>().unwrap()];
            let settings = Settings { precision, ..Settings::default() };
            let shape = Shape::plan(&energy, &settings, 232_448).unwrap();
            let program = shape.program();
            let planned = program.definitions.iter().map(|(n, v)| format!("-D{n}={v}"));
            assert_eq!(words, planned.collect::<Vec<_>>());
            count += 1;
        }
        assert!(count > 5);
    }
}
