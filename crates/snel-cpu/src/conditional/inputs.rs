//! What depends on `x` alone, for a tile of rows: features, the offset of the energy's first layer,
//! `g(h)`, and the mixture of a learned proposal.

use snel_core::activation::Activation;
use snel_core::conditional::Networks;
use snel_core::perceptron::Perceptron;

use crate::columns::Columns;
use crate::instruction_set::InstructionSet;
use crate::packed::padded;
use crate::stack::{PackedStack, Stack};
use crate::tile::Tile;

/// The networks of a conditional model, packed once a step and shared by all threads.
pub(super) struct PackedNetworks {
    features: PackedStack,
    offset: PackedStack,
    pub(super) energy: PackedStack,
    log_normaliser: PackedStack,
    proposal: Option<PackedStack>,
}

impl PackedNetworks {
    pub(super) fn new(nets: &Networks, lanes: usize) -> Self {
        Self {
            features: PackedStack::new(&nets.features, lanes, false),
            offset: PackedStack::new(&alone(nets), lanes, true),
            energy: PackedStack::new(&nets.energy, lanes, false),
            log_normaliser: PackedStack::new(&nets.log_normaliser, lanes, true),
            proposal: nets.proposal.as_ref().map(|net| PackedStack::new(net, lanes, false)),
        }
    }

    /// Takes over the flat vector `parameters`.
    pub(super) fn pack(&mut self, parameters: &[f32]) {
        let Self { features, offset, energy, log_normaliser, proposal } = self;
        for stack in [features, offset, energy, log_normaliser].into_iter().chain(proposal) {
            stack.pack(parameters);
        }
    }
}

/// The offset as a network of one linear layer.
fn alone(nets: &Networks) -> Perceptron {
    Perceptron { hidden: Vec::new(), output: Some(nets.offset) }
}

/// A tile of rows with the networks on `x`.
pub(super) struct Inputs {
    /// The rows' `x`.
    pub(super) x: Tile,
    features: Stack,
    offset: Stack,
    log_normaliser: Stack,
    proposal: Option<Stack>,
    /// Values of the offset, padded.
    offset_width: usize,
    outputs: usize,
    /// Cotangents of the offset, of `g`, and of the mixture's outputs.
    pub(super) d_offset: Columns,
    pub(super) d_normaliser: Columns,
    pub(super) d_mixture: Columns,
    /// Cotangents of `h`: by the offset, and by `g`.
    d_features: Columns,
    d_features_too: Columns,
}

impl Inputs {
    pub(super) fn new(nets: &Networks, activation: Activation, set: InstructionSet) -> Self {
        let offset = nets.offset.layer;
        let outputs = nets.proposal.as_ref().and_then(|net| net.output);
        let outputs = outputs.map_or(0, |output| output.layer.outputs);
        let first = nets.features.hidden.first().map_or(offset.inputs, |l| l.layer.inputs);
        let stack = |net: &Perceptron| Stack::new(net, activation, set);
        Self {
            x: Tile::new(first),
            features: stack(&nets.features),
            offset: stack(&alone(nets)),
            log_normaliser: stack(&nets.log_normaliser),
            proposal: nets.proposal.as_ref().map(stack),
            offset_width: padded(offset.outputs, set.lanes()),
            outputs,
            d_offset: Columns::new(offset.outputs),
            d_normaliser: Columns::new(1),
            d_mixture: Columns::new(outputs),
            d_features: Columns::new(offset.inputs),
            d_features_too: Columns::new(offset.inputs),
        }
    }

    /// Runs the rows in `x` forward.
    pub(super) fn forward(&mut self, weights: &PackedNetworks) {
        let n = self.x.len();
        self.x.clear_behind();
        let x = self.x.rows();
        self.features.forward(&weights.features, n, x, None);
        let h = self.features.output(x);
        self.offset.forward(&weights.offset, n, h, None);
        self.log_normaliser.forward(&weights.log_normaliser, n, h, None);
        if let (Some(stack), Some(weights)) = (&mut self.proposal, &weights.proposal) {
            stack.forward(weights, n, x, None);
        }
    }

    /// The offset of row `i`, padded.
    pub(super) fn offset(&self, i: usize) -> &[f32] {
        let rows = self.offset.output(self.x.rows());
        &rows.values[i * rows.stride..][..self.offset_width]
    }

    /// `g(h)` of row `i`.
    pub(super) fn normaliser(&self, i: usize) -> f32 {
        let rows = self.log_normaliser.output(self.x.rows());
        rows.values[i * rows.stride]
    }

    /// What the proposal's network gives for row `i`; nothing if there is none.
    pub(super) fn mixture(&self, i: usize) -> &[f32] {
        let Some(stack) = &self.proposal else { return &[] };
        let rows = stack.output(self.x.rows());
        &rows.values[i * rows.stride..][..self.outputs]
    }

    /// Gathers the gradients, given the cotangents in `d_offset`, `d_normaliser` and `d_mixture`.
    /// Those of `g` go on into the features only if `normaliser_moves_features`.
    pub(super) fn backward(&mut self, weights: &PackedNetworks, normaliser_moves_features: bool) {
        let n = self.x.len();
        let x = self.x.rows();
        let Self { features, offset, log_normaliser, proposal, .. } = self;
        let h = features.output(x);
        offset.backward(&weights.offset, n, h, self.d_offset.rows());
        log_normaliser.backward(&weights.log_normaliser, n, h, self.d_normaliser.rows());
        if let (Some(stack), Some(weights)) = (proposal, &weights.proposal) {
            stack.backward(weights, n, x, self.d_mixture.rows());
        }
        offset.input_cotangents(&weights.offset, n, self.d_features.rows_mut());
        if normaliser_moves_features {
            let too = self.d_features_too.rows_mut();
            log_normaliser.input_cotangents(&weights.log_normaliser, n, too);
            self.d_features.add(&self.d_features_too);
        }
        features.backward(&weights.features, n, x, self.d_features.rows());
    }

    /// Writes the gradient gathered so far to the flat vector `out` and starts again at zero.
    pub(super) fn take_gradient(&mut self, out: &mut [f32]) {
        let Self { features, offset, log_normaliser, proposal, .. } = self;
        for stack in [features, offset, log_normaliser].into_iter().chain(proposal) {
            stack.take_gradient(out);
        }
    }
}
