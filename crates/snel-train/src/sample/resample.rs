//! Sampling-importance-resampling (Rubin 1988).
//!
//! `M` proposal samples, the pool, are streamed twice: the first pass sums their weights, the
//! second repeats each sample in proportion to its weight. The repeats are systematic: one uniform
//! number `u`, and the points at `(i + u) / n` of the cumulated weight, so sample `m` with share
//! `w_m` of the weight appears `floor(n w_m)` or `ceil(n w_m)` times, `n w_m` on average.
//!
//! Memory is that of the `n` points and one block of the pool, whatever `M` is. The points follow
//! the model in the limit `M -> inf`; the effective sample size says how far away that is.

use std::ops::Range;

use serde::Serialize;
use snel_core::engine::{DensityEngine, SampleSet};
use snel_core::lse::LogWeights;
use snel_core::philox::{Key, Stream, uniform};
use snel_core::shuffle::Permutation;

use super::{SampleError, zeros};
use crate::evaluate::{MAX_SHARE, for_each_block, log_weight, log_weights};

/// The sample number of the one uniform number; neither a proposal sample nor a chain has it.
const OFFSET: u64 = u64::MAX;

/// Points from a pool of proposal samples.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Resampled {
    /// `n x D` values, row-major, in the model's units; their order means nothing.
    #[serde(skip)]
    pub points: Vec<f32>,
    /// Effective size of the pool.
    pub ess: f64,
    /// The same as a fraction of the samples with a usable log-weight.
    pub ess_fraction: f64,
    /// Proposal samples, `M`.
    pub pool: u64,
    /// Distinct proposal samples among the points.
    pub unique: u64,
    /// What a reader must know before using the points.
    pub warnings: Vec<String>,
}

/// A pool for `count` points: 100 samples a point, and no fewer than 100 000.
pub fn default_pool(count: u64) -> u64 {
    count.saturating_mul(100).max(100_000)
}

/// Draws `count` points from the engine's model, of `dim` values each, out of `pool` proposal
/// samples. Each `seed` has its own pool.
///
/// # Errors
/// [`SampleError::NoWeight`] and [`SampleError::Memory`].
pub fn resample(
    engine: &dyn DensityEngine,
    dim: usize,
    seed: u32,
    count: u64,
    pool: u64,
) -> Result<Resampled, SampleError> {
    let set = SampleSet { stream: Stream::Sample, step: seed };
    let mut points = zeros(count, dim).ok_or(SampleError::Memory { count, dim })?;
    let (weights, not_finite) = log_weights(engine, dim, set, pool);
    if weights.max() == f64::NEG_INFINITY {
        return Err(SampleError::NoWeight { pool, not_finite });
    }
    let key = Key::new(seed, Stream::Sample);
    let order = Permutation::new(key, !seed, count);
    let mut comb = Comb::new(count, uniform(key.block(0, OFFSET, 0)[0]));
    let mut place = |x: &[f32], places: Range<u64>| {
        for place in places {
            let start = order.at(place) as usize * dim;
            points[start..start + dim].copy_from_slice(x);
        }
    };
    let mut last = vec![0.0; dim];
    let mut unique = 0;
    for_each_block(engine, dim, set, pool, |x, scored| {
        for (m, s) in scored.iter().enumerate() {
            let lw = log_weight(s);
            if lw.is_finite() {
                let x = &x[m * dim..][..dim];
                let places = comb.take((lw - weights.log_sum()).exp());
                unique += u64::from(!places.is_empty());
                place(x, places);
                last.copy_from_slice(x);
            }
        }
    });
    place(&last, comb.rest());
    let warnings = warnings(&weights, not_finite, count, unique);
    let (ess, ess_fraction) = (weights.ess(), weights.ess() / weights.count() as f64);
    Ok(Resampled { points, ess, ess_fraction, pool, unique, warnings })
}

/// Teeth at `u, 1 + u, ..., n - 1 + u` over the cumulated shares times `n`.
pub(super) struct Comb {
    teeth: u64,
    offset: f64,
    next: u64,
    cumulated: f64,
}

impl Comb {
    pub(super) fn new(teeth: u64, offset: f64) -> Self {
        Self { teeth, offset, next: 0, cumulated: 0.0 }
    }

    /// The teeth that fall on the next share.
    pub(super) fn take(&mut self, share: f64) -> Range<u64> {
        self.cumulated += self.teeth as f64 * share;
        let start = self.next;
        while self.next < self.teeth && self.next as f64 + self.offset < self.cumulated {
            self.next += 1;
        }
        start..self.next
    }

    /// What rounding left over: the shares may sum to a little less than one.
    pub(super) fn rest(&self) -> Range<u64> {
        self.next..self.teeth
    }
}

fn warnings(weights: &LogWeights, not_finite: u64, count: u64, unique: u64) -> Vec<String> {
    let mut warnings = Vec::new();
    if weights.ess() < count as f64 {
        warnings.push(format!(
            "only {:.0} of {} proposal samples are effective, fewer than the {count} points: they \
             repeat ({unique} are distinct); draw from a larger pool, or refine with Langevin steps",
            weights.ess(),
            weights.count()
        ));
    }
    if weights.largest_share() > MAX_SHARE {
        warnings.push(format!(
            "one sample carries {:.1} % of the weight: the proposal misses part of the model, and \
             so may the points",
            100.0 * weights.largest_share()
        ));
    }
    if not_finite > 0 {
        warnings.push(format!(
            "{not_finite} log-weights were not finite and are left out: the points may miss part \
             of the model"
        ));
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Shares that sum to less than one leave teeth over, and none is lost.
    #[test]
    fn comb_keeps_its_last_tooth() {
        let mut comb = Comb::new(4, 0.999_999);
        assert_eq!((comb.take(0.5), comb.take(0.5 - 1e-6)), (0..2, 2..3));
        assert_eq!(comb.rest(), 3..4);
    }
}
