//! Toy densities: points to train on whose log-density is known.
//!
//! Invariants
//! 1. Point number `i` of a seed is a function of (density, seed, i) alone: any range of points,
//!    cut anywhere, gives the same values.
//! 2. `log_density` is normalised, in nats, in original units; minus infinity outside the support.
//! 3. Points and density agree up to two rounding-sized concessions: normals beyond 6.76 standard
//!    deviations do not occur (probability 1e-11), and uniform draws keep 2^-21 of their interval
//!    away from its ends, so that a point at a jump of the density stays on its side when it is
//!    rounded to f32.

mod banana;
mod checkerboard;
mod draw;
mod funnel;
mod gaussian;
mod mixture;
mod patchwork;
mod pinwheel;
mod rings;
mod sine_lognormal;
mod two_moons;

use crate::DataError;
use crate::names::nearest;
use draw::Draw;
use mixture::Mixture;
use std::ops::Range;

const NAMES: &[&str] = &[
    "rings",
    "pinwheel",
    "checkerboard",
    "two_moons",
    "funnel",
    "gaussian",
    "gaussian_mixture",
    "banana",
    "sine_lognormal",
    "patchwork",
];

/// A toy density.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Toy {
    /// Four concentric circles with Gaussian radii.
    Rings,
    /// Five Gaussian arms, twisted.
    Pinwheel,
    /// Uniform on the dark squares of a four by four board.
    Checkerboard,
    /// Two interleaved half circles with Gaussian radii.
    TwoMoons,
    /// A parabola with Gaussian noise.
    Banana,
    /// Neal's funnel: the first value sets the scale of the others.
    Funnel {
        /// Values of a point, at least 2.
        dim: usize,
    },
    /// A correlated Gaussian.
    Gaussian {
        /// Values of a point, at least 1.
        dim: usize,
    },
    /// Eight Gaussians of unequal weight and width, far apart.
    GaussianMixture(Mixture),
    /// A regression: two branches, then a skewed one.
    SineLognormal,
    /// A regression of four unlike pieces.
    Patchwork,
}

impl Toy {
    /// Names that [`Toy::from_name`] knows.
    pub fn names() -> &'static [&'static str] {
        NAMES
    }

    /// The density of that name; without `dim`, in two dimensions.
    ///
    /// # Errors
    /// [`DataError::UnknownToy`], and [`DataError::ToyDim`] where the density has no such form.
    pub fn from_name(name: &str, dim: Option<usize>) -> Result<Self, DataError> {
        const MOST: usize = 1 << 16;
        let dim = dim.unwrap_or(2);
        let at_least = |name, least, allowed| {
            if (least..=MOST).contains(&dim) {
                Ok(dim)
            } else {
                Err(DataError::ToyDim { name, dim, allowed })
            }
        };
        let toy = match name {
            "rings" => Self::Rings,
            "pinwheel" => Self::Pinwheel,
            "checkerboard" => Self::Checkerboard,
            "two_moons" => Self::TwoMoons,
            "banana" => Self::Banana,
            "sine_lognormal" => Self::SineLognormal,
            "patchwork" => Self::Patchwork,
            "funnel" => Self::Funnel { dim: at_least("funnel", 2, "2 to 65536")? },
            "gaussian" => Self::Gaussian { dim: at_least("gaussian", 1, "1 to 65536")? },
            "gaussian_mixture" => {
                let dim = at_least("gaussian_mixture", 1, "1 to 65536")?;
                Self::GaussianMixture(Mixture::new(dim))
            }
            _ => {
                return Err(DataError::UnknownToy {
                    name: name.to_owned(),
                    nearest: nearest(name, NAMES),
                    available: NAMES,
                });
            }
        };
        if toy.dim() == dim {
            Ok(toy)
        } else {
            Err(DataError::ToyDim { name: toy.name(), dim, allowed: "2 only" })
        }
    }

    /// Its name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Rings => "rings",
            Self::Pinwheel => "pinwheel",
            Self::Checkerboard => "checkerboard",
            Self::TwoMoons => "two_moons",
            Self::Banana => "banana",
            Self::Funnel { .. } => "funnel",
            Self::Gaussian { .. } => "gaussian",
            Self::GaussianMixture(_) => "gaussian_mixture",
            Self::SineLognormal => "sine_lognormal",
            Self::Patchwork => "patchwork",
        }
    }

    /// Values of a point.
    pub fn dim(&self) -> usize {
        match self {
            Self::Funnel { dim } | Self::Gaussian { dim } => *dim,
            Self::GaussianMixture(mixture) => mixture.dim(),
            _ => 2,
        }
    }

    /// Values of `y`, the last ones of a point, in a regression; 0 for other toys.
    pub fn targets(&self) -> usize {
        match self {
            Self::SineLognormal | Self::Patchwork => 1,
            _ => 0,
        }
    }

    /// Log-density of `y` given `x`, nats, original units, of the point `(x, y)` of a regression;
    /// none for other toys.
    pub fn conditional_log_density(&self, point: &[f64]) -> Option<f64> {
        match (self, point) {
            (Self::SineLognormal, &[x, y]) => Some(sine_lognormal::conditional(x, y)),
            (Self::Patchwork, &[x, y]) => Some(patchwork::conditional(x, y)),
            _ => None,
        }
    }

    /// Names of its columns.
    pub fn columns(&self) -> Vec<String> {
        if self.targets() > 0 {
            return vec!["x".to_owned(), "y".to_owned()];
        }
        (0..self.dim()).map(|k| format!("x{k}")).collect()
    }

    /// The points numbered `range` of the family that `seed` names, row-major.
    pub fn sample(&self, seed: u32, range: Range<u64>) -> Vec<f64> {
        let mut points = Vec::new();
        for number in range {
            let mut draw = Draw::new(seed, number);
            match self {
                Self::Rings => points.extend(rings::sample(&mut draw)),
                Self::Pinwheel => points.extend(pinwheel::sample(&mut draw)),
                Self::Checkerboard => points.extend(checkerboard::sample(&mut draw)),
                Self::TwoMoons => points.extend(two_moons::sample(&mut draw)),
                Self::Banana => points.extend(banana::sample(&mut draw)),
                Self::SineLognormal => points.extend(sine_lognormal::sample(&mut draw)),
                Self::Patchwork => points.extend(patchwork::sample(&mut draw)),
                Self::Funnel { dim } => funnel::sample(*dim, &mut draw, &mut points),
                Self::Gaussian { dim } => gaussian::sample(*dim, &mut draw, &mut points),
                Self::GaussianMixture(mixture) => mixture.sample(&mut draw, &mut points),
            }
        }
        points
    }

    /// Log-density of one point of `dim` values, nats, original units. A point with another
    /// number of values is outside the support.
    pub fn log_density(&self, x: &[f64]) -> f64 {
        if x.len() != self.dim() {
            return f64::NEG_INFINITY;
        }
        match (self, x) {
            (Self::Rings, &[x, y]) => rings::log_density(x, y),
            (Self::Pinwheel, &[x, y]) => pinwheel::log_density(x, y),
            (Self::Checkerboard, &[x, y]) => checkerboard::log_density(x, y),
            (Self::TwoMoons, &[x, y]) => two_moons::log_density(x, y),
            (Self::Banana, &[x, y]) => banana::log_density(x, y),
            (Self::SineLognormal, &[x, y]) => {
                sine_lognormal::marginal(x) + sine_lognormal::conditional(x, y)
            }
            (Self::Patchwork, &[x, y]) => patchwork::marginal(x) + patchwork::conditional(x, y),
            (Self::Funnel { .. }, [v, rest @ ..]) => funnel::log_density(*v, rest),
            (Self::Gaussian { .. }, x) => gaussian::log_density(x),
            (Self::GaussianMixture(mixture), x) => mixture.log_density(x),
            _ => f64::NEG_INFINITY,
        }
    }
}

/// `log N(x; mean, sd)`.
fn log_normal(x: f64, mean: f64, sd: f64) -> f64 {
    let z = (x - mean) / sd;
    -0.5 * (z * z + std::f64::consts::TAU.ln()) - sd.ln()
}

/// `log sum exp` without overflow; minus infinity for none.
fn log_sum_exp(terms: &[f64]) -> f64 {
    let largest = terms.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if largest == f64::NEG_INFINITY {
        return largest;
    }
    largest + terms.iter().map(|term| (term - largest).exp()).sum::<f64>().ln()
}

/// Log-density of a radius that is normal given that it is positive; the mass cut off is
/// `erfc(mean / (sd sqrt 2)) / 2`.
fn log_radius(r: f64, mean: f64, sd: f64) -> f64 {
    let kept = 0.5 * libm::erfc(-mean / (sd * std::f64::consts::SQRT_2));
    log_normal(r, mean, sd) - kept.ln()
}
