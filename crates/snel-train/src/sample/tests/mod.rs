//! Oracles: Gaussians, a mixture tilted in closed form, a box; exact weights for resampling.
//! Seeds are fixed, and every statistical bound is five standard errors.

mod anneal;
mod langevin;
mod resample;

use snel_core::density::{Affine, Density, Scale};
use snel_core::energy::Energy;
use snel_core::problem::{Base, Model};

/// Mean (1, -1/2), variances 1, covariance 0.6: precision and linear term are exact in `f32`.
const GAUSSIAN: [f32; 6] = [1.5625, -0.9375, 1.5625, -2.03125, 1.71875, 0.0];
const MEAN: [f64; 2] = [1.0, -0.5];

fn normal(mean: &[f64], scale: Scale) -> Density {
    Density::Gaussian { at: Affine { mean: mean.to_vec(), scale } }
}

fn quadratic(dim: usize, base: Base, proposal: Density) -> Model {
    Model { energy: Energy::Quadratic { dim }, base, proposal }
}

fn gaussian_model() -> Model {
    quadratic(2, Base::None, normal(&[0.0; 2], Scale::Diagonal(vec![2.0; 2])))
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, n) = values.fold((0.0, 0.0), |(sum, n), v| (sum + v, n + 1.0));
    sum / n
}

/// Mean and covariance about the true mean, which have variances `c_ii` and `c_ii c_jj + c_ij^2`
/// over `n`, `n` being the size of a sample of independent points that says as much.
fn assert_gaussian(points: &[f32], n: f64) {
    let offset = |x: &[f32], i: usize| f64::from(x[i]) - MEAN[i];
    for i in 0..2 {
        let m = mean(points.chunks(2).map(|x| offset(x, i)));
        assert!(m.abs() < 5.0 * (1.0 / n).sqrt(), "mean {i} is off by {m}");
        for j in 0..=i {
            let expected = if i == j { 1.0 } else { 0.6 };
            let c = mean(points.chunks(2).map(|x| offset(x, i) * offset(x, j)));
            let se = ((1.0 + expected * expected) / n).sqrt();
            assert!((c - expected).abs() < 5.0 * se, "covariance {i} {j} is {c}");
        }
    }
}
