//! Where the networks of a conditional model are in the flat vector, and their first parameters.

use super::ConditionalModel;
use crate::mixture;
use crate::perceptron::{Linear, Perceptron, Places, Start};
use crate::philox::{Key, Stream};
use crate::problem::Parametric;

/// The networks of a conditional model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Networks {
    /// `h(x)`.
    pub features: Perceptron,
    /// From `h` to what it adds to the first layer of the energy.
    pub offset: Linear,
    /// From `y` and that offset to the energy: the first layer is that of `y`, and its bias is what
    /// `offset` makes of the features.
    pub energy: Perceptron,
    /// `g(h)`.
    pub log_normaliser: Perceptron,
    /// From `x` to the mixture, if the proposal is a network.
    pub proposal: Option<Perceptron>,
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
    for (i, (linear, random)) in networks.layers().enumerate() {
        if random {
            let split = linear == networks.offset || linear == networks.energy.hidden[0];
            let inputs = if split { joint } else { linear.layer.inputs };
            linear.begin(&mut parameters, key, i as u32, Start { gain: 2.0, inputs });
        }
    }
    if let (Some(network), Some(Perceptron { output: Some(output), .. })) =
        (model.mixture(), &networks.proposal)
    {
        let outputs = &mut parameters[output.layer.bias..][..output.layer.outputs];
        mixture::begin(outputs, network.components, model.targets, key);
    }
    parameters
}
