//! Chains of a step: where they start, the density that they move in, where they come to.

use std::ops::Range;

use ndarray::{Array1, Array2, ArrayView2};

use super::engine::ReferenceEngine;
use super::network;
use crate::engine::EngineError;
use crate::mcmc::{self, Mcmc, Move, Places, Start, Target, Walkers};
use crate::plan::StepPlan;
use crate::problem::{Model, Problem};
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

impl ReferenceEngine {
    /// Where the chains `range` of a step start, one a row.
    fn starts(
        &self,
        mcmc: &Mcmc,
        plan: &StepPlan,
        range: Range<u64>,
    ) -> Result<Array2<f64>, EngineError> {
        let (seed, dim) = (self.host.problem.seed, self.host.problem.model.dim());
        let mut x_nd = self.proposal_samples(plan, range.clone());
        match mcmc.start {
            Start::Proposal => {}
            Start::Data => {
                for (chain, mut x) in range.zip(x_nd.outer_iter_mut()) {
                    let position = chain % plan.batch();
                    x.assign(&self.minibatch(plan, position..position + 1)?.row(0));
                }
            }
            Start::Persistent(chains) => {
                let first = range.start;
                chains.for_each_slot(seed, plan.step.into(), range, |chain, slot| {
                    if !chains.starts_anew(seed, plan.step, chain) {
                        let place = self.host.state.chains[slot * dim..][..dim].iter();
                        let place = place.map(|&x| f64::from(x)).collect::<Array1<f64>>();
                        x_nd.row_mut((chain - first) as usize).assign(&place);
                    }
                });
            }
        }
        Ok(x_nd)
    }

    /// Where the chains `range` of a step come to, one a row.
    pub(super) fn walk(
        &self,
        mcmc: &Mcmc,
        plan: &StepPlan,
        range: Range<u64>,
        tally: &mut Tally,
    ) -> Result<Array2<f64>, EngineError> {
        let Problem { model, seed, .. } = &*self.host.problem;
        let mut x_nd = self.starts(mcmc, plan, range.clone())?;
        let parameters = self.parameters();
        let mut target = ModelTarget { model, parameters: &parameters };
        let mut walkers = Walkers::new(model.dim(), 1, x_nd.nrows());
        walkers.begin(x_nd.nrows()).iter_mut().zip(&x_nd).for_each(|(to, x)| *to = *x);
        let to = Move { kernel: mcmc.kernel, size: self.host.state.step_size, weights: &[1.0] };
        let mut accepted = 0.0;
        for number in 0..mcmc.moves {
            accepted += walkers.advance(&mut target, to, |i| {
                let chain = range.start + i as u64;
                mcmc::draws_of_move(*seed, model.dim(), plan.step, chain, number)
            });
        }
        tally.add_acceptance(accepted / f64::from(mcmc.moves));
        x_nd.iter_mut().zip(&walkers.here().x).for_each(|(to, x)| *to = *x);
        Ok(x_nd)
    }
}
