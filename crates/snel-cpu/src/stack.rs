//! A network with any number of outputs, linear or not: one tile forward and backward.

use snel_core::activation::Activation;
use snel_core::perceptron::{Linear, Perceptron};

use crate::buffer::{Buffer, zeros};
use crate::instruction_set::InstructionSet;
use crate::kept::Kept;
use crate::layer::{Backward, Forward, Rows, RowsMut};
use crate::packed::{PackedLayer, padded};
use crate::tile::clear_behind;

/// The layers of a network, packed.
#[derive(Debug, Clone)]
pub(crate) struct PackedStack {
    layers: Vec<PackedLayer>,
}

/// A network with room for one tile and for one chunk's gradient.
#[derive(Debug, Clone)]
pub(crate) struct Stack {
    set: InstructionSet,
    layers: Vec<Layer>,
    /// Sums that nobody asks for.
    spare: Buffer,
}

#[derive(Debug, Clone)]
struct Layer {
    kept: Kept,
    activation: Option<Activation>,
    biased: bool,
}

/// The layers of `net`, the linear one last.
fn layers(net: &Perceptron) -> impl Iterator<Item = &Linear> {
    net.hidden.iter().chain(&net.output)
}

impl PackedStack {
    /// Room for the weights of `net`; for the way back to its input only if `to_input`.
    pub(crate) fn new(net: &Perceptron, lanes: usize, to_input: bool) -> Self {
        let pack =
            |(i, linear): (usize, &Linear)| PackedLayer::new(*linear, lanes, to_input || i > 0);
        Self { layers: layers(net).enumerate().map(pack).collect() }
    }

    /// Takes over the flat vector `parameters`.
    pub(crate) fn pack(&mut self, parameters: &[f32]) {
        self.layers.iter_mut().for_each(|layer| layer.pack(parameters));
    }
}

impl Stack {
    pub(crate) fn new(net: &Perceptron, activation: Activation, set: InstructionSet) -> Self {
        let lanes = set.lanes();
        let hidden = net.hidden.len();
        let keep = |(i, linear): (usize, &Linear)| Layer {
            kept: Kept::new(linear.layer, lanes),
            activation: (i < hidden).then_some(activation),
            biased: linear.biased,
        };
        let widest = layers(net).map(|linear| linear.layer.inputs.max(linear.layer.outputs)).max();
        let layers = layers(net).enumerate().map(keep).collect();
        Self { set, layers, spare: zeros(padded(widest.unwrap_or(0), lanes)) }
    }

    /// Runs the first `n` rows of `input` forward. `bias`, padded, takes the place of the first
    /// layer's.
    pub(crate) fn forward(
        &mut self,
        weights: &PackedStack,
        n: usize,
        input: Rows<'_>,
        bias: Option<&[f32]>,
    ) {
        for i in 0..self.layers.len() {
            let (before, rest) = self.layers.split_at_mut(i);
            let Layer { kept, activation, .. } = &mut rest[0];
            let layer = &weights.layers[i];
            self.set.run(Forward {
                n,
                layer,
                bias: bias.filter(|_| i == 0).unwrap_or(&layer.bias),
                activation: *activation,
                input: before.last().map_or(input, |layer| layer.kept.output()),
                output: RowsMut { values: &mut kept.output, stride: kept.stride },
                slope: &mut kept.slope,
            });
        }
    }

    /// What came out of the last pass forward of `input`.
    pub(crate) fn output<'a>(&'a self, input: Rows<'a>) -> Rows<'a> {
        self.layers.last().map_or(input, |layer| layer.kept.output())
    }

    /// Gathers the gradient of the `n` rows that went forward last, given the cotangents of their
    /// outputs.
    pub(crate) fn backward(
        &mut self,
        weights: &PackedStack,
        n: usize,
        input: Rows<'_>,
        cotangent: Rows<'_>,
    ) {
        self.way_back(weights, n, Some(input), cotangent);
    }

    /// The same for the cotangents of the input alone, to `to`: nothing is gathered.
    pub(crate) fn pull(
        &mut self,
        weights: &PackedStack,
        n: usize,
        cotangent: Rows<'_>,
        to: RowsMut<'_>,
    ) {
        self.way_back(weights, n, None, cotangent);
        self.input_cotangents(weights, n, to);
    }

    /// Puts cotangents in the place of slopes. With the `input` that went forward it gathers.
    fn way_back(
        &mut self,
        weights: &PackedStack,
        n: usize,
        input: Option<Rows<'_>>,
        cotangent: Rows<'_>,
    ) {
        let Self { set, layers, spare } = self;
        let Some(Layer { kept, .. }) = layers.last_mut() else { return };
        let width = kept.layer.outputs;
        let biases = if input.is_some() { &mut kept.bias_gradient } else { &mut *spare };
        let rows = kept.slope.chunks_exact_mut(kept.stride);
        for (slope, c) in rows.zip(cotangent.values.chunks_exact(cotangent.stride)).take(n) {
            let terms = slope[..width].iter_mut().zip(&c[..width]);
            for ((slope, c), bias) in terms.zip(biases.iter_mut()) {
                *slope *= c;
                *bias += *slope;
            }
        }
        clear_behind(&mut kept.slope, kept.stride, n);
        for i in (0..layers.len()).rev() {
            let (before, rest) = layers.split_at_mut(i);
            let kept = &mut rest[0].kept;
            if let Some(input) = input {
                let below = before.last().map_or(input, |layer| layer.kept.output());
                kept.add_weight_gradient(*set, n, below);
            }
            if let Some(Layer { kept: below, .. }) = before.last_mut() {
                let biases = if input.is_some() { &mut below.bias_gradient } else { &mut *spare };
                set.run(Backward {
                    n,
                    layer: &weights.layers[i],
                    cotangent: Rows { values: &kept.slope, stride: kept.stride },
                    below: RowsMut { values: &mut below.slope, stride: below.stride },
                    below_bias: biases,
                    through: None,
                });
            }
        }
    }

    /// The cotangents of the input, after [`Self::backward`].
    pub(crate) fn input_cotangents(&mut self, weights: &PackedStack, n: usize, to: RowsMut<'_>) {
        let Some(Layer { kept, .. }) = self.layers.first() else { return };
        kept.input_cotangents(self.set, &weights.layers[0], n, to, &mut self.spare);
    }

    /// Moves the sum of the cotangents of the first layer's pre-activations to `to`.
    pub(crate) fn take_first(&mut self, to: &mut [f32]) {
        if let Some(Layer { kept, .. }) = self.layers.first_mut() {
            to[..kept.layer.outputs].copy_from_slice(&kept.bias_gradient[..kept.layer.outputs]);
            kept.bias_gradient.fill(0.0);
        }
    }

    /// Writes the gradient gathered so far to the flat vector `out` and starts again at zero.
    pub(crate) fn take_gradient(&mut self, out: &mut [f32]) {
        self.spare.fill(0.0);
        for Layer { kept, biased, .. } in &mut self.layers {
            kept.take_gradient(out, *biased);
        }
    }
}
