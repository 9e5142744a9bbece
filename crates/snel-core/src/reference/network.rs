//! Energies and their gradients, in f64.
//!
//! Shapes as suffixes: `n` points, `d` values a point, `i` and `o` inputs and outputs of a layer.

use ndarray::{Array1, Array2, ArrayView1, ArrayView2, Axis};

use crate::energy::{Energy, Layer, triangle};

/// A layer's input and the slope of its activation, kept for the way back.
struct Kept {
    input_ni: Array2<f64>,
    slope_no: Array2<f64>,
}

fn weight(parameters: &[f64], layer: &Layer) -> Array2<f64> {
    let values = parameters[layer.weight..layer.bias].to_vec();
    Array2::from_shape_vec((layer.outputs, layer.inputs), values).unwrap_or_default()
}

fn bias<'a>(parameters: &'a [f64], layer: &Layer) -> ArrayView1<'a, f64> {
    ArrayView1::from(&parameters[layer.bias..layer.bias + layer.outputs])
}

fn forward(energy: &Energy, parameters: &[f64], x_nd: ArrayView2<f64>) -> (Array1<f64>, Vec<Kept>) {
    let activation = match energy {
        Energy::Mlp { activation, .. } => activation,
        Energy::Quadratic { .. } => return quadratic(parameters, x_nd),
        Energy::Zero { .. } => return (Array1::zeros(x_nd.nrows()), Vec::new()),
    };
    let (layers, output) = energy.layers();
    let mut h_ni = x_nd.to_owned();
    let mut kept = Vec::new();
    for layer in &layers {
        let mut h_no = h_ni.dot(&weight(parameters, layer).t()) + bias(parameters, layer);
        let mut slope_no = Array2::zeros(h_no.raw_dim());
        ndarray::Zip::from(&mut h_no).and(&mut slope_no).for_each(|h, slope| {
            (*h, *slope) = activation.value_and_slope(*h);
        });
        if layer.residual {
            h_no += &h_ni;
        }
        kept.push(Kept { input_ni: h_ni, slope_no });
        h_ni = h_no;
    }
    let v_i = ArrayView1::from(&parameters[output..output + h_ni.ncols()]);
    let energies = h_ni.dot(&v_i);
    kept.push(Kept { input_ni: h_ni, slope_no: Array2::zeros((0, 0)) });
    (energies, kept)
}

fn quadratic(parameters: &[f64], x_nd: ArrayView2<f64>) -> (Array1<f64>, Vec<Kept>) {
    let energies = x_nd.map_axis(Axis(1), |x| {
        let linear = &parameters[x.len() * (x.len() + 1) / 2..];
        let mut e = 0.0;
        for i in 0..x.len() {
            e += linear[i] * x[i] + 0.5 * parameters[triangle(i, i)] * x[i] * x[i];
            for j in 0..i {
                e += parameters[triangle(i, j)] * x[i] * x[j];
            }
        }
        e
    });
    (energies, Vec::new())
}

/// Energies of the rows of `x_nd`. `parameters` is the flat vector (`b` is ignored).
pub fn energies(energy: &Energy, parameters: &[f64], x_nd: ArrayView2<f64>) -> Array1<f64> {
    forward(energy, parameters, x_nd).0
}

/// Adds `Σ_n cotangents_n ∇E(x_n)`, the gradient with respect to the parameters, to `gradient`
/// (without its last entry, `b`).
pub fn energy_gradients(
    energy: &Energy,
    parameters: &[f64],
    x_nd: ArrayView2<f64>,
    cotangents: &Array1<f64>,
    gradient: &mut [f64],
) {
    match energy {
        Energy::Mlp { .. } => {
            backward(energy, parameters, x_nd, cotangents, Some(gradient));
        }
        Energy::Quadratic { dim } => {
            let linear = dim * (dim + 1) / 2;
            for (x, c) in x_nd.outer_iter().zip(cotangents) {
                for i in 0..*dim {
                    gradient[linear + i] += c * x[i];
                    gradient[triangle(i, i)] += 0.5 * c * x[i] * x[i];
                    for j in 0..i {
                        gradient[triangle(i, j)] += c * x[i] * x[j];
                    }
                }
            }
        }
        Energy::Zero { .. } => {}
    }
}

/// Gradients of the energy with respect to the points, `n x d`.
pub fn input_gradients(energy: &Energy, parameters: &[f64], x_nd: ArrayView2<f64>) -> Array2<f64> {
    match energy {
        Energy::Mlp { .. } => backward(energy, parameters, x_nd, &Array1::ones(x_nd.nrows()), None),
        Energy::Quadratic { dim } => {
            let linear = ArrayView1::from(&parameters[dim * (dim + 1) / 2..dim * (dim + 3) / 2]);
            let precision_dd = Array2::from_shape_fn((*dim, *dim), |(i, j)| {
                parameters[triangle(i.max(j), i.min(j))]
            });
            x_nd.dot(&precision_dd) + linear
        }
        Energy::Zero { .. } => Array2::zeros(x_nd.raw_dim()),
    }
}

/// Backpropagation; returns the cotangents of the points.
fn backward(
    energy: &Energy,
    parameters: &[f64],
    x_nd: ArrayView2<f64>,
    cotangents: &Array1<f64>,
    mut gradient: Option<&mut [f64]>,
) -> Array2<f64> {
    let (_, mut kept) = forward(energy, parameters, x_nd);
    let (layers, output) = energy.layers();
    let last_ni = kept.pop().map(|k| k.input_ni).unwrap_or_default();
    let v_i = ArrayView1::from(&parameters[output..output + last_ni.ncols()]);
    if let Some(gradient) = gradient.as_deref_mut() {
        add(&mut gradient[output..], cotangents.dot(&last_ni).iter());
    }
    let column_n1 = cotangents.view().insert_axis(Axis(1));
    let mut dh_no = column_n1.dot(&v_i.insert_axis(Axis(0)));
    for (layer, kept) in layers.iter().zip(&kept).rev() {
        let dz_no = &dh_no * &kept.slope_no;
        if let Some(gradient) = gradient.as_deref_mut() {
            add(&mut gradient[layer.weight..], dz_no.t().dot(&kept.input_ni).iter());
            add(&mut gradient[layer.bias..], dz_no.sum_axis(Axis(0)).iter());
        }
        let mut dh_ni = dz_no.dot(&weight(parameters, layer));
        if layer.residual {
            dh_ni += &dh_no;
        }
        dh_no = dh_ni;
    }
    dh_no
}

fn add<'a>(target: &mut [f64], values: impl Iterator<Item = &'a f64>) {
    for (t, v) in target.iter_mut().zip(values) {
        *t += v;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::activation::Activation;
    use crate::layout::Layout;
    use crate::philox::{Key, Stream};

    fn normals(count: usize, seed: u32) -> Vec<f64> {
        let mut values = vec![0.0; count];
        crate::density::Draws::new(Key::new(seed, Stream::Fit), 0, 0).normals(&mut values);
        values
    }

    fn shapes() -> Vec<Energy> {
        let mut shapes = vec![Energy::Quadratic { dim: 3 }];
        for activation in Activation::ALL {
            for residual in [false, true] {
                for widths in [vec![], vec![4], vec![5, 5, 5], vec![6, 2]] {
                    shapes.push(Energy::Mlp { dim: 3, widths, activation, residual });
                }
            }
        }
        shapes
    }

    /// Central differences with h = 1e-5 of sums of seven energies below 100: truncation
    /// `h^2 f'''/6` and rounding `eps f / h` are both below 1e-8 times the values here. ReLU has
    /// kinks; with random points none lies within h of one.
    #[test]
    fn gradients_are_derivatives() {
        let h = 1e-5;
        for energy in shapes() {
            let len = Layout::new(&energy).len() - 1;
            let parameters = normals(len, 1);
            let x = Array2::from_shape_vec((7, 3), normals(21, 2)).unwrap();
            let cotangents = Array1::from(normals(7, 3));
            let value =
                |p: &[f64], x: &Array2<f64>| energies(&energy, p, x.view()).dot(&cotangents);
            let mut gradient = vec![0.0; len];
            energy_gradients(&energy, &parameters, x.view(), &cotangents, &mut gradient);
            for i in 0..len {
                let (mut up, mut down) = (parameters.clone(), parameters.clone());
                up[i] += h;
                down[i] -= h;
                let slope = (value(&up, &x) - value(&down, &x)) / (2.0 * h);
                assert!((gradient[i] - slope).abs() < 1e-6, "{energy:?} parameter {i}");
            }
            let inputs = input_gradients(&energy, &parameters, x.view());
            for ((n, d), g) in inputs.indexed_iter() {
                let (mut up, mut down) = (x.clone(), x.clone());
                up[(n, d)] += h;
                down[(n, d)] -= h;
                let slope = (value(&parameters, &up) - value(&parameters, &down)) / (2.0 * h);
                assert!((g * cotangents[n] - slope).abs() < 1e-6, "{energy:?} input {n} {d}");
            }
        }
    }
}
