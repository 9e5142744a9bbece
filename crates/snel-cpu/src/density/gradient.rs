//! Gradients of log-densities with respect to the points of a tile, in f32.
//!
//! With `z = S^-1 (x - mean)` the gradient of a Gaussian is `-S^-T z`, of a Student-t
//! `-(df + D) / (df + |z|²) S^-T z`; that of a mixture is the mean of its components', each times its
//! share of the density there. A uniform density has none.

use pulp::Scalar;
use snel_core::energy::triangle;
use snel_core::vectorise::vectorised;

use super::{Component, Scratch, Shape, TileDensity, Whiten};
use crate::math::exp;
use crate::tile::{TILE, Tile};

/// Memory to work in, in some number of dimensions.
#[derive(Debug, Clone)]
pub(crate) struct GradientScratch {
    /// `D x T`.
    z_dt: Vec<f32>,
    /// What the `S^-T z` of each point is multiplied by.
    pull: [f32; TILE],
    sum: [f32; TILE],
}

impl GradientScratch {
    pub(crate) fn new(dim: usize) -> Self {
        Self { z_dt: vec![0.0; dim * TILE], pull: [0.0; TILE], sum: [0.0; TILE] }
    }
}

impl TileDensity {
    /// Fills `log_density`, one value a point of `tile`, and adds the gradients to `gradient_dt` (`D x
    /// T`, rows [`TILE`] apart).
    pub(crate) fn add_gradient(
        &self,
        tile: &Tile,
        scratch: &mut Scratch,
        room: &mut GradientScratch,
        log_density: &mut [f32],
        gradient_dt: &mut [f32],
    ) {
        self.log_density(tile, scratch, log_density);
        let n = log_density.len();
        for (k, component) in self.components.iter().enumerate() {
            let Some(whiten) = component.whiten() else { continue };
            let pull = &mut room.pull[..n];
            if self.components.len() == 1 {
                pull.fill(1.0);
            } else {
                let logs = &scratch.logs[k * n..][..n];
                let shares = pull.iter_mut().zip(logs.iter().zip(&*log_density));
                // Outside every support there is no share of anything, and the difference is NaN.
                shares.for_each(|(share, (log, total))| {
                    let difference = log - total;
                    let counts = difference > crate::chunk::UNDERFLOW;
                    *share = if counts { exp(Scalar, difference) } else { 0.0 };
                });
            }
            component.add_gradient(whiten, tile, n, room, gradient_dt);
        }
    }
}

impl Component {
    fn whiten(&self) -> Option<&Whiten> {
        match &self.shape {
            Shape::Gaussian(whiten) | Shape::Student(whiten, ..) => Some(whiten),
            Shape::Uniform(..) => None,
        }
    }

    fn add_gradient(
        &self,
        whiten: &Whiten,
        tile: &Tile,
        n: usize,
        room: &mut GradientScratch,
        gradient_dt: &mut [f32],
    ) {
        let GradientScratch { z_dt, pull, sum } = room;
        let (pull, sum) = (&mut pull[..n], &mut sum[..n]);
        vectorised(
            #[inline(always)]
            || {
                whiten.whiten(tile, n, z_dt);
                if let Shape::Student(_, exponent, inverse_df) = self.shape {
                    sum.fill(0.0);
                    for z in z_dt.chunks_exact(TILE) {
                        sum.iter_mut().zip(z).for_each(|(sum, z)| *sum += z * z);
                    }
                    // (df + D) / (df + |z|²), of which both sides are divided by df.
                    let factor = -2.0 * exponent * inverse_df;
                    for (pull, sum) in pull.iter_mut().zip(&*sum) {
                        *pull *= factor / (1.0 + sum * inverse_df);
                    }
                }
                whiten.add_transposed(z_dt, pull, gradient_dt);
            },
        );
    }
}

impl Whiten {
    /// Fills `z_dt` with `S^-1 (x - mean)`.
    #[inline(always)]
    fn whiten(&self, tile: &Tile, n: usize, z_dt: &mut [f32]) {
        for (i, z) in z_dt.chunks_exact_mut(TILE).enumerate() {
            let z = &mut z[..n];
            z.fill(0.0);
            for j in if self.diagonal { i } else { 0 }..=i {
                let factor = self.inverse[if self.diagonal { i } else { triangle(i, j) }];
                let (mean, x) = (self.mean[j], tile.coordinate(j));
                z.iter_mut().zip(x).for_each(|(z, x)| *z += factor * (x - mean));
            }
        }
    }

    /// Subtracts `pull S^-T z` from `gradient_dt`.
    #[inline(always)]
    fn add_transposed(&self, z_dt: &[f32], pull: &[f32], gradient_dt: &mut [f32]) {
        let dim = self.mean.len();
        for (j, gradient) in gradient_dt.chunks_exact_mut(TILE).enumerate() {
            for i in j..if self.diagonal { j + 1 } else { dim } {
                let factor = self.inverse[if self.diagonal { i } else { triangle(i, j) }];
                let z = &z_dt[i * TILE..][..pull.len()];
                for (g, (z, pull)) in gradient.iter_mut().zip(z.iter().zip(pull)) {
                    *g -= pull * factor * z;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::density::tests::{densities, tile_of_points};

    /// Against the f64 definition: terms of magnitude up to `m` lose a few units of 2^-24 of it, and
    /// the shares of a mixture 3e-7 relative; 2e-5 of the largest gradient, which is below 50 here.
    #[test]
    fn agrees_with_the_definition() {
        for density in densities() {
            let (tile, points) = tile_of_points();
            let n = points.len();
            let prepared = TileDensity::new(&density);
            let mut value = vec![0.0; n];
            let mut gradient = vec![0.0; 3 * TILE];
            let mut scratch = Scratch::new(prepared.components());
            let mut room = GradientScratch::new(3);
            prepared.add_gradient(&tile, &mut scratch, &mut room, &mut value, &mut gradient);
            for (t, x) in points.iter().enumerate() {
                let mut expected = [0.0; 3];
                density.add_gradient(x, 1.0, &mut expected);
                for (d, expected) in expected.into_iter().enumerate() {
                    let found = f64::from(gradient[d * TILE + t]);
                    let close = (found - expected).abs() < 2e-5 * (1.0 + expected.abs());
                    assert!(close, "{density:?} at {x:?}: {found} {expected}");
                }
            }
        }
    }
}
