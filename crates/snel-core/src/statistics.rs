//! The scalars of a step: sums over rows and over sample weights.
//!
//! Weights are relative to `b`: `w = exp(u)`, `u = lw - b`, so their mean is `exp(-b) Ẑ`, one at
//! the optimum. A chunk's points are added one after the other ([`Tally`]); chunks are added
//! exactly ([`Statistics`]), so their order and grouping cannot be seen.

mod bytes;
mod words;

use crate::exact_sum::ExactSum;
use crate::mcmc::Fared;
use crate::objective::WEIGHT_LIMIT;

pub(crate) use bytes::BYTES;
pub(crate) use words::WORDS;

/// Sums over the points of one chunk, in order.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tally {
    /// Data rows.
    pub rows: u64,
    /// Proposal samples.
    pub samples: u64,
    /// Samples whose weight is beyond [`WEIGHT_LIMIT`]; they are in no sum.
    pub overflows: u64,
    /// Energies and densities that are NaN or infinite where that is not legal.
    pub not_finite: u64,
    /// Chains of the model, or of a prior, that were moved.
    pub chains: u64,
    /// Chains of posteriors that were moved.
    pub posteriors: u64,
    /// Largest `u`, overflows included; `-inf` if there is no sample.
    pub max_u: f64,
    row_log_density: f64,
    weight: f64,
    weight_squared: f64,
    chain_log_density: f64,
    acceptance: f64,
    inverse_acceptance: f64,
    posterior_acceptance: f64,
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            rows: 0,
            samples: 0,
            overflows: 0,
            not_finite: 0,
            chains: 0,
            posteriors: 0,
            max_u: f64::NEG_INFINITY,
            row_log_density: 0.0,
            weight: 0.0,
            weight_squared: 0.0,
            chain_log_density: 0.0,
            acceptance: 0.0,
            inverse_acceptance: 0.0,
            posterior_acceptance: 0.0,
        }
    }
}

impl Tally {
    /// This tally with the sums of its finite rows' `log d - E`, and of its usable weights and
    /// their squares, for an engine that adds points elsewhere.
    #[must_use]
    pub fn with_sums(self, row_log_density: f64, weight: f64, weight_squared: f64) -> Self {
        Self { row_log_density, weight, weight_squared, ..self }
    }

    /// Adds a row by its unnormalised log-density `log d - E`.
    #[inline]
    pub fn add_row(&mut self, tilted: f64) {
        self.rows += 1;
        if tilted.is_finite() {
            self.row_log_density += tilted;
        } else {
            self.not_finite += 1;
        }
    }

    /// Adds a sample by `u` and `weight = exp(u)`; true if the weight is usable (`u = -inf` is: a
    /// weight of zero).
    #[inline]
    pub fn add_sample(&mut self, u: f64, weight: f64) -> bool {
        self.samples += 1;
        self.max_u = self.max_u.max(u);
        if u.is_nan() {
            self.not_finite += 1;
            return false;
        }
        if u > WEIGHT_LIMIT {
            self.overflows += 1;
            return false;
        }
        self.weight += weight;
        self.weight_squared += weight * weight;
        true
    }

    /// Adds the place that a chain has come to, by its unnormalised log-density.
    #[inline]
    pub fn add_chain(&mut self, tilted: f64) {
        self.chains += 1;
        if tilted.is_finite() {
            self.chain_log_density += tilted;
        } else {
            self.not_finite += 1;
        }
    }

    /// Adds how the moves of some chains fared.
    pub fn add_moves(&mut self, fared: Fared) {
        self.acceptance += fared.acceptance;
        self.inverse_acceptance += fared.inverse_acceptance;
    }

    /// Adds `chains` chains of posteriors, by how their moves fared.
    pub fn add_posteriors(&mut self, chains: u64, fared: Fared) {
        self.posteriors += chains;
        self.posterior_acceptance += fared.acceptance;
    }
}

/// Sums over the rows and samples of some chunks.
#[derive(Debug, Clone)]
pub struct Statistics {
    /// Data rows.
    pub rows: u64,
    /// Proposal samples.
    pub samples: u64,
    /// Samples whose weight is beyond [`WEIGHT_LIMIT`]; they are in no sum.
    pub overflows: u64,
    /// Energies, densities and gradients that are NaN or infinite where that is not legal.
    pub not_finite: u64,
    /// Chains of the model, or of a prior, that were moved.
    pub chains: u64,
    /// Chains of posteriors that were moved.
    pub posteriors: u64,
    /// Largest `u`, overflows included; `-inf` if there is no sample.
    pub max_u: f64,
    row_log_density: ExactSum,
    weight: ExactSum,
    weight_squared: ExactSum,
    chain_log_density: ExactSum,
    acceptance: ExactSum,
    inverse_acceptance: ExactSum,
    posterior_acceptance: ExactSum,
}

impl Default for Statistics {
    fn default() -> Self {
        Self {
            rows: 0,
            samples: 0,
            overflows: 0,
            not_finite: 0,
            chains: 0,
            posteriors: 0,
            max_u: f64::NEG_INFINITY,
            row_log_density: ExactSum::default(),
            weight: ExactSum::default(),
            weight_squared: ExactSum::default(),
            chain_log_density: ExactSum::default(),
            acceptance: ExactSum::default(),
            inverse_acceptance: ExactSum::default(),
            posterior_acceptance: ExactSum::default(),
        }
    }
}

impl Statistics {
    /// Adds a chunk.
    pub fn add(&mut self, chunk: &Tally) {
        self.rows += chunk.rows;
        self.samples += chunk.samples;
        self.overflows += chunk.overflows;
        self.not_finite += chunk.not_finite;
        self.chains += chunk.chains;
        self.posteriors += chunk.posteriors;
        self.max_u = self.max_u.max(chunk.max_u);
        for (sum, value) in [
            (&mut self.row_log_density, chunk.row_log_density),
            (&mut self.weight, chunk.weight),
            (&mut self.weight_squared, chunk.weight_squared),
            (&mut self.chain_log_density, chunk.chain_log_density),
            (&mut self.acceptance, chunk.acceptance),
            (&mut self.inverse_acceptance, chunk.inverse_acceptance),
            (&mut self.posterior_acceptance, chunk.posterior_acceptance),
        ] {
            // Terms are finite, but their sum may be beyond a double.
            self.not_finite += u64::from(!sum.add(value));
        }
    }

    /// Adds all that `other` holds.
    pub fn merge(&mut self, other: &Self) {
        // No honest count reaches the end of an u64; a lying peer must not panic us.
        for (mine, theirs) in [
            (&mut self.rows, other.rows),
            (&mut self.samples, other.samples),
            (&mut self.overflows, other.overflows),
            (&mut self.not_finite, other.not_finite),
            (&mut self.chains, other.chains),
            (&mut self.posteriors, other.posteriors),
        ] {
            *mine = mine.saturating_add(theirs);
        }
        self.max_u = self.max_u.max(other.max_u);
        self.row_log_density.merge(&other.row_log_density);
        self.weight.merge(&other.weight);
        self.weight_squared.merge(&other.weight_squared);
        self.chain_log_density.merge(&other.chain_log_density);
        self.acceptance.merge(&other.acceptance);
        self.inverse_acceptance.merge(&other.inverse_acceptance);
        self.posterior_acceptance.merge(&other.posterior_acceptance);
    }

    /// All counts, in the order of their forms for others.
    fn counts(&self) -> [u64; 6] {
        let Self { rows, samples, overflows, not_finite, chains, posteriors, .. } = *self;
        [rows, samples, overflows, not_finite, chains, posteriors]
    }

    /// All sums, in the order of their forms for others.
    fn sums(&self) -> [&ExactSum; 7] {
        [
            &self.row_log_density,
            &self.weight,
            &self.weight_squared,
            &self.chain_log_density,
            &self.acceptance,
            &self.inverse_acceptance,
            &self.posterior_acceptance,
        ]
    }

    /// Mean of `log d - E` over rows, nats.
    pub fn mean_row(&self) -> f64 {
        self.row_log_density.value() / self.rows as f64
    }

    /// Mean of `log d - E` over rows minus its mean over chains, nats: what contrastive divergence
    /// raises, zero in the mean once rows and chains cannot be told apart by the energy.
    pub fn contrast(&self) -> f64 {
        self.mean_row() - self.chain_log_density.value() / self.chains as f64
    }

    /// Mean acceptance probability of the moves of chains.
    pub fn acceptance(&self) -> f64 {
        self.acceptance.value() / self.chains as f64
    }

    /// Harmonic mean over chains of the acceptance probabilities of their moves: chains that hardly move count
    /// for more than those that move freely.
    pub fn harmonic_acceptance(&self) -> f64 {
        self.chains as f64 / self.inverse_acceptance.value()
    }

    /// Mean acceptance probability of the moves of the chains of posteriors; none if no such chain was moved.
    pub fn posterior_acceptance(&self) -> Option<f64> {
        (self.posteriors > 0).then(|| self.posterior_acceptance.value() / self.posteriors as f64)
    }

    /// Mean weight, `exp(-b) Ẑ`; one without samples, for such a model is normalised at `b = 0`.
    pub fn mean_weight(&self) -> f64 {
        if self.samples == 0 { 1.0 } else { self.weight.value() / self.samples as f64 }
    }

    /// `log Ẑ - b`, the residual of self-normalisation.
    pub fn residual(&self) -> f64 {
        self.mean_weight().ln()
    }

    /// The stochastic SNL bound at `b`, nats a row: `mean(log d - E) - b - exp(-b) Ẑ + 1`.
    pub fn bound(&self, b: f64) -> f64 {
        self.mean_row() - b - self.mean_weight() + 1.0
    }

    /// Effective sample size as a fraction of the samples; one without any.
    pub fn ess_fraction(&self) -> f64 {
        if self.samples == 0 {
            return 1.0;
        }
        let (s, s2) = (self.weight.value(), self.weight_squared.value());
        if s2 > 0.0 { s * s / s2 / self.samples as f64 } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bound_ess_and_residual() {
        let mut tally = Tally::default();
        tally.add_row(-1.0);
        tally.add_row(-3.0);
        for w in [1.0f64, 2.0, 3.0] {
            assert!(tally.add_sample(w.ln(), w));
        }
        assert!(tally.add_sample(f64::NEG_INFINITY, 0.0));
        let mut s = Statistics::default();
        s.add(&tally);
        assert_eq!(s.mean_row(), -2.0);
        assert_eq!(s.mean_weight(), 1.5);
        assert_eq!(s.bound(0.25), -2.0 - 0.25 - 1.5 + 1.0);
        assert!((s.ess_fraction() - 36.0 / 14.0 / 4.0).abs() < 1e-15);
        assert_eq!(s.residual(), 1.5f64.ln());
    }

    #[test]
    fn bad_values_are_counted() {
        let mut tally = Tally::default();
        tally.add_row(f64::NAN);
        for u in [f64::NAN, WEIGHT_LIMIT + 1.0, f64::INFINITY] {
            assert!(!tally.add_sample(u, u.exp()));
        }
        let mut s = Statistics::default();
        s.add(&tally);
        assert_eq!((s.rows, s.samples, s.overflows, s.not_finite), (1, 3, 2, 2));
        assert_eq!(s.mean_weight(), 0.0);
    }
}
