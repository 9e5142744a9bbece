//! Where the networks of a conditional model are in the flat vector, and their first parameters.

use super::ConditionalModel;
use crate::energy::Layer;
use crate::normal::normals;
use crate::philox::{Key, Stream, uniform};
use crate::problem::Parametric;

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
    /// The hidden layers, first to last. In the energy, the first one is that of `y`; its bias is
    /// what [`Networks::offset`] makes of the features.
    pub hidden: Vec<Linear>,
    /// The output.
    pub output: Option<Linear>,
}

/// The networks of a conditional model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Networks {
    /// `h(x)`.
    pub features: Perceptron,
    /// From `h` to what it adds to the first layer of the energy.
    pub offset: Linear,
    /// From `y` and that offset to the energy.
    pub energy: Perceptron,
    /// `g(h)`.
    pub log_normaliser: Perceptron,
    /// From `x` to the mixture, if the proposal is a network.
    pub proposal: Option<Perceptron>,
}

/// Hands out places one after the other.
struct Places(usize);

impl Places {
    fn linear(&mut self, inputs: usize, outputs: usize, biased: bool) -> Linear {
        let bias = self.0 + inputs * outputs;
        let layer = Layer { weight: self.0, bias, inputs, outputs, residual: false };
        self.0 = bias + if biased { outputs } else { 0 };
        Linear { layer, biased }
    }

    fn hidden(&mut self, mut inputs: usize, widths: &[usize]) -> Vec<Linear> {
        let mut layers = Vec::new();
        for &outputs in widths {
            layers.push(self.linear(inputs, outputs, true));
            inputs = outputs;
        }
        layers
    }

    fn perceptron(
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

impl Networks {
    /// Places in the order of the layout of `model`.
    pub fn new(model: &ConditionalModel) -> Self {
        let mut places = Places(0);
        let width = model.feature_width();
        let features =
            Perceptron { hidden: places.hidden(model.inputs, &model.features), output: None };
        let first = model.energy[0];
        let target = places.linear(model.targets, first, false);
        let offset = places.linear(width, first, true);
        let mut energy = places.perceptron(first, &model.energy[1..], 1, false);
        energy.hidden.insert(0, target);
        let log_normaliser = places.perceptron(width, &model.log_normaliser, 1, false);
        let proposal = model.mixture().map(|network| {
            let outputs = network.outputs(model.targets);
            places.perceptron(model.inputs, &network.widths, outputs, true)
        });
        Self { features, offset, energy, log_normaliser, proposal }
    }

    /// Every layer, and whether its weights start at random.
    fn layers(&self) -> impl Iterator<Item = (Linear, bool)> {
        let hidden = |net: &Perceptron| net.hidden.iter().map(|l| (*l, true)).collect::<Vec<_>>();
        let output = |net: &Perceptron| net.output.map(|l| (l, false));
        let mut layers = hidden(&self.features);
        layers.push((self.offset, true));
        for net in [&self.energy, &self.log_normaliser].into_iter().chain(&self.proposal) {
            layers.extend(hidden(net));
            layers.extend(output(net));
        }
        layers.into_iter()
    }
}

/// First parameters, `b = 0` included.
///
/// Weights of hidden layers are normal with variance `2 / inputs` (He et al. 2015), biases uniform
/// in `+-1/sqrt(inputs)`; output weights are zero. So `E = 0` and `b(x) = b`: with a base density
/// equal to the proposal, training starts at the proposal's own likelihood. A mixture density
/// network starts with unit deviations and means at normal random numbers, the same for every `x`.
pub(super) fn initial_parameters(model: &ConditionalModel, seed: u32) -> Vec<f32> {
    let networks = Networks::new(model);
    let mut parameters = vec![0.0f32; model.layout().len()];
    let key = Key::new(seed, Stream::Initialise);
    // The layer of `y` and the offset are one layer on `(h, y)`.
    let joint = model.feature_width() + model.targets;
    for (i, (Linear { layer, biased }, random)) in networks.layers().enumerate() {
        if !random {
            continue;
        }
        let split = layer == networks.offset.layer || layer == networks.energy.hidden[0].layer;
        let inputs = if split { joint } else { layer.inputs } as f64;
        let sd = (2.0 / inputs).sqrt() as f32;
        for (j, quad) in parameters[layer.weight..layer.bias].chunks_mut(4).enumerate() {
            let block = normals(key.block(i as u32, j as u64, 0));
            quad.iter_mut().zip(block).for_each(|(w, z)| *w = sd * z);
        }
        if biased {
            let bias = &mut parameters[layer.bias..layer.bias + layer.outputs];
            for (j, c) in bias.iter_mut().enumerate() {
                let u = uniform(key.block(i as u32, j as u64, 1)[0]);
                *c = ((2.0 * u - 1.0) / inputs.sqrt()) as f32;
            }
        }
    }
    if let (Some(network), Some(Perceptron { output: Some(output), .. })) =
        (model.mixture(), &networks.proposal)
    {
        // Logits first, then means; log deviations stay zero.
        let start = output.layer.bias + network.components;
        let means = &mut parameters[start..start + network.components * model.targets];
        for (j, quad) in means.chunks_mut(4).enumerate() {
            let block = normals(key.block(u32::MAX, j as u64, 0));
            quad.iter_mut().zip(block).for_each(|(mean, z)| *mean = z);
        }
    }
    parameters
}
