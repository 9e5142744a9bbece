//! The weights of a perceptron in the order in which the kernels read them.
//!
//! Packed once a step and shared by all threads. A panel holds the columns of a block, `VECTORS`
//! vectors wide (the last one may be narrower), row after row; widths are padded with zeros to whole
//! vectors. A weight `W` (outputs x inputs) is needed twice: forward, panels run over outputs
//! (columns of `W^T`), backward over inputs (columns of `W`).

use snel_core::energy::{Energy, Layer};
use snel_core::perceptron::Linear;

use crate::buffer::{Buffer, zeros};
use crate::kernel::VECTORS;

/// All layers of a perceptron, packed for vectors of `lanes` values.
#[derive(Debug, Clone)]
pub(crate) struct PackedWeights {
    pub(crate) layers: Vec<PackedLayer>,
    /// Output weights, padded.
    pub(crate) output: Buffer,
    output_offset: usize,
    output_width: usize,
}

/// One layer.
#[derive(Debug, Clone)]
pub(crate) struct PackedLayer {
    pub(crate) layer: Layer,
    /// Panels over outputs.
    pub(crate) forward: Buffer,
    /// Panels over inputs; empty in a first layer whose inputs nobody asks the cotangents of.
    pub(crate) backward: Buffer,
    /// Padded; zeros if the layer has none.
    pub(crate) bias: Buffer,
    biased: bool,
    lanes: usize,
}

impl PackedWeights {
    /// Room for the weights of `energy`; for the way back to the points too if `to_points`.
    pub(crate) fn new(energy: &Energy, lanes: usize, to_points: bool) -> Self {
        let (layers, output_offset) = energy.layers();
        let output_width = match energy {
            Energy::Mlp { .. } => layers.last().map_or(energy.dim(), |l| l.outputs),
            Energy::Quadratic { .. } | Energy::Zero { .. } => 0,
        };
        let pack = |(i, layer): (usize, Layer)| {
            PackedLayer::new(Linear { layer, biased: true }, lanes, to_points || i > 0)
        };
        Self {
            layers: layers.into_iter().enumerate().map(pack).collect(),
            output: zeros(padded(output_width, lanes)),
            output_offset,
            output_width,
        }
    }

    /// Takes over the flat vector `parameters`.
    pub(crate) fn pack(&mut self, parameters: &[f32]) {
        for packed in &mut self.layers {
            packed.pack(parameters);
        }
        let output = &parameters[self.output_offset..self.output_offset + self.output_width];
        self.output[..self.output_width].copy_from_slice(output);
    }
}

impl PackedLayer {
    /// Room for a layer; for the way back to its inputs only if `backward`.
    pub(crate) fn new(linear: Linear, lanes: usize, backward: bool) -> Self {
        let Linear { layer, biased } = linear;
        let (outputs, inputs) = (padded(layer.outputs, lanes), padded(layer.inputs, lanes));
        let forward = zeros(outputs * layer.inputs);
        let backward = zeros(if backward { inputs * layer.outputs } else { 0 });
        Self { layer, forward, backward, bias: zeros(outputs), biased, lanes }
    }

    /// Takes over the flat vector `parameters`.
    pub(crate) fn pack(&mut self, parameters: &[f32]) {
        let Self { layer, forward, backward, bias, biased, lanes } = self;
        let weight = &parameters[layer.weight..layer.bias];
        if *biased {
            let values = &parameters[layer.bias..layer.bias + layer.outputs];
            bias[..layer.outputs].copy_from_slice(values);
        }
        let mut rest = &mut forward[..];
        for (columns, width) in panels(layer.outputs, *lanes) {
            let (panel, after) = rest.split_at_mut(width * layer.inputs);
            let rows = weight[columns.start * layer.inputs..].chunks_exact(layer.inputs);
            for (column, row) in rows.take(columns.len()).enumerate() {
                for (to, w) in panel[column..].iter_mut().step_by(width).zip(row) {
                    *to = *w;
                }
            }
            rest = after;
        }
        if backward.is_empty() {
            return;
        }
        let mut rest = &mut backward[..];
        for (columns, width) in panels(layer.inputs, *lanes) {
            let (panel, after) = rest.split_at_mut(width * layer.outputs);
            let rows = weight.chunks_exact(layer.inputs);
            for (to, row) in panel.chunks_exact_mut(width).zip(rows) {
                to[..columns.len()].copy_from_slice(&row[columns.clone()]);
            }
            rest = after;
        }
    }
}

/// `width` rounded up to whole vectors.
pub(crate) fn padded(width: usize, lanes: usize) -> usize {
    width.next_multiple_of(lanes)
}

/// The columns of each panel and its padded width.
fn panels(width: usize, lanes: usize) -> impl Iterator<Item = (std::ops::Range<usize>, usize)> {
    let full = lanes * VECTORS;
    (0..width).step_by(full).map(move |start| {
        let end = (start + full).min(width);
        (start..end, padded(end - start, lanes))
    })
}
