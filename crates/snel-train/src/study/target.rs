//! Models whose normaliser and gradient are known, and proposals for them.
//!
//! Both targets are equal mixtures of Gaussians of unit covariance, so all their moments are in the
//! centres. The energy is quadratic in either: its gradient holds the monomials of a point, and
//! their means under the target are closed forms.

use serde::{Deserialize, Serialize};
use snel_core::density::{Affine, Density, Draws, HALF_LN_TAU, Scale};
use snel_core::energy::{Energy, triangle};
use snel_core::philox::{Key, Stream};
use snel_core::problem::{Base, Model};
use snel_core::rows::Matrix;

/// Distance of either centre of [`Target::Mixture`] from the origin, whatever `D` is.
const APART: f64 = 2.0;
/// How much wider [`Proposal::Wide`] is than the target.
pub const WIDE: f64 = 1.3;
/// How much wider than the target's the components of [`Proposal::Mixture`] are.
const LOOSE: f64 = 1.1;
/// How much narrower than the target the body of [`Proposal::Defensive`] is: by itself, the
/// variance of its weights would be infinite.
const NARROW: f64 = 0.6;
/// Weight of the tail of [`Proposal::Defensive`].
const DEFENCE: f64 = 0.1;
/// Degrees of freedom of Student tails.
const DF: f64 = 5.0;

/// A normalised density in `D` dimensions that the model is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Target {
    /// The standard normal, as an energy without a base: `log Z = D/2 log 2 pi`.
    Gaussian,
    /// Two standard normals, four deviations apart, as a base density with `E = 0`: `log Z = 0`.
    Mixture,
}

/// What samples are drawn from.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Proposal {
    /// The Gaussian with the target's mean and covariance.
    Matched,
    /// The same, [`WIDE`] times as wide.
    Wide,
    /// Student-t with [`DF`] degrees of freedom, with the location and scale of `Matched`.
    Student,
    /// The mixture target, slightly wider.
    Mixture,
    /// `Matched`, much too narrow, with a tenth of `Student` mixed in.
    Defensive,
}

impl Target {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Gaussian, Self::Mixture];

    /// Its name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gaussian => "gaussian",
            Self::Mixture => "mixture",
        }
    }

    fn centres(self, dim: usize) -> Vec<Vec<f64>> {
        let along = APART / (dim as f64).sqrt();
        match self {
            Self::Gaussian => vec![vec![0.0; dim]],
            Self::Mixture => vec![vec![-along; dim], vec![along; dim]],
        }
    }

    /// The density itself.
    pub fn density(self, dim: usize) -> Density {
        mixture(self.centres(dim), 1.0)
    }

    /// The model that is this density, with `proposal`.
    pub fn model(self, dim: usize, proposal: Density) -> Model {
        let base = match self {
            Self::Gaussian => Base::None,
            Self::Mixture => Base::Density(self.density(dim)),
        };
        Model { energy: Energy::Quadratic { dim }, base, proposal }
    }

    /// Parameters of that model, `b = log Z` included.
    pub fn parameters(self, dim: usize) -> Vec<f32> {
        let mut parameters = vec![0.0; triangle(dim, 0) + dim];
        if self == Self::Gaussian {
            (0..dim).for_each(|i| parameters[triangle(i, i)] = 1.0);
        }
        parameters.push(self.log_z(dim) as f32);
        parameters
    }

    /// `log Z`, nats.
    pub fn log_z(self, dim: usize) -> f64 {
        match self {
            Self::Gaussian => dim as f64 * HALF_LN_TAU,
            Self::Mixture => 0.0,
        }
    }

    /// Mean of the energy's gradient under the target, without `b`.
    pub fn mean_gradient(self, dim: usize) -> Vec<f64> {
        let centres = self.centres(dim);
        let share = 1.0 / centres.len() as f64;
        let mut mean = vec![0.0; triangle(dim, 0) + dim];
        for centre in &centres {
            // A component's second moments are its centre's and its unit covariance.
            mean.iter_mut().zip(monomials(centre)).for_each(|(m, v)| *m += share * v);
        }
        (0..dim).for_each(|i| mean[triangle(i, i)] += 0.5);
        mean
    }

    /// `n` rows of the target.
    pub fn rows(self, dim: usize, n: usize, seed: u32) -> Matrix {
        let (density, key) = (self.density(dim), Key::new(seed, Stream::Toy));
        let mut values = Vec::with_capacity(n * dim);
        let mut x = vec![0.0; dim];
        for i in 0..n {
            density.sample(&mut Draws::new(key, 0, i as u64), &mut x);
            values.extend(x.iter().map(|&x| x as f32));
        }
        Matrix::new(values, dim).unwrap_or_else(|| Matrix::empty(dim))
    }

    /// Mean and covariance as a lower factor. The covariance is `I + c c^T`, `c` a centre.
    fn moments(self, dim: usize) -> Affine {
        let centres = self.centres(dim);
        let centre = &centres[0];
        let scale = match self {
            Self::Gaussian => Scale::Diagonal(vec![1.0; dim]),
            Self::Mixture => Scale::Lower(factor_of_update(centre)),
        };
        Affine { mean: vec![0.0; dim], scale }
    }
}

impl Proposal {
    /// All.
    pub const ALL: [Self; 5] =
        [Self::Matched, Self::Wide, Self::Student, Self::Mixture, Self::Defensive];

    /// Its name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Matched => "matched",
            Self::Wide => "wide",
            Self::Student => "student",
            Self::Mixture => "mixture",
            Self::Defensive => "defensive",
        }
    }

    /// The density for `target`.
    pub fn density(self, target: Target, dim: usize) -> Density {
        let at = || target.moments(dim);
        let student = || Density::Student { df: DF, at: at() };
        match self {
            Self::Matched => Density::Gaussian { at: at() },
            Self::Wide => Density::Gaussian { at: at() }.widened(WIDE),
            Self::Student => student(),
            Self::Mixture => mixture(Target::Mixture.centres(dim), LOOSE),
            Self::Defensive => Density::Mixture {
                weights: vec![1.0 - DEFENCE, DEFENCE],
                components: vec![Density::Gaussian { at: at() }.widened(NARROW), student()],
            },
        }
    }
}

/// The gradient of a quadratic energy at `x`: `x_i^2 / 2`, `x_i x_j` and `x_i`, in their layout.
pub(crate) fn monomials(x: &[f64]) -> Vec<f64> {
    let dim = x.len();
    let mut out = vec![0.0; triangle(dim, 0) + dim];
    for i in 0..dim {
        for j in 0..=i {
            out[triangle(i, j)] = if i == j { 0.5 } else { 1.0 } * x[i] * x[j];
        }
        out[triangle(dim, 0) + i] = x[i];
    }
    out
}

/// Equal Gaussians of deviation `sd` at `centres`; a single one is no mixture.
fn mixture(centres: Vec<Vec<f64>>, sd: f64) -> Density {
    let gaussian = |mean: Vec<f64>| {
        let scale = Scale::Diagonal(vec![sd; mean.len()]);
        Density::Gaussian { at: Affine { mean, scale } }
    };
    let mut components: Vec<Density> = centres.into_iter().map(gaussian).collect();
    if components.len() == 1 {
        return components.remove(0);
    }
    Density::Mixture { weights: vec![1.0 / components.len() as f64; components.len()], components }
}

/// The lower factor of `I + c c^T` (Gill, Golub, Murray, Saunders 1974, method C1), packed by rows.
fn factor_of_update(c: &[f64]) -> Vec<f64> {
    let dim = c.len();
    let mut lower = vec![0.0; triangle(dim, 0)];
    // After the columns before j, what is left of the update is `c c^T / before`.
    let mut before = 1.0;
    for j in 0..dim {
        let after = before + c[j] * c[j];
        let root = (after / before).sqrt();
        lower[triangle(j, j)] = root;
        (j + 1..dim).for_each(|i| lower[triangle(i, j)] = c[i] * c[j] / before / root);
        before = after;
    }
    lower
}

#[cfg(test)]
mod tests {
    use super::*;
    use snel_core::lse::LogWeights;
    use snel_core::rows::Rows;

    #[test]
    fn the_factor_is_that_of_the_updated_matrix() {
        let c = [0.5, -2.0, 1.0];
        let lower = factor_of_update(&c);
        for i in 0..3 {
            for j in 0..=i {
                let product: f64 =
                    (0..=j).map(|k| lower[triangle(i, k)] * lower[triangle(j, k)]).sum();
                let expected = c[i] * c[j] + f64::from(u8::from(i == j));
                // A handful of roundings of values below 10.
                assert!((product - expected).abs() < 1e-14, "{i} {j}");
            }
        }
    }

    /// Rows of the target have its moments, within six standard errors; a monomial of four
    /// deviations apart in three dimensions has a variance below 4.
    #[test]
    fn rows_have_the_moments_of_the_target() {
        for target in Target::ALL {
            let (dim, n) = (3, 20_000);
            let rows = target.rows(dim, n, 1);
            assert_eq!(rows.len(), n as u64);
            let mut found = [0.0; 9];
            for x in rows.values().chunks(dim) {
                let x: Vec<f64> = x.iter().map(|&x| f64::from(x)).collect();
                found.iter_mut().zip(monomials(&x)).for_each(|(f, m)| *f += m / n as f64);
            }
            for (found, mean) in found.iter().zip(target.mean_gradient(dim)) {
                assert!((found - mean).abs() < 6.0 * (4.0 / n as f64).sqrt(), "{found} {mean}");
            }
        }
    }

    /// `E_q[exp(log d - E) / q] = Z` for every pair, in f64 and one point at a time, within five of
    /// its own standard errors.
    #[test]
    fn every_proposal_estimates_the_normaliser() {
        let dim = 2;
        for target in Target::ALL {
            for proposal in Proposal::ALL {
                let (p, q) = (target.density(dim), proposal.density(target, dim));
                q.check(dim).unwrap();
                let mut weights = LogWeights::default();
                let mut x = [0.0; 2];
                for i in 0..20_000 {
                    q.sample(&mut Draws::new(Key::new(3, Stream::Proposal), 0, i), &mut x);
                    weights.add(p.log_density(&x) - q.log_density(&x));
                }
                let error = weights.relative_error().max(1e-12);
                assert!(weights.log_mean().abs() < 5.0 * error, "{target:?} {proposal:?}");
            }
        }
    }
}
