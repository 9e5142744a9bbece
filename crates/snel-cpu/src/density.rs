//! Log-densities of a tile of points, in f32.
//!
//! Points are stored coordinate by coordinate (`D x T`), so every loop runs over neighbouring
//! points. Mixtures of mixtures are flattened: a density becomes a list of weighted simple
//! components. Each component's offset is summed in f64 before it is rounded.

mod gradient;

use pulp::Scalar;
use snel_core::density::{Affine, Density, Scale};
use snel_core::energy::triangle;
use snel_core::normal::ln;

use snel_core::vectorise::vectorised;

pub(crate) use self::gradient::GradientScratch;
use crate::math::exp;
use crate::tile::{TILE, Tile};

/// A density prepared for tiles.
#[derive(Debug, Clone)]
pub(crate) struct TileDensity {
    components: Vec<Component>,
}

#[derive(Debug, Clone)]
struct Component {
    /// Log of the mixture weight times the component's constant.
    offset: f32,
    shape: Shape,
}

#[derive(Debug, Clone)]
enum Shape {
    Gaussian(Whiten),
    /// The exponent `-(df + D) / 2` and `1 / df`.
    Student(Whiten, f32, f32),
    Uniform(Vec<f32>, Vec<f32>),
}

/// `z = S^-1 (x - mean)`, lower triangle packed by rows; a diagonal has its own short form.
#[derive(Debug, Clone)]
struct Whiten {
    mean: Vec<f32>,
    inverse: Vec<f32>,
    diagonal: bool,
}

/// Memory to work in, for densities of up to some number of components.
#[derive(Debug, Clone)]
pub(crate) struct Scratch {
    z: [f32; TILE],
    max: [f32; TILE],
    /// A tile's log-densities for each component.
    logs: Vec<f32>,
}

impl Scratch {
    pub(crate) fn new(components: usize) -> Self {
        Self { z: [0.0; TILE], max: [0.0; TILE], logs: vec![0.0; components * TILE] }
    }
}

impl TileDensity {
    pub(crate) fn new(density: &Density) -> Self {
        let mut components = Vec::new();
        flatten(density, 0.0, &mut components);
        Self { components }
    }

    /// Number of simple components.
    pub(crate) fn components(&self) -> usize {
        self.components.len()
    }

    /// Log-density of the points of `tile`, as many as `out` has room for.
    pub(crate) fn log_density(&self, tile: &Tile, scratch: &mut Scratch, out: &mut [f32]) {
        let n = out.len();
        let Scratch { z, max, logs } = scratch;
        let (z, max) = (&mut z[..n], &mut max[..n]);
        if let [only] = &self.components[..] {
            return only.log_density(tile, z, out);
        }
        let logs = &mut logs[..n * self.components.len()];
        max.fill(f32::NEG_INFINITY);
        for (c, log) in self.components.iter().zip(logs.chunks_exact_mut(n)) {
            c.log_density(tile, z, log);
            max.iter_mut().zip(log.iter()).for_each(|(m, l)| *m = if *l > *m { *l } else { *m });
        }
        out.fill(0.0);
        vectorised(
            #[inline(always)]
            || {
                for log in logs.chunks_exact(n) {
                    for i in 0..n {
                        out[i] += exp(Scalar, log[i] - max[i]);
                    }
                }
                for i in 0..n {
                    // Outside every support the maximum is -inf, and so is the density.
                    out[i] = if max[i] == f32::NEG_INFINITY { max[i] } else { max[i] + ln(out[i]) };
                }
            },
        );
    }
}

fn flatten(density: &Density, log_weight: f64, out: &mut Vec<Component>) {
    let shape = match density {
        Density::Gaussian { at } => Shape::Gaussian(Whiten::new(at)),
        Density::Student { df, at } => {
            let exponent = -0.5 * (df + at.dim() as f64);
            Shape::Student(Whiten::new(at), exponent as f32, (1.0 / df) as f32)
        }
        Density::Uniform { low, high } => {
            let single = |v: &[f64]| v.iter().map(|&v| v as f32).collect();
            Shape::Uniform(single(low), single(high))
        }
        Density::Mixture { weights, components } => {
            for (w, c) in weights.iter().zip(components) {
                flatten(c, log_weight + w.ln(), out);
            }
            return;
        }
    };
    let offset = (log_weight + density.log_constant()) as f32;
    out.push(Component { offset, shape });
}

impl Component {
    fn log_density(&self, tile: &Tile, z: &mut [f32], out: &mut [f32]) {
        vectorised(
            #[inline(always)]
            || match &self.shape {
                Shape::Gaussian(whiten) => {
                    whiten.squared_distance(tile, z, out);
                    for v in out.iter_mut() {
                        *v = self.offset - 0.5 * *v;
                    }
                }
                Shape::Student(whiten, exponent, inverse_df) => {
                    whiten.squared_distance(tile, z, out);
                    for v in out.iter_mut() {
                        *v = self.offset + exponent * ln(1.0 + *v * inverse_df);
                    }
                }
                Shape::Uniform(low, high) => {
                    out.fill(self.offset);
                    for (d, (low, high)) in low.iter().zip(high).enumerate() {
                        for (v, x) in out.iter_mut().zip(tile.coordinate(d)) {
                            // The upper face counts as inside: a sample may round up onto it.
                            let inside = *x >= *low && *x <= *high;
                            *v = if inside { *v } else { f32::NEG_INFINITY };
                        }
                    }
                }
            },
        );
    }
}

impl Whiten {
    fn new(at: &Affine) -> Self {
        let single = |v: &[f64]| v.iter().map(|&v| v as f32).collect();
        let diagonal = matches!(at.scale, Scale::Diagonal(_));
        Self { mean: single(&at.mean), inverse: single(&at.inverse_scale()), diagonal }
    }

    #[inline(always)]
    fn squared_distance(&self, tile: &Tile, z: &mut [f32], out: &mut [f32]) {
        out.fill(0.0);
        for i in 0..self.mean.len() {
            z.fill(0.0);
            for j in if self.diagonal { i } else { 0 }..=i {
                let factor = self.inverse[if self.diagonal { i } else { triangle(i, j) }];
                let (mean, x) = (self.mean[j], tile.coordinate(j));
                for (z, x) in z.iter_mut().zip(x) {
                    *z += factor * (x - mean);
                }
            }
            for (v, z) in out.iter_mut().zip(z.iter()) {
                *v += z * z;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use snel_core::density::Draws;
    use snel_core::philox::{Key, Stream};

    pub(super) fn densities() -> [Density; 4] {
        let at = Affine {
            mean: vec![0.5, -1.0, 0.2],
            scale: Scale::Lower(vec![1.2, -0.7, 0.6, 0.1, 0.3, 0.9]),
        };
        let plain =
            Affine { mean: vec![0.0, 1.0, -0.4], scale: Scale::Diagonal(vec![0.8, 1.5, 2.0]) };
        let gaussian = Density::Gaussian { at };
        let student = Density::Student { df: 3.0, at: plain };
        let uniform = Density::Uniform { low: vec![-1.0; 3], high: vec![2.0; 3] };
        let mixture = Density::Mixture {
            weights: vec![0.7, 0.3],
            components: vec![
                gaussian.clone(),
                Density::Mixture {
                    weights: vec![0.4, 0.6],
                    components: vec![student.clone(), uniform.clone()],
                },
            ],
        };
        [gaussian, student, uniform, mixture]
    }

    /// Points in three dimensions, in f32 and as the same numbers in f64.
    pub(super) fn tile_of_points() -> (Tile, Vec<[f64; 3]>) {
        let mut tile = Tile::new(3);
        tile.begin(TILE - 3);
        let mut points = vec![[0.0; 3]; TILE - 3];
        for (i, x) in points.iter_mut().enumerate() {
            Draws::new(Key::new(1, Stream::Toy), 0, i as u64).normals(x);
            x.iter_mut().for_each(|x| *x = f64::from((2.0 * *x) as f32));
            tile.set_point(i, x.iter().map(|&x| x as f32));
        }
        (tile, points)
    }

    /// Against the f64 definition. A quadratic form of three terms at distances below 40 loses a
    /// few units of 2^-24 of its size; `exp` and `ln` add 2e-7 each.
    #[test]
    fn agrees_with_the_definition() {
        for density in densities() {
            let (tile, points) = tile_of_points();
            let mut out = vec![0.0; points.len()];
            let prepared = TileDensity::new(&density);
            prepared.log_density(&tile, &mut Scratch::new(prepared.components()), &mut out);
            for (v, e) in out.iter().zip(points.iter().map(|x| density.log_density(x))) {
                let same = f64::from(*v) == e;
                assert!(
                    same || (f64::from(*v) - e).abs() < 2e-6 * (3.0 + e.abs()),
                    "{density:?}: {v} {e}"
                );
            }
        }
    }
}
