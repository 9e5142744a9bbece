//! Eight round Gaussians, always the same ones in a dimension: means far apart in [-4, 4]^D,
//! deviations from 0.3 to 0.65, weights as 1 to 8.

use super::draw::Draw;
use super::{log_normal, log_sum_exp};
use snel_core::philox::{Key, Stream, uniform};

const COMPONENTS: usize = 8;
const REACH: f64 = 4.0;
/// Candidates for each mean; the farthest from the means so far is taken (Mitchell, *Spectrally
/// optimal sampling for distribution ray tracing*, 1991).
const CANDIDATES: u64 = 32;

/// The mixture; made by [`super::Toy::from_name`].
#[derive(Debug, Clone, PartialEq)]
pub struct Mixture {
    means: Vec<Vec<f64>>,
}

impl Mixture {
    pub(super) fn new(dim: usize) -> Self {
        let mut means: Vec<Vec<f64>> = Vec::with_capacity(COMPONENTS);
        for component in 0..COMPONENTS as u64 {
            let candidates = (0..CANDIDATES).map(|i| candidate(dim, component * CANDIDATES + i));
            let farthest = candidates.max_by(|a, b| gap(a, &means).total_cmp(&gap(b, &means)));
            means.extend(farthest);
        }
        Self { means }
    }

    pub(super) fn dim(&self) -> usize {
        self.means.first().map_or(0, Vec::len)
    }

    pub(super) fn sample(&self, draw: &mut Draw, points: &mut Vec<f64>) {
        let [u, ..] = draw.uniforms();
        let mut below = 0.0;
        let picked = (0..COMPONENTS).find(|&k| {
            below += weight(k);
            u < below
        });
        let k = picked.unwrap_or(COMPONENTS - 1);
        let mean = &self.means[k];
        points.extend(mean.iter().zip(draw.many_normals(mean.len())).map(|(m, z)| m + sd(k) * z));
    }

    pub(super) fn log_density(&self, x: &[f64]) -> f64 {
        let terms: Vec<f64> = self
            .means
            .iter()
            .enumerate()
            .map(|(k, mean)| {
                let normals = x.iter().zip(mean).map(|(&x, &m)| log_normal(x, m, sd(k)));
                weight(k).ln() + normals.sum::<f64>()
            })
            .collect();
        log_sum_exp(&terms)
    }
}

fn weight(k: usize) -> f64 {
    (k + 1) as f64 / (COMPONENTS * (COMPONENTS + 1) / 2) as f64
}

fn sd(k: usize) -> f64 {
    0.3 + 0.05 * k as f64
}

/// A uniform point. Step 1 of the stream: the points themselves are drawn at step 0.
fn candidate(dim: usize, number: u64) -> Vec<f64> {
    let key = Key::new(0, Stream::Toy);
    (0..dim)
        .map(|k| uniform(key.block(1, number, (k / 4) as u32)[k % 4]))
        .map(|u| REACH * (2.0 * u - 1.0))
        .collect()
}

/// Squared distance to the nearest of `means`.
fn gap(x: &[f64], means: &[Vec<f64>]) -> f64 {
    means
        .iter()
        .map(|mean| x.iter().zip(mean).map(|(x, m)| (x - m) * (x - m)).sum())
        .fold(f64::INFINITY, f64::min)
}
