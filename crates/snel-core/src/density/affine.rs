//! The map `x = mean + S z` of the location-scale families.

use serde::{Deserialize, Serialize};

use crate::energy::triangle;

/// A diagonal or lower-triangular `S` with positive diagonal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scale {
    /// Standard deviations.
    Diagonal(Vec<f64>),
    /// Cholesky factor of the covariance, rows packed one after the other.
    Lower(Vec<f64>),
}

/// Location and scale.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Affine {
    /// Location, `D` values.
    pub mean: Vec<f64>,
    /// Scale, `D` or `D (D + 1) / 2` values.
    pub scale: Scale,
}

impl Affine {
    /// Values of a point, `D`.
    pub fn dim(&self) -> usize {
        self.mean.len()
    }

    /// Sizes agree with `dim`, values are finite, the diagonal is positive.
    pub(super) fn is_sound(&self, dim: usize) -> bool {
        let (expected, values) = match &self.scale {
            Scale::Diagonal(s) => (dim, s),
            Scale::Lower(s) => (dim * (dim + 1) / 2, s),
        };
        self.mean.len() == dim
            && values.len() == expected
            && self.mean.iter().chain(values).all(|v| v.is_finite())
            && (0..dim).all(|i| self.diagonal(i) > 0.0)
    }

    fn diagonal(&self, i: usize) -> f64 {
        match &self.scale {
            Scale::Diagonal(s) => s[i],
            Scale::Lower(s) => s[triangle(i, i)],
        }
    }

    /// `log det S`.
    pub fn log_det(&self) -> f64 {
        (0..self.dim()).map(|i| self.diagonal(i).ln()).sum()
    }

    /// The scale of the inverse map `z = S^-1 (x - mean)`, packed as `S` is.
    pub fn inverse_scale(&self) -> Vec<f64> {
        match &self.scale {
            Scale::Diagonal(s) => s.iter().map(|s| 1.0 / s).collect(),
            Scale::Lower(s) => invert_lower(s, self.dim()),
        }
    }

    /// Turns `z` in place into `mean + factor S z`.
    pub fn apply(&self, z: &mut [f64], factor: f64) {
        for i in (0..z.len()).rev() {
            // From the last row up: row i needs z_0..=z_i, none of them overwritten yet.
            let sz: f64 = match &self.scale {
                Scale::Diagonal(s) => s[i] * z[i],
                Scale::Lower(s) => (0..=i).map(|j| s[triangle(i, j)] * z[j]).sum(),
            };
            z[i] = self.mean[i] + factor * sz;
        }
    }

    /// `S^-1 (x - mean)` by forward substitution.
    pub(super) fn whiten(&self, x: &[f64]) -> Vec<f64> {
        let mut z: Vec<f64> = x.iter().zip(&self.mean).map(|(x, m)| x - m).collect();
        for i in 0..z.len() {
            if let Scale::Lower(s) = &self.scale {
                z[i] -= (0..i).map(|j| s[triangle(i, j)] * z[j]).sum::<f64>();
            }
            z[i] /= self.diagonal(i);
        }
        z
    }

    /// `|S^-1 (x - mean)|^2`, the squared Mahalanobis distance.
    pub(super) fn squared_distance(&self, x: &[f64]) -> f64 {
        self.whiten(x).iter().map(|z| z * z).sum()
    }

    /// Adds `weight * (S S^T)^-1 (x - mean)` to `out`.
    pub(super) fn add_precision_times_offset(&self, x: &[f64], weight: f64, out: &mut [f64]) {
        let mut z = self.whiten(x);
        for i in (0..z.len()).rev() {
            if let Scale::Lower(s) = &self.scale {
                z[i] -= (i + 1..z.len()).map(|j| s[triangle(j, i)] * z[j]).sum::<f64>();
            }
            z[i] /= self.diagonal(i);
        }
        for (out, z) in out.iter_mut().zip(z) {
            *out += weight * z;
        }
    }

    /// Every scale times `factor`.
    pub(super) fn widened(mut self, factor: f64) -> Self {
        let (Scale::Diagonal(values) | Scale::Lower(values)) = &mut self.scale;
        values.iter_mut().for_each(|v| *v *= factor);
        self
    }
}

/// Inverse of a packed lower triangle with non-zero diagonal.
fn invert_lower(s: &[f64], dim: usize) -> Vec<f64> {
    let mut inverse = vec![0.0; s.len()];
    for j in 0..dim {
        inverse[triangle(j, j)] = 1.0 / s[triangle(j, j)];
        for i in j + 1..dim {
            let dot: f64 = (j..i).map(|k| s[triangle(i, k)] * inverse[triangle(k, j)]).sum();
            inverse[triangle(i, j)] = -dot / s[triangle(i, i)];
        }
    }
    inverse
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_inverse_is_one() {
        let s = [2.0, 0.5, 3.0, -1.0, 0.25, 0.5];
        let inverse = invert_lower(&s, 3);
        for i in 0..3 {
            for j in 0..=i {
                let product: f64 =
                    (j..=i).map(|k| s[triangle(i, k)] * inverse[triangle(k, j)]).sum();
                // A handful of roundings of values below 10.
                assert!((product - f64::from(u8::from(i == j))).abs() < 1e-14);
            }
        }
    }
}
