//! Mixtures with learned parameters, in f64 for all engines.

use crate::density::{Affine, Density, Draws, Scale, pick};
use crate::normal::normals;
use crate::philox::Key;

/// Added to every standard deviation, so that none vanishes at repeated values of `y`.
pub const FLOOR: f64 = 1e-3;

/// A mixture of diagonal Gaussians, and of a fixed density if there is a defensive one.
///
/// Of the outputs, the first `K` are logits, then come `K x D` means, then `K x D` values `s` of
/// which the deviations are `exp(s) + FLOOR`. `exp` and `log` are those of `libm`: the same bits
/// on every machine.
#[derive(Debug, Clone)]
pub struct Mixture {
    targets: usize,
    /// Of the components, then of the defensive density.
    weights: Vec<f64>,
    means: Vec<f64>,
    deviations: Vec<f64>,
    /// Derivatives of the deviations by the outputs.
    slopes: Vec<f64>,
    /// `log weight - log det - D/2 log tau` of each component.
    offsets: Vec<f64>,
    defensive: Option<Density>,
    /// Log-densities of the components at a point, weighted.
    logs: Vec<f64>,
}

impl Mixture {
    /// Room for `components` Gaussians of `targets` values, and for the density and the weight of a
    /// defensive one.
    pub fn new(components: usize, targets: usize, defensive: Option<(f64, Density)>) -> Self {
        let k = components;
        let mut weights = vec![0.0; k];
        weights.extend(defensive.as_ref().map(|(weight, _)| weight));
        Self {
            targets,
            means: vec![0.0; k * targets],
            deviations: vec![0.0; k * targets],
            slopes: vec![0.0; k * targets],
            offsets: vec![0.0; k],
            logs: vec![0.0; weights.len()],
            weights,
            defensive: defensive.map(|(_, density)| density),
        }
    }

    /// Values that describe `components` Gaussians of `targets` values.
    pub fn outputs(components: usize, targets: usize) -> usize {
        components * (1 + 2 * targets)
    }

    /// The same as a density.
    pub fn density(&self) -> Density {
        let components = (0..self.components()).map(|c| {
            let of = |values: &[f64]| values[c * self.targets..][..self.targets].to_vec();
            let scale = Scale::Diagonal(of(&self.deviations));
            Density::Gaussian { at: Affine { mean: of(&self.means), scale } }
        });
        let components = components.chain(self.defensive.clone()).collect();
        Density::Mixture { weights: self.weights.clone(), components }
    }

    fn components(&self) -> usize {
        self.offsets.len()
    }

    /// Takes over the outputs of a network, or parameters in their place.
    pub fn set(&mut self, outputs: impl Iterator<Item = f64> + Clone) {
        const HALF_LN_TAU: f64 = 0.918_938_533_204_672_8;
        let (k, kd) = (self.components(), self.means.len());
        let rest = self.weights.get(k).map_or(1.0, |defensive| 1.0 - defensive);
        let largest = outputs.clone().take(k).fold(f64::NEG_INFINITY, f64::max);
        let mut total = 0.0;
        for (w, logit) in self.weights.iter_mut().zip(outputs.clone().take(k)) {
            *w = libm::exp(logit - largest);
            total += *w;
        }
        self.weights[..k].iter_mut().for_each(|w| *w *= rest / total);
        self.means.iter_mut().zip(outputs.clone().skip(k)).for_each(|(m, v)| *m = v);
        for (i, s) in outputs.skip(k + kd).enumerate() {
            self.slopes[i] = libm::exp(s);
            self.deviations[i] = self.slopes[i] + FLOOR;
        }
        for (c, offset) in self.offsets.iter_mut().enumerate() {
            let deviations = &self.deviations[c * self.targets..][..self.targets];
            let log_det: f64 = deviations.iter().map(|sd| libm::log(*sd)).sum();
            *offset = libm::log(self.weights[c]) - log_det - self.targets as f64 * HALF_LN_TAU;
        }
    }

    /// Fills `logs`; returns the log-density at `y`.
    fn weigh(&mut self, y: &[f64]) -> f64 {
        for (c, offset) in self.offsets.iter().enumerate() {
            let at = c * self.targets;
            let mut squares = 0.0;
            for (d, y) in y.iter().enumerate() {
                let z = (y - self.means[at + d]) / self.deviations[at + d];
                squares += z * z;
            }
            self.logs[c] = offset - 0.5 * squares;
        }
        if let Some(density) = &self.defensive {
            let k = self.components();
            self.logs[k] = libm::log(self.weights[k]) + density.log_density(y);
        }
        let largest = self.logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        if largest == f64::NEG_INFINITY {
            return largest;
        }
        let sum: f64 = self.logs.iter().map(|log| libm::exp(log - largest)).sum();
        largest + libm::log(sum)
    }

    /// Log-density at `y`, nats.
    pub fn log_density(&mut self, y: &[f64]) -> f64 {
        self.weigh(y)
    }

    /// Draws a point into `y`.
    pub fn sample(&self, draws: &mut Draws, y: &mut [f64]) {
        let c = pick(&self.weights, draws.uniform());
        match &self.defensive {
            Some(density) if c == self.components() => density.sample(draws, y),
            _ => {
                let at = c * self.targets;
                draws.normals(y);
                for (d, y) in y.iter_mut().enumerate() {
                    *y = self.means[at + d] + self.deviations[at + d] * *y;
                }
            }
        }
    }

    /// Adds `factor` times the gradient of the log-density at `y`, by the outputs of the network or
    /// the parameters in their place, to `gradient`.
    pub fn add_gradient(&mut self, y: &[f64], factor: f64, gradient: &mut [f64]) {
        let total = self.weigh(y);
        if total == f64::NEG_INFINITY || factor == 0.0 {
            return;
        }
        let (k, kd) = (self.components(), self.means.len());
        let rest: f64 = self.weights[..k].iter().sum();
        let shares = |c: usize| libm::exp(self.logs[c] - total);
        let learned: f64 = (0..k).map(shares).sum();
        for c in 0..k {
            let share = shares(c);
            // The weight of all components together is fixed.
            gradient[c] += factor * (share - learned * self.weights[c] / rest);
            for (d, y) in y.iter().enumerate() {
                let i = c * self.targets + d;
                let sd = self.deviations[i];
                let z = (y - self.means[i]) / sd;
                gradient[k + i] += factor * share * z / sd;
                gradient[k + kd + i] += factor * share * (z * z - 1.0) / sd * self.slopes[i];
            }
        }
    }

    /// Adds `factor` times the gradient of the log-density by `y`, at `y`, to `gradient`.
    pub fn add_point_gradient(&mut self, y: &[f64], factor: f64, gradient: &mut [f64]) {
        let total = self.weigh(y);
        if total == f64::NEG_INFINITY {
            return;
        }
        for c in 0..self.components() {
            let share = factor * libm::exp(self.logs[c] - total);
            for (d, y) in y.iter().enumerate() {
                let i = c * self.targets + d;
                let sd = self.deviations[i];
                gradient[d] -= share * (y - self.means[i]) / (sd * sd);
            }
        }
        if let Some(density) = &self.defensive {
            let share = factor * libm::exp(self.logs[self.components()] - total);
            density.add_gradient(y, share, gradient);
        }
    }
}

/// First outputs, or parameters in their place: equal weights, means at normal random numbers, and
/// deviations of about one.
pub(crate) fn begin(outputs: &mut [f32], components: usize, targets: usize, key: Key) {
    // Logits first, then means; log deviations stay zero.
    let means = &mut outputs[components..components * (1 + targets)];
    for (j, quad) in means.chunks_mut(4).enumerate() {
        let block = normals(key.block(u32::MAX, j as u64, 0));
        quad.iter_mut().zip(block).for_each(|(mean, z)| *mean = z);
    }
}
