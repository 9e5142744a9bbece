//! Chains of a step: where they start, the density that they move in, where they come to.

use std::ops::Range;

use ndarray::{Array1, Array2, ArrayView2};

use super::engine::ReferenceEngine;
use super::network;
use crate::engine::EngineError;
use crate::mcmc::{self, Mcmc, Move, Places, Start, Target, Walkers};
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

/// Chains of a step, from number `first` on.
pub(super) struct Chains {
    pub(super) mcmc: Mcmc,
    /// Step size of a move.
    pub(super) size: f64,
    pub(super) seed: u32,
    pub(super) step: u32,
    pub(super) first: u64,
}

impl Chains {
    /// Those that persist go on at `places`, one a row, unless they start anew.
    pub(super) fn go_on(&self, places: &[f32], x_nd: &mut Array2<f64>) {
        let Self { mcmc, seed, step, first, .. } = *self;
        let Some(chains) = mcmc.persistent() else { return };
        let (range, dim) = (first..first + x_nd.nrows() as u64, x_nd.ncols());
        chains.for_each_slot(seed, step.into(), range, |chain, slot| {
            if !chains.starts_anew(seed, step, chain) {
                let place = places[slot * dim..][..dim].iter().map(|&x| f64::from(x));
                x_nd.row_mut((chain - first) as usize).assign(&place.collect::<Array1<f64>>());
            }
        });
    }

    /// Moves the chains, one a row, to where they come to; returns the sum of their acceptances.
    pub(super) fn walk(&self, target: &mut dyn Target, x_nd: &mut Array2<f64>) -> f64 {
        let Self { mcmc, size, seed, step, first } = *self;
        let dim = x_nd.ncols();
        let mut walkers = Walkers::new(dim, 1, x_nd.nrows());
        walkers.begin(x_nd.nrows()).iter_mut().zip(&*x_nd).for_each(|(to, x)| *to = *x);
        let to = Move { kernel: mcmc.kernel, size, weights: &[1.0] };
        let mut accepted = 0.0;
        for number in 0..mcmc.moves {
            accepted += walkers.advance(target, to, |i| {
                mcmc::draws_of_move(seed, dim, step, first + i as u64, number)
            });
        }
        x_nd.iter_mut().zip(&walkers.here().x).for_each(|(to, x)| *to = *x);
        accepted / f64::from(mcmc.moves)
    }
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
        let chains = Chains { mcmc: *mcmc, size: *step_size, seed: *seed, step, first };
        let mut x_nd = self.proposal_samples(plan, range.clone());
        if mcmc.start == Start::Data {
            for (chain, mut x) in range.zip(x_nd.outer_iter_mut()) {
                let position = chain % plan.batch();
                x.assign(&self.minibatch(plan, position..position + 1)?.row(0));
            }
        }
        chains.go_on(places, &mut x_nd);
        let parameters = self.parameters();
        let mut target = ModelTarget { model, parameters: &parameters };
        tally.add_acceptance(chains.walk(&mut target, &mut x_nd));
        Ok(x_nd)
    }
}
