//! A Fréchet distance between sets of images.
//!
//! A small network ([`Classifier`]) learns the labels of training images; what its last hidden layer
//! makes of images are their features. Between the Gaussians with the features' means `m` and
//! covariances `C` the squared Fréchet distance is (Dowson, Landau 1982)
//!
//! ```text
//! |m_1 - m_2|^2 + tr(C_1 + C_2 - 2 (C_1 C_2)^(1/2))
//! ```
//!
//! This is the formula of the Fréchet Inception Distance (Heusel et al. 2017) with other features: its
//! numbers compare only with numbers by the same classifier.
//!
//! Invariants
//! 1. The distance of a set to itself is zero, and it does not depend on the order of images.
//! 2. Finite sets are further apart than what they are drawn from; a set's size is part of the
//!    number's meaning.

mod classifier;
mod measure;

use nalgebra::DMatrix;

pub use classifier::{Classifier, LabelError};
pub use measure::{Distance, FrechetError, FrechetReport, Sets, measure};

/// Mean and covariance of features.
#[derive(Debug, Clone)]
pub struct Moments {
    pub(crate) mean: Vec<f64>,
    pub(crate) covariance: DMatrix<f64>,
}

impl Moments {
    /// Of `features`, `n` rows of `width` values, row-major; the covariance is over `n`.
    pub fn new(features: &[f32], width: usize) -> Self {
        let n = (features.len() / width.max(1)) as f64;
        let mut mean = vec![0.0; width];
        for row in features.chunks_exact(width) {
            mean.iter_mut().zip(row).for_each(|(m, f)| *m += f64::from(*f) / n);
        }
        let mut covariance = DMatrix::zeros(width, width);
        let mut centred = vec![0.0; width];
        for row in features.chunks_exact(width) {
            let values = row.iter().zip(&mean).map(|(f, m)| f64::from(*f) - m);
            centred.iter_mut().zip(values).for_each(|(c, v)| *c = v);
            for (j, b) in centred.iter().enumerate() {
                let column = covariance.column_mut(j).into_iter().zip(&centred);
                column.for_each(|(c, a)| *c += a * b / n);
            }
        }
        Self { mean, covariance }
    }

    /// The squared Fréchet distance to `other`, which has as many features.
    pub fn distance(&self, other: &Self) -> f64 {
        let means = self.mean.iter().zip(&other.mean);
        let apart: f64 = means.map(|(a, b)| (a - b) * (a - b)).sum();
        // With C_1 = R R, the eigenvalues of C_1 C_2 are those of R C_2 R, which is symmetric.
        let root = root(&self.covariance);
        let product = &root * &other.covariance * &root;
        let cross: f64 = product.symmetric_eigenvalues().iter().map(|e| e.max(0.0).sqrt()).sum();
        let traces = self.covariance.trace() + other.covariance.trace();
        (apart + traces - 2.0 * cross).max(0.0)
    }
}

/// The symmetric square root of a covariance.
fn root(covariance: &DMatrix<f64>) -> DMatrix<f64> {
    let eigen = covariance.clone().symmetric_eigen();
    let roots = eigen.eigenvalues.map(|e| e.max(0.0).sqrt());
    &eigen.eigenvectors * DMatrix::from_diagonal(&roots) * eigen.eigenvectors.transpose()
}

#[cfg(test)]
mod tests {
    use super::*;
    use snel_core::density::Draws;
    use snel_core::philox::{Key, Stream};

    /// `n` points of a Gaussian with mean `shift` and standard deviations `1, 2, 3`, mixed by a
    /// rotation about the first axis.
    fn gaussian(n: u64, seed: u32, shift: f64, scale: f64) -> Vec<f32> {
        let (sin, cos) = 0.7f64.sin_cos();
        let point = |i| {
            let mut z = [0.0; 3];
            Draws::new(Key::new(seed, Stream::Toy), 0, i).normals(&mut z);
            let [a, b, c] = [scale * z[0], 2.0 * scale * z[1], 3.0 * scale * z[2]];
            [shift + a, shift + cos * b - sin * c, shift + sin * b + cos * c].map(|v| v as f32)
        };
        (0..n).flat_map(point).collect()
    }

    /// Gaussians with the same axes are `3 shift^2 + (1 + 4 + 9) (s - 1)^2` apart. With 2e5 points
    /// moments are off by about 1/sqrt(2e5), times 14 and the distance's slope: below 0.1.
    #[test]
    fn gaussians_are_as_far_apart_as_the_formula_says() {
        let a = Moments::new(&gaussian(200_000, 1, 0.0, 1.0), 3);
        for (shift, scale) in [(0.0, 1.0), (0.5, 1.0), (0.0, 1.5), (-1.0, 0.5)] {
            let b = Moments::new(&gaussian(200_000, 2, shift, scale), 3);
            let expected = 3.0 * shift * shift + 14.0 * (scale - 1.0) * (scale - 1.0);
            assert!((a.distance(&b) - expected).abs() < 0.1, "{} {expected}", a.distance(&b));
            assert!((a.distance(&b) - b.distance(&a)).abs() < 1e-9);
        }
        assert!(a.distance(&a) < 1e-9);
    }

    /// A constant feature has an eigenvalue of zero.
    #[test]
    fn constant_features_do_no_harm() {
        let with_constant = |seed, shift| {
            let points = gaussian(1000, seed, shift, 1.0);
            let rows = points.chunks(3).flat_map(|p| [p[0], 4.0, p[1]]);
            Moments::new(&rows.collect::<Vec<f32>>(), 3)
        };
        let distance = with_constant(1, 0.0).distance(&with_constant(2, 1.0));
        assert!((distance - 2.0).abs() < 0.4, "{distance}");
    }
}
