//! The chains of a tile: where they start, and the density that they move in.
//!
//! Moves are those of [`snel_core::mcmc`], in f64; energies, densities and their gradients are in f32.
//! Nothing here is allocated in a step.

use std::ops::Range;

use snel_core::engine::{EngineError, SampleSet};
use snel_core::mcmc::{Fared, Mcmc, Places, Start, Target, Walk, Walkers};
use snel_core::philox::Stream;
use snel_core::plan::StepPlan;
use snel_core::statistics::Tally;

use super::{Parameters, Shared, Workspace, length, ratio};
use crate::buffer::{Buffer, stride, zeros};
use crate::density::{GradientScratch, Scratch, TileDensity};
use crate::layer::RowsMut;
use crate::network::Network;
use crate::tile::{ROOM, TILE, Tile};

/// What a thread needs for its chains, besides a network and a tile.
pub(super) struct ChainSpace {
    walkers: Walkers,
    room: Room,
}

/// Memory of a [`ModelTarget`].
struct Room {
    densities: GradientScratch,
    energies: [f32; TILE],
    log_base: [f32; TILE],
    /// Of the energy, `T x D`, rows a stride apart.
    energy_gradient: Buffer,
    stride: usize,
    /// Of the base density, `D x T`.
    base_gradient: Vec<f32>,
}

/// `log d - E` by a thread's network.
struct ModelTarget<'a> {
    network: &'a mut Network,
    tile: &'a mut Tile,
    scratch: &'a mut Scratch,
    room: &'a mut Room,
    parameters: Parameters<'a>,
    base: Option<&'a TileDensity>,
}

impl ChainSpace {
    pub(super) fn new(dim: usize) -> Self {
        let room = Room {
            densities: GradientScratch::new(dim),
            energies: [0.0; TILE],
            log_base: [0.0; TILE],
            energy_gradient: zeros(ROOM * stride(dim)),
            stride: stride(dim),
            base_gradient: vec![0.0; dim * TILE],
        };
        Self { walkers: Walkers::new(dim, 1, TILE), room }
    }
}

impl Target for ModelTarget<'_> {
    fn evaluate(&mut self, places: &mut Places) {
        let Self { network, tile, scratch, room, parameters, base } = self;
        let Places { x, value, gradient } = places;
        tile.set_places(x);
        let Room { densities, energies, log_base, energy_gradient, stride, base_gradient } =
            &mut **room;
        let Parameters { flat, packed, .. } = *parameters;
        network.forward(flat, packed, tile, energies);
        let to = RowsMut { values: &mut *energy_gradient, stride: *stride };
        network.point_gradients(flat, packed, tile, to);
        let n = tile.len();
        log_base[..n].fill(0.0);
        base_gradient.fill(0.0);
        if let Some(base) = base {
            base.add_gradient(tile, scratch, densities, &mut log_base[..n], base_gradient);
        }
        let rows = gradient.chunks_exact_mut(tile.dim()).zip(energy_gradient.chunks_exact(*stride));
        for (t, (value, (gradient, of_energy))) in value.iter_mut().zip(rows).enumerate() {
            *value = f64::from(log_base[t]) - f64::from(energies[t]);
            for (d, (g, e)) in gradient.iter_mut().zip(of_energy).enumerate() {
                *g = f64::from(base_gradient[d * TILE + t]) - f64::from(*e);
            }
        }
    }
}

impl Workspace {
    /// Makes `places` the points and fills in `log d - E` there and its gradient, if the objective has
    /// chains.
    pub(crate) fn evaluate(
        &mut self,
        shared: &Shared,
        parameters: Parameters<'_>,
        places: &mut Places,
    ) {
        let Self { network, tile, scratch, chains, .. } = self;
        let Some(ChainSpace { room, .. }) = chains else { return };
        let base = shared.base_density();
        ModelTarget { network, tile, scratch, room, parameters, base }.evaluate(places);
    }

    /// Makes the tile's points the starts of the chains `tile`.
    fn start_chains(
        &mut self,
        shared: &Shared,
        parameters: Parameters<'_>,
        plan: &StepPlan,
        mcmc: &Mcmc,
        tile: Range<u64>,
    ) -> Result<(), EngineError> {
        if mcmc.start == Start::Data {
            let (dim, n) = (shared.problem.model.dim(), plan.batch());
            let numbers = &mut self.row_numbers[..length(&tile)];
            let mut chain = tile.start;
            let mut rest = &mut *numbers;
            while !rest.is_empty() {
                let position = chain % n;
                let count = (n - position).min(rest.len() as u64);
                let (now, later) = rest.split_at_mut(count as usize);
                plan.rows(position, now);
                (chain, rest) = (chain + count, later);
            }
            let values = &mut self.row_values[..numbers.len() * dim];
            shared.rows.gather(numbers, values)?;
            self.tile.set_rows(values);
            return Ok(());
        }
        let set = SampleSet { stream: Stream::Proposal, step: plan.step };
        self.draw(shared, set, tile.clone());
        let (seed, step) = (shared.problem.seed, plan.step);
        if let Start::Persistent(chains) = mcmc.start {
            let (first, dim) = (tile.start, shared.problem.model.dim());
            chains.for_each_slot(seed, step.into(), tile, |chain, slot| {
                if !chains.starts_anew(seed, step, chain) {
                    let place = parameters.chains[slot * dim..][..dim].iter().copied();
                    self.tile.set_point((chain - first) as usize, place);
                }
            });
        }
        Ok(())
    }

    /// Moves the chains `range` of the step, and goes backward where they come to.
    pub(super) fn chain_tile(
        &mut self,
        shared: &Shared,
        parameters: Parameters<'_>,
        plan: &StepPlan,
        mcmc: &Mcmc,
        range: Range<u64>,
        tally: &mut Tally,
    ) -> Result<(), EngineError> {
        self.start_chains(shared, parameters, plan, mcmc, range.clone())?;
        tally.add_moves(self.walk(shared, parameters, plan, mcmc, range));
        self.forward(parameters);
        self.log_densities(shared, false);
        let c = shared.problem.objective.sample_cotangent(1.0, ratio(plan));
        self.cotangents[..self.tile.len()].fill((c / plan.samples() as f64) as f32);
        for t in 0..self.tile.len() {
            tally.add_chain(f64::from(self.log_base[t]) - f64::from(self.energies[t]));
        }
        self.backward(parameters);
        Ok(())
    }

    /// Moves the tile's points, which are chains `range` of the step, to where they come to.
    fn walk(
        &mut self,
        shared: &Shared,
        parameters: Parameters<'_>,
        plan: &StepPlan,
        mcmc: &Mcmc,
        range: Range<u64>,
    ) -> Fared {
        let Self { network, tile, scratch, chains, .. } = self;
        let Some(ChainSpace { walkers, room }) = chains else { return Fared::default() };
        let seed = shared.problem.seed;
        tile.copy_places(walkers.begin(length(&range)));
        let base = shared.base_density();
        let mut target = ModelTarget { network, tile: &mut *tile, scratch, room, parameters, base };
        let (step, first) = (plan.step, range.start);
        let walk = Walk { mcmc: *mcmc, size: parameters.step_size, seed, step, first };
        let fared = walkers.walk(&mut target, walk);
        tile.set_places(&walkers.here().x);
        fared
    }
}
