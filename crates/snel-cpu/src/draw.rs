//! Proposal samples, a tile at a time.
//!
//! The points are those of [`Density::sample`], to the last bit: the same Philox blocks in the
//! same order, the same f64 arithmetic. Normal numbers and the Gaussian map are made for many
//! samples side by side; what differs from sample to sample (gamma variates, the component of a
//! mixture) is made one by one.

use snel_core::density::{Affine, Density, Draws, Scale, pick};
use snel_core::energy::triangle;
use snel_core::normal;
use snel_core::philox::Key;
use snel_core::vectorise::vectorised;

use crate::tile::{TILE, Tile};

/// Samples whose random numbers are made side by side.
const LANES: usize = 16;

/// Memory for one tile.
#[derive(Debug, Clone)]
pub(crate) struct Sampler {
    /// Standard normals, `D x T`.
    z_dt: Vec<f64>,
    sum: Vec<f64>,
    point: Vec<f64>,
}

/// Which random numbers: all samples from `first` on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Source {
    pub(crate) key: Key,
    pub(crate) step: u32,
    pub(crate) first: u64,
}

impl Source {
    fn draws(self, t: usize) -> Draws {
        Draws::new(self.key, self.step, self.first + t as u64)
    }
}

impl Sampler {
    pub(crate) fn new(dim: usize) -> Self {
        Self { z_dt: vec![0.0; dim * TILE], sum: vec![0.0; TILE], point: vec![0.0; dim] }
    }

    /// Fills `tile` with `n` samples of `density`.
    pub(crate) fn draw(&mut self, density: &Density, source: Source, n: usize, tile: &mut Tile) {
        tile.begin(n);
        match density {
            Density::Gaussian { at } => {
                self.normals(source, 0, n);
                self.gaussian(at, n, tile);
            }
            Density::Student { .. } => {
                self.normals(source, 0, n);
                for t in 0..n {
                    self.one(density, source.draws(t), t, tile);
                }
            }
            // Whichever component a sample is of, its normals begin after the block of the choice.
            Density::Mixture { weights, components } => {
                self.normals(source, 1, n);
                for t in 0..n {
                    let mut draws = source.draws(t);
                    let k = pick(weights, draws.uniform());
                    self.one(&components[k], draws, t, tile);
                }
            }
            Density::Uniform { .. } => {
                for t in 0..n {
                    self.one(density, source.draws(t), t, tile);
                }
            }
        }
    }

    /// Sample `t`, with the normals that are there already.
    fn one(&mut self, density: &Density, mut draws: Draws, t: usize, tile: &mut Tile) {
        let Self { z_dt, point, .. } = self;
        let dim = point.len();
        let take_normals = |point: &mut [f64]| {
            point.iter_mut().enumerate().for_each(|(d, z)| *z = z_dt[d * TILE + t]);
        };
        match density {
            Density::Gaussian { at } => {
                take_normals(point);
                at.apply(point, 1.0);
            }
            Density::Student { df, at } => {
                take_normals(point);
                draws.skip(dim.div_ceil(4) as u32);
                at.apply(point, draws.student_factor(*df));
            }
            Density::Uniform { .. } | Density::Mixture { .. } => density.sample(&mut draws, point),
        }
        tile.set_point(t, point.iter().map(|&x| x as f32));
    }

    /// Standard normals alone, `n` samples of them: `D x T`, rows [`TILE`] apart.
    pub(crate) fn noise(&mut self, source: Source, n: usize) -> &[f64] {
        self.normals(source, 0, n);
        &self.z_dt
    }

    /// Standard normals of `n` samples, four a block from block `first_block` on.
    fn normals(&mut self, source: Source, first_block: u32, n: usize) {
        let Source { key, step, first } = source;
        for (block, rows) in (first_block..).zip(self.z_dt.chunks_mut(4 * TILE)) {
            for t in (0..n).step_by(LANES) {
                let mut quads = [[0.0; LANES]; 4];
                vectorised(
                    #[inline(always)]
                    || {
                        for lane in 0..LANES {
                            let sample = first + (t + lane) as u64;
                            let z = normal::normals(key.block(step, sample, block));
                            for i in 0..4 {
                                quads[i][lane] = z[i];
                            }
                        }
                    },
                );
                for (row, quad) in rows.chunks_exact_mut(TILE).zip(&quads) {
                    row[t..t + LANES].iter_mut().zip(quad).for_each(|(z, q)| *z = f64::from(*q));
                }
            }
        }
    }

    /// `mean + S z` for all samples, in the order of additions of [`Affine::apply`].
    fn gaussian(&mut self, at: &Affine, n: usize, tile: &mut Tile) {
        let Self { z_dt, sum, .. } = self;
        let sum = &mut sum[..n];
        for i in 0..at.dim() {
            vectorised(
                #[inline(always)]
                || {
                    sum.fill(-0.0);
                    let mut add = |s: f64, j: usize| {
                        sum.iter_mut().zip(&z_dt[j * TILE..]).for_each(|(sum, z)| *sum += s * z);
                    };
                    match &at.scale {
                        Scale::Diagonal(s) => add(s[i], i),
                        Scale::Lower(s) => (0..=i).for_each(|j| add(s[triangle(i, j)], j)),
                    }
                    sum.iter_mut().for_each(|x| *x += at.mean[i]);
                },
            );
            tile.set_coordinate(i, sum);
        }
    }
}
