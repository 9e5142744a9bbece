//! The normaliser of a one-dimensional `y` by quadrature, and what follows from it.

use serde::{Deserialize, Serialize};
use snel_core::conditional::{ConditionalEngine, RowSamples};
use snel_core::engine::{SampleSet, Scored};
use snel_core::lse::LogWeights;
use snel_core::philox::Stream;
use snel_core::rows::Rows;

use super::rows::for_each_block;
use crate::evaluate::log_weight;
use crate::file::FileError;

/// Rows that are checked, at most.
const ROWS: u64 = 200;
/// Nodes of the midpoint rule.
const NODES: usize = 4000;
/// How far the range goes beyond the observed values, standard deviations of the training rows.
const MARGIN: f64 = 4.0;

/// The check of the first rows of a split, nats in standardised units.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Quadrature {
    /// Rows that were checked.
    pub rows: u64,
    /// The range of `y` that was integrated over; what is beyond it is not in the numbers.
    pub range: [f64; 2],
    /// Mean log-likelihood of these rows with the integrated normaliser.
    pub log_likelihood: f64,
    /// Mean of `log Ẑ(x) - log Z(x)`: of the samples against the integral.
    pub log_z_error: f64,
    /// The largest magnitude of that difference.
    pub largest_log_z_error: f64,
    /// Root mean square of `b(x) - log Z(x)`.
    pub b_error: f64,
    /// Mean over the rows' `x` of the Kullback-Leibler divergence of the model from the true
    /// conditional density, where that is known.
    pub divergence: Option<f64>,
}

/// A true log-density of `y` given `x`, both in standardised units.
pub type Truth<'a> = dyn Fn(&[f32], f64) -> f64 + 'a;

/// Integrates over `y` at the first rows. None unless `y` has one value.
///
/// # Errors
/// A read error of the rows.
pub fn quadrature(
    engine: &dyn ConditionalEngine,
    rows: &dyn Rows,
    samples: u64,
    truth: Option<&Truth<'_>>,
) -> Result<Option<Quadrature>, FileError> {
    let (inputs, targets) = (engine.model().inputs, engine.model().targets);
    if targets != 1 {
        return Ok(None);
    }
    let (mut x, mut y) = (Vec::new(), Vec::new());
    for_each_block(rows, inputs, ROWS, |block| {
        x.extend_from_slice(&block.x);
        y.extend_from_slice(&block.y);
    })?;
    let mut range = [f64::INFINITY, f64::NEG_INFINITY];
    for_each_block(rows, inputs, u64::MAX, |block| {
        for &y in &block.y {
            range = [range[0].min(f64::from(y) - MARGIN), range[1].max(f64::from(y) + MARGIN)];
        }
    })?;
    let step = (range[1] - range[0]) / NODES as f64;
    let nodes: Vec<f32> = (0..NODES).map(|i| (range[0] + (i as f64 + 0.5) * step) as f32).collect();
    let n = y.len();
    let (mut b, mut observed) = (vec![0.0; n], vec![Scored::default(); n]);
    engine.log_normalisers(&x, &mut b);
    engine.score(&x, &y, &mut observed);
    let mut sum = Quadrature {
        rows: n as u64,
        range,
        log_likelihood: 0.0,
        log_z_error: 0.0,
        largest_log_z_error: 0.0,
        b_error: 0.0,
        divergence: truth.map(|_| 0.0),
    };
    let set = SampleSet { stream: Stream::Evaluation, step: 0 };
    for (i, x) in x.chunks(inputs).enumerate() {
        let mut scored = vec![Scored::default(); NODES];
        engine.score(x, &nodes, &mut scored);
        let mut integral = LogWeights::default();
        scored.iter().for_each(|s| {
            integral.add(s.tilted());
        });
        let log_z = integral.log_sum() + step.ln();
        let m = samples as usize;
        let (mut drawn, mut weights) = (vec![0.0; m], LogWeights::default());
        let mut of_samples = vec![Scored::default(); m];
        let draw = RowSamples { set, first_row: i as u64, per_row: samples, range: 0..samples };
        engine.score_samples(&draw, x, &mut drawn, &mut of_samples);
        of_samples.iter().for_each(|s| {
            weights.add(log_weight(s));
        });
        let error = weights.log_mean() - log_z;
        sum.log_likelihood += observed[i].tilted() - log_z;
        sum.log_z_error += error;
        sum.largest_log_z_error = sum.largest_log_z_error.max(error.abs());
        sum.b_error += (f64::from(b[i]) - log_z).powi(2);
        if let (Some(truth), Some(divergence)) = (truth, &mut sum.divergence) {
            for (node, s) in nodes.iter().zip(&scored) {
                let log_p = truth(x, f64::from(*node));
                if log_p > f64::NEG_INFINITY {
                    *divergence += step * log_p.exp() * (log_p - (s.tilted() - log_z));
                }
            }
        }
    }
    let n = n as f64;
    sum.log_likelihood /= n;
    sum.log_z_error /= n;
    sum.b_error = (sum.b_error / n).sqrt();
    sum.divergence = sum.divergence.map(|d| d / n);
    Ok(Some(sum))
}
