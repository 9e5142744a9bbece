//! Points moved towards the model by Metropolis-adjusted Langevin steps ([`super::chains`]).
//!
//! With a fixed step size, points that follow the model still do after any number of steps.

use serde::Serialize;
use snel_core::philox::{Key, Stream};
use snel_core::problem::Model;

use super::chains::{Chains, Move, TARGET, Target, adapted, first_size};
use super::{SampleError, check, on_threads};

/// How to refine.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Langevin {
    /// Steps of each chain.
    pub steps: u32,
    /// `s`, the standard deviation of a step's noise in the model's units. If none is given it is
    /// adapted to an acceptance of 0.574 during the first half of the steps and then kept: a step size that
    /// follows the chains makes a move depend on the past, and such chains need not keep the
    /// model's distribution. The second half is free of that.
    pub step_size: Option<f64>,
    /// Threads; zero is taken as one.
    pub threads: usize,
}

/// What refining did.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Refined {
    /// Mean acceptance probability over the steps with the final step size; none without any.
    pub acceptance: Option<f64>,
    /// The final step size, `s`.
    pub step_size: f64,
    /// Chains that never accepted a proposal.
    pub unmoved: u64,
    /// What a reader must know before using the points.
    pub warnings: Vec<String>,
}

/// Moves each of `points` (`n x D` values, row-major, in the model's units) along a chain of its
/// own. `parameters` is the flat vector. Refining twice under one seed repeats the noise.
///
/// # Errors
/// [`SampleError`]; the points are then as they were.
pub fn refine(
    model: &Model,
    parameters: &[f32],
    seed: u32,
    points: &mut [f32],
    how: &Langevin,
) -> Result<Refined, SampleError> {
    check(model, parameters, points)?;
    if let Some(s) = how.step_size.filter(|s| !(s.is_finite() && *s > 0.0)) {
        return Err(SampleError::StepSize(s));
    }
    let target = Target::new(model, parameters, None);
    on_threads(how.threads, || moved(&target, Key::new(seed, Stream::Sample), points, how))
}

fn moved(target: &Target, key: Key, points: &mut [f32], how: &Langevin) -> Refined {
    let dim = target.model.dim();
    let mut chains = Chains::new(target, 0, points);
    let count = chains.len();
    let mut size = how.step_size.unwrap_or_else(|| first_size(dim));
    let adapting = if how.step_size.is_none() && count > 0 { how.steps / 2 } else { 0 };
    let mut accepted = 0.0;
    for step in 0..how.steps {
        let sum = chains.advance(target, Move { key, step, size, temperature: 1.0 });
        if step < adapting {
            size = adapted(size, step, sum / count as f64);
        } else {
            accepted += sum;
        }
    }
    let moves = f64::from(how.steps - adapting) * count as f64;
    for (x, &value) in points.iter_mut().zip(chains.points().flatten()) {
        *x = value as f32;
    }
    let acceptance = (moves > 0.0).then(|| accepted / moves);
    let unmoved = chains.unmoved();
    let warnings = warnings(acceptance, size, unmoved, count);
    Refined { acceptance, step_size: size, unmoved, warnings }
}

fn warnings(acceptance: Option<f64>, size: f64, unmoved: u64, chains: usize) -> Vec<String> {
    let mut warnings = Vec::new();
    if let Some(a) = acceptance.filter(|a| !(0.2..=0.9).contains(a)) {
        warnings.push(format!(
            "Langevin steps of size {size:.3e} are accepted with probability {a:.2}, far from \
             {TARGET}: leave the step size to adapt, and take more steps"
        ));
    }
    if acceptance.is_some() && unmoved > 0 {
        warnings.push(format!(
            "{unmoved} of {chains} chains never moved: they are where they began; take more steps"
        ));
    }
    warnings
}
