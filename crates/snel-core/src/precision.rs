//! What coarse products do to energies: the engine's against f64, on a few samples.
//!
//! An engine on tensor cores rounds what it multiplies. How much of that reaches an energy depends
//! on the parameters: about a constant share of the spread of energies, so a model that sharpens
//! while it is trained may leave the precision it began with behind. Neither the bound nor `log Ẑ`
//! shows it, because rows and samples have the same faulty energies.

use ndarray::Array2;

use crate::energy::Energy;
use crate::engine::{DensityEngine, SampleSet, Scored};
use crate::lse::LogWeights;
use crate::reference::energies;

/// Samples that are compared: the spread of an error is then known to about 3 %.
const SAMPLES: u64 = 512;
/// Most nats of [`EnergyError::spread`] and [`EnergyError::log_z`] that nobody needs to hear of.
/// A weight is then off by 5 % or so, which the noise of any number of samples that is worth
/// speaking of hides.
const TOLERATED: f64 = 0.05;

/// How far an engine's energies are from those that its parameters define, nats.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EnergyError {
    /// Standard deviation of the error over proposal samples: a log-density is off by about this. A
    /// constant error is no error, `b` takes it up.
    pub spread: f64,
    /// Error of `log Ẑ` against the mean error: how the error pulls at the samples that have weight.
    pub log_z: f64,
}

impl EnergyError {
    /// Compares the energies of `engine`, whose model has energy `energy`, on the first samples of
    /// `set`. Infinite if an energy is not finite that should be.
    pub fn measure(engine: &dyn DensityEngine, energy: &Energy, set: SampleSet) -> Self {
        let dim = energy.dim();
        let mut x = vec![0.0; SAMPLES as usize * dim];
        let mut scored = vec![Scored::default(); SAMPLES as usize];
        engine.score_samples(set, 0..SAMPLES, &mut x, &mut scored);
        let double = |values: &[f32]| values.iter().map(|&v| f64::from(v)).collect::<Vec<_>>();
        let (x, parameters) = (double(&x), double(&engine.snapshot().parameters));
        let x_nd = Array2::from_shape_vec((SAMPLES as usize, dim), x).unwrap_or_default();
        let exact = energies(energy, &parameters, x_nd.view());
        Self::between(&scored, exact.as_slice().unwrap_or_default())
    }

    /// Compares what was `scored` with the `exact` energies of the same points.
    fn between(scored: &[Scored], exact: &[f64]) -> Self {
        let pairs = || scored.iter().zip(exact).filter(|(_, exact)| exact.is_finite());
        let n = pairs().count() as f64;
        let error = |(s, exact): (&Scored, &f64)| f64::from(s.energy) - exact;
        let mean = pairs().map(error).sum::<f64>() / n;
        let variance = pairs().map(|pair| (error(pair) - mean).powi(2)).sum::<f64>() / n;
        let (mut found, mut right) = (LogWeights::default(), LogWeights::default());
        for (s, exact) in pairs() {
            let without = f64::from(s.log_base) - f64::from(s.log_proposal);
            found.add(without - f64::from(s.energy));
            right.add(without - exact);
        }
        let log_z = found.log_mean() - right.log_mean() + mean;
        let known = |value: f64| if value.is_finite() { value } else { f64::INFINITY };
        Self { spread: known(variance.sqrt()), log_z: known(log_z) }
    }

    /// Whether it can be left unsaid.
    pub fn is_tolerable(&self) -> bool {
        self.spread <= TOLERATED && self.log_z.abs() <= TOLERATED
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scored(energy: f64) -> Scored {
        Scored { energy: energy as f32, log_base: 0.0, log_proposal: 1.0 }
    }

    /// Energies off by `error(i)`; the exact ones are 0 and 2 in turn.
    fn off_by(error: impl Fn(usize) -> f64) -> EnergyError {
        let exact: Vec<f64> = (0..1000).map(|i| f64::from(i % 2 * 2)).collect();
        let found: Vec<Scored> =
            exact.iter().enumerate().map(|(i, e)| scored(e + error(i))).collect();
        EnergyError::between(&found, &exact)
    }

    /// Errors of +-0.125, numbers that f32 holds, on the points of energy 0 alone. By hand: the mean
    /// is 0, the spread 0.125 / sqrt 2, and the mean weight of these points is cosh 0.125 times what
    /// it was.
    #[test]
    fn errors_are_what_they_are_by_hand() {
        let found = off_by(|i| [0.125, 0.0, -0.125, 0.0][i % 4]);
        assert!((found.spread - 0.125 / 2f64.sqrt()).abs() < 1e-15, "{found:?}");
        let rest = (-2f64).exp();
        let log_z = ((0.125f64.cosh() + rest) / (1.0 + rest)).ln();
        // A thousand terms, each rounded once.
        assert!((found.log_z - log_z).abs() < 1e-12, "{found:?}");
        assert!(!found.is_tolerable());
    }

    /// An error that sits where the weight is moves `log Z` more than its spread says.
    #[test]
    fn a_pull_at_the_weight_is_seen() {
        let found = off_by(|i| if i % 2 == 0 { -0.0625 } else { 0.0 });
        // Mean -1/32, spread 1/32: within what is tolerated.
        assert!((found.spread - 0.03125).abs() < 1e-15);
        let rest = (-2f64).exp();
        let log_z = ((0.0625f64.exp() + rest) / (1.0 + rest)).ln() - 0.03125;
        // A thousand terms, each rounded once.
        assert!((found.log_z - log_z).abs() < 1e-12, "{found:?}");
        assert!(found.is_tolerable());
    }

    #[test]
    fn a_constant_is_no_error() {
        let found = off_by(|_| 4.0);
        assert!(found.spread < 1e-15 && found.log_z.abs() < 1e-12, "{found:?}");
    }

    #[test]
    fn energies_that_are_not_finite_are_an_error_unless_they_should_be() {
        assert!(!off_by(|i| if i == 7 { f64::NAN } else { 0.0 }).is_tolerable());
        assert!(!off_by(|i| if i == 7 { f64::INFINITY } else { 0.0 }).is_tolerable());
        let found = EnergyError::between(&[scored(1.0), scored(f64::NAN)], &[1.0, f64::NAN]);
        assert_eq!(found, EnergyError { spread: 0.0, log_z: 0.0 });
    }
}
