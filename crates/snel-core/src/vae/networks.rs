//! Where the networks of a variational auto-encoder are in the flat vector, and their first
//! parameters.

use std::ops::Range;

use super::{LatentBase, Likelihood, VaeModel};
use crate::layout::Layout;
use crate::mixture::{self, Mixture};
use crate::perceptron::{Perceptron, Places, Start};
use crate::philox::{Key, Stream};
use crate::problem::Parametric;

/// Numbers of layers whose first weights are drawn: those of the energy are below.
const FIRST_LAYER: u32 = 1 << 16;
/// Variance of an output layer's first weights, times its inputs: small, for `q(z|x)` then begins
/// near the standard normal and `p(x|z)` near one that does not depend on `z`.
const OUTPUT_GAIN: f64 = 0.1;

/// Encoder, decoder and base. The energy's places are those of a density model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VaeNetworks {
    /// From `x` to the means of `q(z|x)`, then to the logarithms of its standard deviations.
    pub encoder: Perceptron,
    /// From `z` to the logits or means of `p(x|z)`.
    pub decoder: Perceptron,
    /// The places of the two.
    pub encoder_and_decoder: Range<usize>,
    /// The logarithm of the learned deviation of `p(x|z)`.
    pub log_deviation: Option<usize>,
    /// What describes the learned base density, in the order of [`Mixture`].
    pub base: Option<Range<usize>>,
}

impl VaeNetworks {
    /// Places in the order of the layout of `model`.
    pub fn new(model: &VaeModel) -> Self {
        let latent = model.latent();
        let start = Layout::new(&model.energy).b();
        let mut places = Places(start);
        let encoder = places.perceptron(model.inputs, &model.encoder, 2 * latent, true);
        let decoder = places.perceptron(latent, &model.decoder, model.inputs, true);
        let mut end = places.0;
        let encoder_and_decoder = start..end;
        let log_deviation =
            (model.likelihood == Likelihood::Gaussian { deviation: None }).then_some(end);
        end += usize::from(log_deviation.is_some());
        let base = match model.base {
            LatentBase::Normal => None,
            LatentBase::Mixture { components } => {
                Some(end..end + Mixture::outputs(components, latent))
            }
        };
        Self { encoder, decoder, encoder_and_decoder, log_deviation, base }
    }
}

/// First parameters, `b = 0` included.
///
/// The energy begins as that of a density model with a base does, at `E = 0`. Hidden layers of
/// encoder and decoder have weights of variance `2 / inputs` (He et al. 2015), outputs a twentieth of
/// that. A learned deviation begins at one; a learned base has equal weights, means at normal random
/// numbers and deviations of about one.
pub(super) fn initial_parameters(model: &VaeModel, seed: u32) -> Vec<f32> {
    let VaeNetworks { encoder, decoder, base, .. } = VaeNetworks::new(model);
    let mut parameters = vec![0.0; model.layout().len()];
    let energy = model.energy.initial_parameters(seed, true);
    parameters[..energy.len() - 1].copy_from_slice(&energy[..energy.len() - 1]);
    let key = Key::new(seed, Stream::Initialise);
    let layers = [encoder, decoder].into_iter().flat_map(|net| {
        let hidden = net.hidden.into_iter().map(|layer| (layer, 2.0));
        hidden.chain(net.output.map(|layer| (layer, OUTPUT_GAIN)))
    });
    for (number, (linear, gain)) in (FIRST_LAYER..).zip(layers.collect::<Vec<_>>()) {
        linear.begin(&mut parameters, key, number, Start { gain, inputs: linear.layer.inputs });
    }
    if let (Some(base), LatentBase::Mixture { components }) = (base, model.base) {
        mixture::begin(&mut parameters[base], components, model.latent(), key);
    }
    parameters
}
