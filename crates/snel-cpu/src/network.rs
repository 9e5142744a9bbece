//! One tile of points through the energy, forward and backward.
//!
//! `T` points a tile, `W` outputs of a layer. `x_dt` is `D x T`; activations and slopes are
//! `T x W`, row-major. Matrix products are `matrixmultiply`'s, through `ndarray`.

use ndarray::linalg::{general_mat_mul, general_mat_vec_mul};
use ndarray::{ArrayView1, ArrayView2, ArrayViewMut1, ArrayViewMut2, Axis, Slice};
use snel_core::activation::Activation;
use snel_core::energy::{Energy, Layer, triangle};

use crate::math::{activate, vectorised};

/// Points of a tile. 128 points by 128 units by 4 bytes is 64 KiB a layer and buffer: three
/// layers with their slopes stay in a second-level cache.
pub(crate) const TILE: usize = 128;

/// The energy's shape with room for one tile.
#[derive(Debug, Clone)]
pub(crate) struct Network {
    energy: Energy,
    layers: Vec<Layer>,
    output: usize,
    activation: Activation,
    /// Per layer: outputs and slopes, `T x W`.
    kept: Vec<(Vec<f32>, Vec<f32>)>,
    /// Cotangents of a layer's outputs and inputs.
    upper: Vec<f32>,
    lower: Vec<f32>,
}

fn rows(values: &[f32], n: usize, width: usize) -> ArrayView2<'_, f32> {
    ArrayView2::from_shape((n, width), &values[..n * width]).unwrap_or_else(|_| unreachable!())
}

fn rows_mut(values: &mut [f32], n: usize, width: usize) -> ArrayViewMut2<'_, f32> {
    ArrayViewMut2::from_shape((n, width), &mut values[..n * width])
        .unwrap_or_else(|_| unreachable!())
}

impl Network {
    pub(crate) fn new(energy: &Energy) -> Self {
        let (layers, output) = energy.layers();
        let activation = match energy {
            Energy::Mlp { activation, .. } => *activation,
            Energy::Quadratic { .. } => Activation::Relu, // has no layers
        };
        let widest = layers.iter().map(|l| l.outputs).max().unwrap_or(0).max(energy.dim());
        let kept =
            layers.iter().map(|l| (vec![0.0; TILE * l.outputs], vec![0.0; TILE * l.outputs]));
        Self {
            kept: kept.collect(),
            upper: vec![0.0; TILE * widest],
            lower: vec![0.0; TILE * widest],
            energy: energy.clone(),
            layers,
            output,
            activation,
        }
    }

    /// Energies of the first `energies.len()` points of `x_dt` (rows `TILE` apart).
    pub(crate) fn forward(&mut self, parameters: &[f32], x_dt: &[f32], energies: &mut [f32]) {
        let n = energies.len();
        let dim = self.energy.dim();
        if matches!(self.energy, Energy::Quadratic { .. }) {
            return quadratic(parameters, dim, x_dt, energies);
        }
        for (i, layer) in self.layers.iter().enumerate() {
            let (before, rest) = self.kept.split_at_mut(i);
            let (outputs, slopes) = &mut rest[0];
            let weight = rows(&parameters[layer.weight..], layer.outputs, layer.inputs);
            let input = match before.last() {
                None => points(x_dt, dim, n),
                Some((h, _)) => rows(h, n, layer.inputs),
            };
            general_mat_mul(
                1.0,
                &input,
                &weight.t(),
                0.0,
                &mut rows_mut(outputs, n, layer.outputs),
            );
            let bias = &parameters[layer.bias..layer.bias + layer.outputs];
            let size = n * layer.outputs;
            activate(self.activation, bias, &mut outputs[..size], &mut slopes[..size]);
            if layer.residual
                && let Some((input, _)) = before.last()
            {
                outputs[..size].iter_mut().zip(input).for_each(|(h, x)| *h += x);
            }
        }
        let last = match self.kept.last() {
            None => points(x_dt, dim, n),
            Some((h, _)) => rows(h, n, self.layers[self.layers.len() - 1].outputs),
        };
        let v = ArrayView1::from(&parameters[self.output..self.output + last.ncols()]);
        general_mat_vec_mul(1.0, &last, &v, 0.0, &mut ArrayViewMut1::from(energies));
    }

    /// Adds the cotangent-weighted energy gradients of the tile that went forward last.
    pub(crate) fn backward(
        &mut self,
        parameters: &[f32],
        x_dt: &[f32],
        cotangents: &[f32],
        gradient: &mut [f32],
    ) {
        let n = cotangents.len();
        let dim = self.energy.dim();
        if matches!(self.energy, Energy::Quadratic { .. }) {
            return quadratic_gradient(dim, x_dt, cotangents, gradient);
        }
        let width = self.layers.last().map_or(dim, |l| l.outputs);
        let last = match self.kept.last() {
            None => points(x_dt, dim, n),
            Some((h, _)) => rows(h, n, width),
        };
        let v = &parameters[self.output..self.output + width];
        let dv = &mut gradient[self.output..self.output + width];
        general_mat_mul(1.0, &rows(cotangents, 1, n), &last, 1.0, &mut rows_mut(dv, 1, width));
        for (row, c) in self.upper.chunks_exact_mut(width).zip(cotangents) {
            row.iter_mut().zip(v).for_each(|(dh, v)| *dh = c * v);
        }
        for (i, layer) in self.layers.iter().enumerate().rev() {
            let size = n * layer.outputs;
            // A residual layer's input gets the cotangent of its output as well.
            if layer.residual {
                self.lower[..size].copy_from_slice(&self.upper[..size]);
            }
            let (weights, rest) = gradient[layer.weight..].split_at_mut(layer.bias - layer.weight);
            let slopes = &self.kept[i].1[..size];
            times_slope(&mut self.upper[..size], slopes, &mut rest[..layer.outputs]);
            let dz = rows(&self.upper, n, layer.outputs);
            let input = match i.checked_sub(1) {
                None => points(x_dt, dim, n),
                Some(before) => rows(&self.kept[before].0, n, layer.inputs),
            };
            let mut dw = rows_mut(weights, layer.outputs, layer.inputs);
            general_mat_mul(1.0, &dz.t(), &input, 1.0, &mut dw);
            if i > 0 {
                let weight = rows(&parameters[layer.weight..], layer.outputs, layer.inputs);
                let keep = if layer.residual { 1.0 } else { 0.0 };
                let mut below = rows_mut(&mut self.lower, n, layer.inputs);
                general_mat_mul(1.0, &dz, &weight, keep, &mut below);
                std::mem::swap(&mut self.upper, &mut self.lower);
            }
        }
    }
}

/// The points of a tile as a `T x D` view.
fn points(x_dt: &[f32], dim: usize, n: usize) -> ArrayView2<'_, f32> {
    let mut all = rows(x_dt, dim, TILE);
    all.slice_axis_inplace(Axis(1), Slice::from(..n));
    all.reversed_axes()
}

/// Multiplies the cotangents by the slopes, in place, and adds their column sums to `bias`.
fn times_slope(cotangents: &mut [f32], slopes: &[f32], bias: &mut [f32]) {
    vectorised(
        #[inline(always)]
        || {
            let width = bias.len();
            for (c, s) in cotangents.chunks_exact_mut(width).zip(slopes.chunks_exact(width)) {
                for ((c, s), b) in c.iter_mut().zip(s).zip(bias.iter_mut()) {
                    *c *= s;
                    *b += *c;
                }
            }
        },
    );
}

/// Each monomial of the quadratic energy with its coefficient's index: `f(index, factor, i, j)`,
/// where `j` is none for a linear term.
#[inline(always)]
fn monomials(dim: usize, mut f: impl FnMut(usize, f32, usize, Option<usize>)) {
    let linear = dim * (dim + 1) / 2;
    for i in 0..dim {
        f(linear + i, 1.0, i, None);
        for j in 0..=i {
            f(triangle(i, j), if i == j { 0.5 } else { 1.0 }, i, Some(j));
        }
    }
}

fn quadratic(parameters: &[f32], dim: usize, x_dt: &[f32], energies: &mut [f32]) {
    energies.fill(0.0);
    let n = energies.len();
    monomials(dim, |index, factor, i, j| {
        let a = parameters[index] * factor;
        let x = &x_dt[i * TILE..i * TILE + n];
        match j.map(|j| &x_dt[j * TILE..j * TILE + n]) {
            None => energies.iter_mut().zip(x).for_each(|(e, x)| *e += a * x),
            Some(y) => {
                energies.iter_mut().zip(x.iter().zip(y)).for_each(|(e, (x, y))| *e += a * x * y);
            }
        }
    });
}

fn quadratic_gradient(dim: usize, x_dt: &[f32], cotangents: &[f32], gradient: &mut [f32]) {
    let n = cotangents.len();
    monomials(dim, |index, factor, i, j| {
        let x = &x_dt[i * TILE..i * TILE + n];
        let sum: f32 = match j.map(|j| &x_dt[j * TILE..j * TILE + n]) {
            None => cotangents.iter().zip(x).map(|(c, x)| c * x).sum(),
            Some(y) => cotangents.iter().zip(x.iter().zip(y)).map(|(c, (x, y))| c * x * y).sum(),
        };
        gradient[index] += factor * sum;
    });
}
