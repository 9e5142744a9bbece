//! Where things are layer by layer: the twin of `kernels/layerwise.cuh` and `layerwise_gradient.cuh`.

use super::{Shape, Sizes, padded};
use crate::settings::Precision;

impl Shape {
    /// Layers that are not the output.
    pub(crate) fn layers(&self) -> usize {
        self.levels.len() - 1
    }

    /// Width of a level, padded.
    pub(crate) fn padded_width(&self, level: usize) -> usize {
        padded(self.levels[level])
    }

    /// The input of the layer is added to its output.
    pub(crate) fn is_residual(&self, layer: usize) -> bool {
        self.residual && layer > 1 && self.levels[layer] == self.levels[layer - 1]
    }

    /// Bytes of a part of an operand.
    pub(crate) fn part_bytes(&self) -> usize {
        self.stored_bytes(1)
    }

    /// Parts of a level's values, and of the weights that read them. Tile by tile, points are float.
    pub(crate) fn parts(&self, level: usize) -> usize {
        let split = match self.precision {
            Precision::Bf16x3 => level > 0 || self.layerwise,
            Precision::Bf16 => level == 0 && self.layerwise,
            Precision::Tf32 | Precision::Fp32 => false,
        };
        1 + usize::from(split)
    }

    /// Bytes of a row before the values of `level`.
    pub(crate) fn values_before(&self, level: usize) -> usize {
        (0..level).map(|i| self.parts(i) * self.padded_width(i) * self.part_bytes()).sum()
    }

    /// Bytes of a row before the slopes of `level`.
    pub(crate) fn slopes_before(&self, level: usize) -> usize {
        (1..level).map(|i| self.padded_width(i) * self.part_bytes()).sum()
    }

    /// Bytes before the packed weight of `layer`.
    pub(crate) fn packed_before(&self, layer: usize) -> usize {
        let weight = |i| self.padded_width(i) * self.padded_width(i - 1);
        (1..layer).map(|i| weight(i) * self.parts(i - 1) * self.part_bytes()).sum()
    }

    /// Floats of a chunk's gradient before that of the weight of `layer`.
    pub(crate) fn gradient_before(&self, layer: usize) -> usize {
        (1..layer).map(|i| self.padded_width(i) * self.padded_width(i - 1)).sum()
    }

    /// Floats of a chunk's gradient: weights, vectors, `b`.
    pub(crate) fn gradient_floats(&self) -> usize {
        let all = self.gradient_before(self.levels.len()) + self.vectors() + 1;
        all.next_multiple_of(64)
    }

    /// The widest hidden level, padded.
    pub(crate) fn widest(&self) -> usize {
        (1..self.levels.len()).map(|level| self.padded_width(level)).max().unwrap_or_default()
    }

    pub(super) fn layerwise_sizes(&self) -> Sizes {
        let end = self.levels.len();
        Sizes {
            shared: self.control().next_multiple_of(128),
            packed: self.packed_before(end) + 4 * self.vectors(),
            tile: 0,
            sums: 4 * self.gradient_floats(),
            row: self.values_before(end) + self.slopes_before(end),
            parameters: self.parameters(),
        }
    }
}
