//! What may be chosen about the kernels, and which choices are refused.

use std::fmt;
use std::str::FromStr;

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

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fp32 => "fp32",
            Self::Tf32 => "tf32",
            Self::Bf16x3 => "bf16x3",
            Self::Bf16 => "bf16",
        }
    }

    /// The next one whose energies are much more exact, and cheapest of those: that of split bf16
    /// from both bf16 and tf32, since its gradients cost what those of bf16 do.
    pub const fn finer(self) -> Option<Self> {
        match self {
            Self::Bf16 | Self::Tf32 => Some(Self::Bf16x3),
            Self::Bf16x3 => Some(Self::Fp32),
            Self::Fp32 => None,
        }
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What names no precision.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("use fp32, tf32, bf16x3 or bf16")]
pub struct UnknownPrecision;

impl FromStr for Precision {
    type Err = UnknownPrecision;

    fn from_str(name: &str) -> Result<Self, UnknownPrecision> {
        Self::ALL.into_iter().find(|p| p.name() == name).ok_or(UnknownPrecision)
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
    /// Layer by layer, by products of large matrices; else tile by tile. Bits depend on it. The
    /// engine's choice is the former where a layer has more than 256 units and the device multiplies.
    pub layerwise: Option<bool>,
    /// Rows that are in work at a time, layer by layer; a chunk at least. No bit depends on it.
    pub rows: Option<usize>,
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
