//! Energy functions: their shape, tensors and first parameters. The arithmetic belongs to engines.
//!
//! No energy has an output offset: `b` is the only one, else the two would be confounded.

use serde::{Deserialize, Serialize};

use crate::activation::Activation;
use crate::density::DensityError;
use crate::layout::{Layout, SegmentKind};
use crate::normal::normals;
use crate::philox::{Key, Stream};

/// Shape of the energy `E(x)`, `x` having `dim` values.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum Energy {
    /// A multi-layer perceptron: `h_0 = x`, `h_i = act(W_i h_{i-1} + c_i)`, `E = v . h_last`.
    Mlp {
        /// Values of a point, `D`.
        dim: usize,
        /// Widths of the hidden layers, first to last.
        widths: Vec<usize>,
        /// Non-linearity.
        activation: Activation,
        /// Adds `h_{i-1}` to `h_i` wherever the two have equal width and `i > 1`.
        residual: bool,
    },
    /// `E = 1/2 sum_i a_ii x_i^2 + sum_{i>j} a_ij x_i x_j + sum_i h_i x_i`: the Gaussian
    /// exponential family in its natural parameters, linear in `a` and `h`.
    Quadratic {
        /// Values of a point, `D`.
        dim: usize,
    },
    /// `E = 0`, without parameters: the base density as it is.
    Zero {
        /// Values of a point, `D`.
        dim: usize,
    },
}

/// A hidden layer's place in the flat vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layer {
    /// Offset of the `outputs x inputs` row-major weight; the bias follows it directly.
    pub weight: usize,
    /// Offset of the bias.
    pub bias: usize,
    /// Width of the layer before.
    pub inputs: usize,
    /// Width of this layer.
    pub outputs: usize,
    /// The layer's input is added to its output.
    pub residual: bool,
}

impl Energy {
    /// Values of a point, `D`.
    pub fn dim(&self) -> usize {
        match self {
            Self::Mlp { dim, .. } | Self::Quadratic { dim } | Self::Zero { dim } => *dim,
        }
    }

    /// Refuses sizes that no machine holds, before anything is allocated for them.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub fn check(&self) -> Result<(), DensityError> {
        let sound = |size: usize| (1..=1 << 20).contains(&size);
        let deep = match self {
            Self::Mlp { widths, .. } => widths.len() <= 1024 && widths.iter().all(|&w| sound(w)),
            Self::Quadratic { .. } | Self::Zero { .. } => true,
        };
        if deep && sound(self.dim()) { Ok(()) } else { Err(DensityError("sizes out of range")) }
    }

    /// Name, shape and kind of every tensor, in the order of the flat vector.
    pub(crate) fn tensors(&self) -> Vec<(String, Vec<usize>, SegmentKind)> {
        match self {
            Self::Mlp { dim, widths, .. } => {
                let mut tensors = Vec::new();
                let mut inputs = *dim;
                for (i, &outputs) in widths.iter().enumerate() {
                    let name = |part| format!("energy.layers.{i}.{part}");
                    tensors.push((name("weight"), vec![outputs, inputs], SegmentKind::Weight));
                    tensors.push((name("bias"), vec![outputs], SegmentKind::Bias));
                    inputs = outputs;
                }
                tensors.push((
                    "energy.output.weight".to_owned(),
                    vec![inputs],
                    SegmentKind::Weight,
                ));
                tensors
            }
            Self::Quadratic { dim } => vec![
                ("energy.precision".to_owned(), vec![dim * (dim + 1) / 2], SegmentKind::Weight),
                ("energy.linear".to_owned(), vec![*dim], SegmentKind::Bias),
            ],
            Self::Zero { .. } => Vec::new(),
        }
    }

    /// The hidden layers of a perceptron with their offsets, and the offset of the output weight.
    /// Other energies have none; the precision of a quadratic one starts at 0.
    pub fn layers(&self) -> (Vec<Layer>, usize) {
        let Self::Mlp { dim, widths, residual, .. } = self else { return (Vec::new(), 0) };
        let (mut layers, mut inputs, mut offset) = (Vec::new(), *dim, 0);
        for (i, &outputs) in widths.iter().enumerate() {
            let bias = offset + outputs * inputs;
            let residual = *residual && i > 0 && inputs == outputs;
            layers.push(Layer { weight: offset, bias, inputs, outputs, residual });
            (inputs, offset) = (outputs, bias + outputs);
        }
        (layers, offset)
    }

    /// First parameters, `b = 0` included.
    ///
    /// Perceptron: weights are normal with variance `2 / inputs` (He et al. 2015), halved in
    /// residual layers, and the output weight is zero. So `E = 0` at first: with a base density
    /// equal to the proposal, training starts at the proposal's own likelihood with every
    /// log-weight zero. Biases are uniform in `+-1/sqrt(inputs)`, which spreads the kinks.
    /// Quadratic: the standard normal if `d = 1`, and zero on top of a base density.
    pub fn initial_parameters(&self, seed: u32, has_base: bool) -> Vec<f32> {
        let mut parameters = vec![0.0; Layout::new(self).len()];
        match self {
            Self::Mlp { .. } => {
                let key = Key::new(seed, Stream::Initialise);
                for (i, layer) in self.layers().0.iter().enumerate() {
                    let gain = if layer.residual { 1.0 } else { 2.0 };
                    let sd = (gain / layer.inputs as f32).sqrt();
                    for (j, quad) in parameters[layer.weight..layer.bias].chunks_mut(4).enumerate()
                    {
                        for (w, z) in quad.iter_mut().zip(normals(key.block(i as u32, j as u64, 0)))
                        {
                            *w = sd * z;
                        }
                    }
                    let bound = 1.0 / (layer.inputs as f64).sqrt();
                    let bias = &mut parameters[layer.bias..layer.bias + layer.outputs];
                    for (j, c) in bias.iter_mut().enumerate() {
                        let u = crate::philox::uniform(key.block(i as u32, j as u64, 1)[0]);
                        *c = ((2.0 * u - 1.0) * bound) as f32;
                    }
                }
            }
            Self::Quadratic { dim } if !has_base => {
                for i in 0..*dim {
                    parameters[triangle(i, i)] = 1.0;
                }
            }
            Self::Quadratic { .. } | Self::Zero { .. } => {}
        }
        parameters
    }
}

/// Index of `(row, column)`, `column <= row`, in a lower triangle packed row by row.
pub fn triangle(row: usize, column: usize) -> usize {
    row * (row + 1) / 2 + column
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_agree_with_the_layout() {
        let energy = Energy::Mlp {
            dim: 3,
            widths: vec![5, 5, 2],
            activation: Activation::Silu,
            residual: true,
        };
        let layout = Layout::new(&energy);
        let (layers, output) = energy.layers();
        let find = |name: &str| layout.segments().iter().find(|s| s.name == name).unwrap().offset;
        for (i, layer) in layers.iter().enumerate() {
            assert_eq!(layer.weight, find(&format!("energy.layers.{i}.weight")));
            assert_eq!(layer.bias, find(&format!("energy.layers.{i}.bias")));
        }
        assert_eq!(output, find("energy.output.weight"));
        let residual: Vec<bool> = layers.iter().map(|layer| layer.residual).collect();
        assert_eq!(residual, [false, true, false]);
        assert_eq!(layout.len(), 3 * 5 + 5 + 25 + 5 + 10 + 2 + 2 + 1);
        assert_eq!(layout.b(), layout.len() - 1);
    }
}
