//! What one layer keeps of a tile for the way back, and the gradient it gathers.

use snel_core::energy::Layer;

use crate::buffer::{Buffer, stride, zeros};
use crate::instruction_set::InstructionSet;
use crate::layer::{Backward, Rows, RowsMut, WeightGradient};
use crate::packed::{PackedLayer, padded};
use crate::tile::ROOM;

/// Outputs and slopes of one tile, and the gradient of one chunk so far.
#[derive(Debug, Clone)]
pub(crate) struct Kept {
    pub(crate) layer: Layer,
    pub(crate) stride: usize,
    pub(crate) output: Buffer,
    /// Slopes, then cotangents.
    pub(crate) slope: Buffer,
    /// Outputs x padded inputs or, if `transposed`, inputs x padded outputs.
    weight_gradient: Buffer,
    /// Inputs are few: their padding would be more than that of outputs.
    transposed: bool,
    pub(crate) bias_gradient: Buffer,
}

impl Kept {
    pub(crate) fn new(layer: Layer, lanes: usize) -> Self {
        let (stride, outputs) = (stride(layer.outputs), padded(layer.outputs, lanes));
        let straight = layer.outputs * padded(layer.inputs, lanes);
        let transposed = layer.inputs * outputs;
        Self {
            layer,
            stride,
            output: zeros(ROOM * stride),
            slope: zeros(ROOM * stride),
            weight_gradient: zeros(straight.min(transposed)),
            transposed: transposed < straight,
            bias_gradient: zeros(outputs),
        }
    }

    pub(crate) fn output(&self) -> Rows<'_> {
        Rows { values: &self.output, stride: self.stride }
    }

    /// Once the cotangents are in the place of the slopes: adds the gradient of the weight, of `n`
    /// points that had `input`.
    pub(crate) fn add_weight_gradient(&mut self, set: InstructionSet, n: usize, input: Rows<'_>) {
        let Layer { inputs, outputs, .. } = self.layer;
        let input = (input, inputs);
        let cotangent = (Rows { values: &self.slope, stride: self.stride }, outputs);
        let ((columns, height), (rows, width)) =
            if self.transposed { (input, cotangent) } else { (cotangent, input) };
        let gradient = &mut self.weight_gradient;
        set.run(WeightGradient { n, columns, height, rows, width, gradient });
    }

    /// Once the cotangents are in the place of the slopes: writes those of the input of the first `n`
    /// points to `to`, through `weights`. `spare` is as wide as the input, padded.
    pub(crate) fn input_cotangents(
        &self,
        set: InstructionSet,
        weights: &PackedLayer,
        n: usize,
        to: RowsMut<'_>,
        spare: &mut [f32],
    ) {
        // What is multiplied by slopes elsewhere is taken as it is.
        to.values.fill(1.0);
        set.run(Backward {
            n,
            layer: weights,
            cotangent: Rows { values: &self.slope, stride: self.stride },
            below: to,
            below_bias: spare,
            through: None,
        });
    }

    /// Writes the gradient gathered so far to the flat vector `out`, that of the bias only if there
    /// is one, and starts again at zero.
    pub(crate) fn take_gradient(&mut self, out: &mut [f32], biased: bool) {
        let Layer { weight, bias, inputs, outputs, .. } = self.layer;
        let to = &mut out[weight..bias];
        if self.transposed {
            transpose(&self.weight_gradient, inputs, outputs, to);
        } else {
            let from = self.weight_gradient.chunks_exact(self.weight_gradient.len() / outputs);
            for (to, from) in to.chunks_exact_mut(inputs).zip(from) {
                to.copy_from_slice(&from[..inputs]);
            }
        }
        if biased {
            out[bias..bias + outputs].copy_from_slice(&self.bias_gradient[..outputs]);
        }
        self.weight_gradient.fill(0.0);
        self.bias_gradient.fill(0.0);
    }
}

/// `to` (outputs x inputs) from `from` (inputs x padded outputs), block by block so that the lines
/// of both stay in the cache.
fn transpose(from: &[f32], inputs: usize, outputs: usize, to: &mut [f32]) {
    const BLOCK: usize = 16;
    let width = from.len() / inputs;
    for k0 in (0..inputs).step_by(BLOCK) {
        for w in 0..outputs {
            let row = &mut to[w * inputs..][..inputs];
            for (k, to) in row.iter_mut().enumerate().skip(k0).take(BLOCK) {
                *to = from[k * width + w];
            }
        }
    }
}
