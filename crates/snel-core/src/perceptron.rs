//! Perceptrons in the flat vector: where their layers are, what their tensors are called, and how
//! their weights begin. The arithmetic belongs to engines.
//!
//! Invariants
//! 1. A layer's bias follows its weight directly; layers follow each other without gaps.
//! 2. Places and tensors that are asked for in the same order agree.

use crate::energy::Layer;
use crate::layout::SegmentKind;
use crate::normal::normals;
use crate::philox::{Key, uniform};

/// A linear layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Linear {
    /// Its place. Without a bias, `bias` is where the weight ends.
    pub layer: Layer,
    /// Whether it has a bias.
    pub biased: bool,
}

/// Hidden layers, and a linear layer on top if the network has one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Perceptron {
    /// The hidden layers, first to last.
    pub hidden: Vec<Linear>,
    /// The output.
    pub output: Option<Linear>,
}

/// How the weights of a layer begin: normal with variance `gain / inputs`; biases are uniform in
/// `+-1/sqrt(inputs)`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Start {
    /// 2 for hidden layers (He et al. 2015).
    pub(crate) gain: f64,
    /// Inputs of the layer, or of all layers that add up to it.
    pub(crate) inputs: usize,
}

impl Linear {
    /// Fills in the layer's first weights and biases. `number` tells layers of one key apart.
    pub(crate) fn begin(&self, parameters: &mut [f32], key: Key, number: u32, start: Start) {
        let Self { layer, biased } = self;
        let inputs = start.inputs as f64;
        let sd = (start.gain / inputs).sqrt() as f32;
        for (j, quad) in parameters[layer.weight..layer.bias].chunks_mut(4).enumerate() {
            let block = normals(key.block(number, j as u64, 0));
            quad.iter_mut().zip(block).for_each(|(w, z)| *w = sd * z);
        }
        if *biased {
            let bias = &mut parameters[layer.bias..layer.bias + layer.outputs];
            for (j, c) in bias.iter_mut().enumerate() {
                let u = uniform(key.block(number, j as u64, 1)[0]);
                *c = ((2.0 * u - 1.0) / inputs.sqrt()) as f32;
            }
        }
    }
}

/// Hands out places one after the other.
pub(crate) struct Places(pub(crate) usize);

impl Places {
    pub(crate) fn linear(&mut self, inputs: usize, outputs: usize, biased: bool) -> Linear {
        let bias = self.0 + inputs * outputs;
        let layer = Layer { weight: self.0, bias, inputs, outputs, residual: false };
        self.0 = bias + if biased { outputs } else { 0 };
        Linear { layer, biased }
    }

    pub(crate) fn hidden(&mut self, mut inputs: usize, widths: &[usize]) -> Vec<Linear> {
        let mut layers = Vec::new();
        for &outputs in widths {
            layers.push(self.linear(inputs, outputs, true));
            inputs = outputs;
        }
        layers
    }

    pub(crate) fn perceptron(
        &mut self,
        inputs: usize,
        widths: &[usize],
        outputs: usize,
        biased: bool,
    ) -> Perceptron {
        let hidden = self.hidden(inputs, widths);
        let last = widths.last().copied().unwrap_or(inputs);
        Perceptron { hidden, output: Some(self.linear(last, outputs, biased)) }
    }
}

/// Name, shape and kind of every tensor, in the order of the flat vector.
pub(crate) struct Tensors(pub(crate) Vec<(String, Vec<usize>, SegmentKind)>);

impl Tensors {
    pub(crate) fn weight(&mut self, name: impl Into<String>, shape: Vec<usize>) {
        self.0.push((name.into(), shape, SegmentKind::Weight));
    }

    pub(crate) fn bias(&mut self, name: impl Into<String>, shape: Vec<usize>) {
        self.0.push((name.into(), shape, SegmentKind::Bias));
    }

    /// Hidden layers, numbered from `first` on; returns the last width.
    pub(crate) fn hidden(
        &mut self,
        group: &str,
        first: usize,
        mut inputs: usize,
        widths: &[usize],
    ) -> usize {
        for (i, &outputs) in (first..).zip(widths) {
            self.weight(format!("{group}.layers.{i}.weight"), vec![outputs, inputs]);
            self.bias(format!("{group}.layers.{i}.bias"), vec![outputs]);
            inputs = outputs;
        }
        inputs
    }

    /// All layers of a perceptron whose output has a bias.
    pub(crate) fn perceptron(
        &mut self,
        group: &str,
        inputs: usize,
        widths: &[usize],
        outputs: usize,
    ) {
        let last = self.hidden(group, 0, inputs, widths);
        self.weight(format!("{group}.output.weight"), vec![outputs, last]);
        self.bias(format!("{group}.output.bias"), vec![outputs]);
    }
}
