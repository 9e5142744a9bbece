//! The products of all layers: which matrices they multiply.
//!
//! Rows of points are columns for [`Product`], which thinks column by column; a weight, a row an
//! output, is its own transpose there.
#![allow(unsafe_code)]

use super::trial;
use crate::arguments::LayerArguments;
use crate::device::{Device, DeviceError};
use crate::multiply::Product;
use crate::shape::Shape;

/// Products for chunks of one size.
pub(super) struct Products<D: Device> {
    pub(super) chunk_rows: usize,
    /// Chunks that are multiplied at once, at most.
    pub(super) most: u32,
    layers: Vec<Layer<D>>,
}

struct Layer<D: Device> {
    /// Sums before the activation: H W^T.
    forward: D::Product,
    back: Option<Back<D>>,
}

struct Back<D: Device> {
    /// The weight's gradient: dZ^T H.
    gradient: D::Product,
    /// Cotangents of the values below: dZ W. Nobody asks for those of points.
    cotangents: Option<D::Product>,
}

impl<D: Device> Products<D> {
    /// For chunks of steps.
    pub(super) fn of_steps(
        device: &mut D,
        shape: &Shape,
        chunk_rows: usize,
        most: u32,
    ) -> Result<Self, DeviceError> {
        Self::new(device, shape, chunk_rows, most, true)
    }

    /// For points whose energies alone are asked for.
    pub(super) fn of_scores(
        device: &mut D,
        shape: &Shape,
        chunk_rows: usize,
        most: u32,
    ) -> Result<Self, DeviceError> {
        Self::new(device, shape, chunk_rows, most, false)
    }

    fn new(
        device: &mut D,
        shape: &Shape,
        chunk_rows: usize,
        most: u32,
        backward: bool,
    ) -> Result<Self, DeviceError> {
        let mut prepare = |product| trial::prepare(device, &product, most);
        let mut layers = Vec::new();
        for layer in 1..=shape.layers() {
            let back = if backward {
                Some(Back {
                    gradient: prepare(gradient(shape, layer, chunk_rows))?,
                    cotangents: match layer {
                        1 => None,
                        _ => Some(prepare(cotangents(shape, layer, chunk_rows))?),
                    },
                })
            } else {
                None
            };
            layers.push(Layer { forward: prepare(forward(shape, layer, chunk_rows))?, back });
        }
        Ok(Self { chunk_rows, most, layers })
    }

    /// Rows that there must be room for.
    pub(super) fn rows(&self) -> usize {
        self.chunk_rows * self.most as usize
    }

    /// Makes the sums of `layer`. Of operands in two parts, the product of the two small ones is left
    /// out, and small terms come first.
    ///
    /// # Safety
    /// The arguments are those of a piece of these chunks.
    pub(super) unsafe fn forward(
        &self,
        device: &D,
        shape: &Shape,
        piece: &LayerArguments,
        layer: usize,
    ) -> Result<(), DeviceError> {
        let pairs: &[(usize, usize)] = match shape.parts(layer - 1) {
            1 => &[(0, 0)],
            _ => &[(0, 1), (1, 0), (0, 0)],
        };
        for (i, &(of_weight, of_values)) in pairs.iter().enumerate() {
            let weight = weight_at(shape, piece, layer, of_weight);
            let values = values_at(shape, piece, layer - 1, of_values);
            let addresses = [weight, values, piece.product];
            let product = &self.layers[layer - 1].forward;
            // SAFETY: the caller's promise.
            unsafe { device.multiply(product, piece.step.n_chunks, i > 0, addresses)? };
        }
        Ok(())
    }

    /// Makes the gradient of the weight of `layer`, and the cotangents of the values below it.
    ///
    /// # Safety
    /// As for [`Self::forward`].
    pub(super) unsafe fn backward(
        &self,
        device: &D,
        shape: &Shape,
        piece: &LayerArguments,
        layer: usize,
    ) -> Result<(), DeviceError> {
        let Some(back) = &self.layers[layer - 1].back else { return Ok(()) };
        let n = piece.step.n_chunks;
        let dz = piece.slopes + piece.rows * shape.slopes_before(layer) as u64;
        let values = values_at(shape, piece, layer - 1, 0);
        let gradient = piece.gradients + 4 * shape.gradient_before(layer) as u64;
        // SAFETY: the caller's promise.
        unsafe { device.multiply(&back.gradient, n, false, [values, dz, gradient])? };
        let Some(cotangents) = &back.cotangents else { return Ok(()) };
        let weight = weight_at(shape, piece, layer, 0);
        // A residual connection adds the cotangents of the values above, which are there.
        let residual = shape.is_residual(layer);
        // SAFETY: the caller's promise.
        unsafe { device.multiply(cotangents, n, residual, [weight, dz, piece.product]) }
    }
}

fn values_at(shape: &Shape, piece: &LayerArguments, level: usize, part: usize) -> u64 {
    let before = shape.values_before(level) + part * shape.padded_width(level) * shape.part_bytes();
    piece.values + piece.rows * before as u64
}

fn weight_at(shape: &Shape, piece: &LayerArguments, layer: usize, part: usize) -> u64 {
    let elements = shape.padded_width(layer) * shape.padded_width(layer - 1);
    let before = shape.packed_before(layer) + part * elements * shape.part_bytes();
    piece.step.model.packed + before as u64
}

fn forward(shape: &Shape, layer: usize, rows: usize) -> Product {
    let (inputs, outputs) = (shape.padded_width(layer - 1), shape.padded_width(layer));
    Product {
        m: outputs,
        n: rows,
        k: inputs,
        a_transposed: true,
        b_transposed: false,
        strides: [0, rows * inputs, rows * outputs],
        precision: shape.precision,
    }
}

fn cotangents(shape: &Shape, layer: usize, rows: usize) -> Product {
    let (inputs, outputs) = (shape.padded_width(layer - 1), shape.padded_width(layer));
    Product {
        m: inputs,
        n: rows,
        k: outputs,
        a_transposed: false,
        b_transposed: false,
        strides: [0, rows * outputs, rows * inputs],
        precision: shape.precision,
    }
}

fn gradient(shape: &Shape, layer: usize, rows: usize) -> Product {
    let (inputs, outputs) = (shape.padded_width(layer - 1), shape.padded_width(layer));
    Product {
        m: inputs,
        n: outputs,
        k: rows,
        a_transposed: false,
        b_transposed: true,
        strides: [rows * inputs, rows * outputs, shape.gradient_floats()],
        precision: shape.precision,
    }
}
