//! Perceptrons with any number of outputs, in f64.
//!
//! Shapes as suffixes: `n` points, `i` and `o` inputs and outputs of a layer.

use ndarray::{Array2, ArrayView1, Axis};

use crate::activation::Activation;
use crate::perceptron::{Linear, Perceptron};

/// What a pass forward leaves for the way back.
pub(super) struct Pass {
    /// The input of every layer.
    inputs: Vec<Array2<f64>>,
    /// The slope of every hidden layer.
    slopes: Vec<Array2<f64>>,
    /// What comes out.
    pub(super) output: Array2<f64>,
}

/// What comes out of a pass backward.
pub(super) struct Back {
    /// Cotangents of the input.
    pub(super) input: Array2<f64>,
    /// Cotangents of the first layer's pre-activations.
    pub(super) first: Array2<f64>,
}

/// `x W^T`, plus the bias if there is one.
pub(super) fn linear(parameters: &[f64], linear: &Linear, x_ni: &Array2<f64>) -> Array2<f64> {
    let z_no = x_ni.dot(&weight(parameters, linear).t());
    if !linear.biased {
        return z_no;
    }
    let layer = linear.layer;
    z_no + ArrayView1::from(&parameters[layer.bias..layer.bias + layer.outputs])
}

/// The gradient of a linear layer is added to `gradient`; returns the cotangents of its input.
pub(super) fn linear_back(
    parameters: &[f64],
    linear: &Linear,
    x_ni: &Array2<f64>,
    dz_no: &Array2<f64>,
    gradient: &mut [f64],
) -> Array2<f64> {
    let layer = linear.layer;
    let add =
        |to: &mut [f64], values: Vec<f64>| to.iter_mut().zip(values).for_each(|(t, v)| *t += v);
    add(&mut gradient[layer.weight..], dz_no.t().dot(x_ni).iter().copied().collect());
    if linear.biased {
        add(&mut gradient[layer.bias..], dz_no.sum_axis(Axis(0)).to_vec());
    }
    dz_no.dot(&weight(parameters, linear))
}

fn weight(parameters: &[f64], linear: &Linear) -> Array2<f64> {
    let layer = linear.layer;
    let values = parameters[layer.weight..layer.bias].to_vec();
    Array2::from_shape_vec((layer.outputs, layer.inputs), values).unwrap_or_default()
}

/// Runs `net` on the rows of `x_ni`; `offset_no` is added to the first layer's pre-activations.
pub(super) fn forward(
    net: &Perceptron,
    activation: Activation,
    parameters: &[f64],
    x_ni: &Array2<f64>,
    offset_no: Option<&Array2<f64>>,
) -> Pass {
    let (mut inputs, mut slopes) = (Vec::new(), Vec::new());
    let mut h_ni = x_ni.clone();
    for (i, layer) in net.hidden.iter().enumerate() {
        let mut h_no = linear(parameters, layer, &h_ni);
        if let (0, Some(offset_no)) = (i, offset_no) {
            h_no += offset_no;
        }
        let mut slope_no = Array2::zeros(h_no.raw_dim());
        ndarray::Zip::from(&mut h_no).and(&mut slope_no).for_each(|h, slope| {
            (*h, *slope) = activation.value_and_slope(*h);
        });
        inputs.push(h_ni);
        slopes.push(slope_no);
        h_ni = h_no;
    }
    if let Some(layer) = &net.output {
        let output = linear(parameters, layer, &h_ni);
        inputs.push(h_ni);
        return Pass { inputs, slopes, output };
    }
    Pass { inputs, slopes, output: h_ni }
}

/// Backpropagation of the cotangents of the output; adds to `gradient`.
pub(super) fn backward(
    net: &Perceptron,
    parameters: &[f64],
    pass: &Pass,
    cotangent_no: Array2<f64>,
    gradient: &mut [f64],
) -> Back {
    let mut dh_no = cotangent_no;
    if let (Some(layer), Some(input)) = (&net.output, pass.inputs.last()) {
        dh_no = linear_back(parameters, layer, input, &dh_no, gradient);
    }
    let mut first = Array2::zeros((0, 0));
    let layers = net.hidden.iter().zip(&pass.inputs).zip(&pass.slopes);
    for ((layer, input), slope) in layers.rev() {
        let dz_no = dh_no * slope;
        dh_no = linear_back(parameters, layer, input, &dz_no, gradient);
        first = dz_no;
    }
    Back { input: dh_no, first }
}
