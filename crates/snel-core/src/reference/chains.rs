//! Chains of a step: where they start, the density that they move in, where they come to.

use std::ops::Range;

use ndarray::{Array1, Array2, ArrayView2};

use super::engine::ReferenceEngine;
use super::network;
use crate::engine::EngineError;
use crate::mcmc::{Fared, Mcmc, Places, Start, Target, Walk, Walkers};
use crate::plan::StepPlan;
use crate::problem::{Model, Problem};
use crate::state::State;
use crate::statistics::Tally;

/// `log d(x) - E(x)`, the base density included: without it chains would follow another model.
pub struct ModelTarget<'a> {
    /// The model.
    pub model: &'a Model,
    /// The flat vector.
    pub parameters: &'a [f64],
}

impl Target for ModelTarget<'_> {
    fn evaluate(&mut self, places: &mut Places) {
        let Self { model, parameters } = self;
        let Places { x, value, gradient } = places;
        let dim = model.dim();
        let Ok(x_nd) = ArrayView2::from_shape((x.len() / dim, dim), &x[..]) else { return };
        let energies = network::energies(&model.energy, parameters, x_nd);
        value.iter_mut().zip(energies).for_each(|(value, energy)| *value = -energy);
        let of_energy = network::input_gradients(&model.energy, parameters, x_nd);
        gradient.iter_mut().zip(of_energy).for_each(|(g, of_energy)| *g = -of_energy);
        if let Some(base) = model.base_density() {
            let points = x.chunks_exact(dim).zip(gradient.chunks_exact_mut(dim));
            for (value, (x, gradient)) in value.iter_mut().zip(points) {
                *value += base.log_density(x);
                base.add_gradient(x, 1.0, gradient);
            }
        }
    }
}

/// Chains that persist go on at `places`, one a row of `x_nd`, unless they start anew.
pub(super) fn go_on(walk: Walk, places: &[f32], x_nd: &mut Array2<f64>) {
    let Walk { mcmc, seed, step, first, .. } = walk;
    let Some(chains) = mcmc.persistent() else { return };
    let (range, dim) = (first..first + x_nd.nrows() as u64, x_nd.ncols());
    chains.for_each_slot(seed, step.into(), range, |chain, slot| {
        if !chains.starts_anew(seed, step, chain) {
            let place = places[slot * dim..][..dim].iter().map(|&x| f64::from(x));
            x_nd.row_mut((chain - first) as usize).assign(&place.collect::<Array1<f64>>());
        }
    });
}

/// Moves chains, one a row, to where they come to.
pub(super) fn move_all(walk: Walk, target: &mut dyn Target, x_nd: &mut Array2<f64>) -> Fared {
    let mut walkers = Walkers::new(x_nd.ncols(), 1, x_nd.nrows());
    walkers.begin(x_nd.nrows()).iter_mut().zip(&*x_nd).for_each(|(to, x)| *to = *x);
    let fared = walkers.walk(target, walk);
    x_nd.iter_mut().zip(&walkers.here().x).for_each(|(to, x)| *to = *x);
    fared
}

impl ReferenceEngine {
    /// Where the chains `range` of a step come to, one a row.
    pub(super) fn walk(
        &self,
        mcmc: &Mcmc,
        plan: &StepPlan,
        range: Range<u64>,
        tally: &mut Tally,
    ) -> Result<Array2<f64>, EngineError> {
        let Problem { model, seed, .. } = &*self.host.problem;
        let State { chains: places, step_size, .. } = &self.host.state;
        let (first, step) = (range.start, plan.step);
        let walk = Walk { mcmc: *mcmc, size: *step_size, seed: *seed, step, first };
        let mut x_nd = self.proposal_samples(plan, range.clone());
        if mcmc.start == Start::Data {
            for (chain, mut x) in range.zip(x_nd.outer_iter_mut()) {
                let position = chain % plan.batch();
                x.assign(&self.minibatch(plan, position..position + 1)?.row(0));
            }
        }
        go_on(walk, places, &mut x_nd);
        let parameters = self.parameters();
        let mut target = ModelTarget { model, parameters: &parameters };
        tally.add_moves(move_all(walk, &mut target, &mut x_nd));
        Ok(x_nd)
    }
}
