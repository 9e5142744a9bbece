//! The gradient of one chunk, tile by tile.
//!
//! For each tile: make the points, run the energy forward, turn each energy into a cotangent, run
//! backward while the activations are still warm. Nothing outlives the tile but the gradient.

mod chains;
mod latent;

use std::ops::Range;
use std::sync::Arc;

use pulp::Scalar;
use snel_core::engine::{EngineError, SampleSet, Scored};
use snel_core::partial::{Side, Sums};
use snel_core::philox::{Key, Stream};
use snel_core::plan::{Chunk, StepPlan};
use snel_core::problem::{Base, Problem};
use snel_core::rows::Rows;
use snel_core::state::State;
use snel_core::statistics::Tally;
use snel_core::vectorise::vectorised;

use self::chains::ChainSpace;
use crate::density::{Scratch, TileDensity};
use crate::draw::{Sampler, Source};
use crate::instruction_set::InstructionSet;
use crate::math::exp;
use crate::network::Network;
use crate::packed::PackedWeights;
use crate::tile::{ROOM, TILE, Tile};

/// `exp` of less than this is zero: the smallest normal number.
pub(crate) const UNDERFLOW: f32 = -87.3;

/// What all threads share and only read: the problem, and its densities prepared for tiles.
pub(crate) struct Shared {
    pub(crate) problem: Arc<Problem>,
    pub(crate) rows: Arc<dyn Rows>,
    proposal: TileDensity,
    /// Only for a base with a density of its own.
    base: Option<TileDensity>,
}

/// The parameters of a step, flat and packed, and what chains go on from.
#[derive(Clone, Copy)]
pub(crate) struct Parameters<'a> {
    pub(crate) flat: &'a [f32],
    pub(crate) packed: &'a PackedWeights,
    /// Where persistent chains are.
    chains: &'a [f32],
    pub(crate) step_size: f64,
}

impl<'a> Parameters<'a> {
    pub(crate) fn new(state: &'a State, packed: &'a PackedWeights) -> Self {
        let State { parameters, chains, step_size, .. } = state;
        Self { flat: parameters, packed, chains, step_size: *step_size }
    }

    fn b(self) -> f64 {
        self.flat.last().map_or(0.0, |&b| f64::from(b))
    }
}

/// The buffers of one thread.
pub(crate) struct Workspace {
    network: Network,
    tile: Tile,
    sampler: Sampler,
    /// The chunk's gradient, flat.
    gradient: Vec<f32>,
    b_gradient: f64,
    row_numbers: [u64; TILE],
    row_values: Vec<f32>,
    scratch: Scratch,
    energies: [f32; TILE],
    log_base: [f32; TILE],
    log_proposal: [f32; TILE],
    /// `u` of each point and its exponential.
    u: [f32; TILE],
    weights: [f32; TILE],
    cotangents: [f32; ROOM],
    /// Only where the objective has chains.
    chains: Option<ChainSpace>,
}

impl Shared {
    pub(crate) fn new(problem: Arc<Problem>, rows: Arc<dyn Rows>) -> Self {
        let proposal = TileDensity::new(&problem.model.proposal);
        let base = match &problem.model.base {
            Base::Density(density) => Some(TileDensity::new(density)),
            Base::None | Base::Proposal => None,
        };
        Self { problem, rows, proposal, base }
    }

    /// The base density, if there is one.
    pub(crate) fn base_density(&self) -> Option<&TileDensity> {
        let is_proposal = self.problem.model.base == Base::Proposal;
        self.base.as_ref().or(is_proposal.then_some(&self.proposal))
    }
}

impl Workspace {
    pub(crate) fn new(shared: &Shared, set: InstructionSet) -> Self {
        let Shared { problem, proposal, base, .. } = shared;
        let components = base.iter().chain([proposal]).map(TileDensity::components).max();
        let dim = problem.model.dim();
        Self {
            network: Network::new(&problem.model.energy, set),
            tile: Tile::new(dim),
            sampler: Sampler::new(dim),
            gradient: vec![0.0; problem.layout.len()],
            b_gradient: 0.0,
            row_numbers: [0; TILE],
            row_values: vec![0.0; dim * TILE],
            scratch: Scratch::new(components.unwrap_or(0)),
            energies: [0.0; TILE],
            log_base: [0.0; TILE],
            log_proposal: [0.0; TILE],
            u: [0.0; TILE],
            weights: [0.0; TILE],
            cotangents: [0.0; ROOM],
            chains: problem.objective.mcmc().map(|_| ChainSpace::new(dim)),
        }
    }

    /// Adds chunk `index` of `plan` to `sums`.
    pub(crate) fn accumulate(
        &mut self,
        shared: &Shared,
        parameters: Parameters<'_>,
        plan: &StepPlan,
        index: u32,
        sums: &mut Sums,
    ) -> Result<(), EngineError> {
        let mut tally = Tally::default();
        let side = match plan.chunk(index) {
            Chunk::Rows(range) => {
                for tile in tiles(range) {
                    self.load_rows(shared, plan, tile)?;
                    self.row_tile(shared, parameters, plan, &mut tally);
                }
                Side::Rows
            }
            Chunk::Samples(range) => {
                let keeps = shared.problem.persistent().is_some();
                self.samples(shared, parameters, plan, range, &mut tally, |points, _| {
                    if keeps {
                        sums.carry(index, (0..points.len()).flat_map(|t| points.point(t)));
                    }
                })?;
                Side::Samples
            }
        };
        sums.add_chunk(side, self.take_gradient(shared), &tally);
        Ok(())
    }

    /// Gathers the gradient of the proposal samples `range` of a step, or of its chains; `then` is shown
    /// the points of each tile and their cotangents.
    pub(crate) fn samples(
        &mut self,
        shared: &Shared,
        parameters: Parameters<'_>,
        plan: &StepPlan,
        range: Range<u64>,
        tally: &mut Tally,
        mut then: impl FnMut(&Tile, &[f32]),
    ) -> Result<(), EngineError> {
        let set = SampleSet { stream: Stream::Proposal, step: plan.step };
        for tile in tiles(range) {
            if let Some(mcmc) = shared.problem.objective.mcmc() {
                self.chain_tile(shared, parameters, plan, &mcmc, tile, tally)?;
            } else {
                self.draw(shared, set, tile);
                self.sample_tile(shared, parameters, plan, tally);
            }
            then(&self.tile, &self.cotangents[..self.tile.len()]);
        }
        Ok(())
    }

    /// The gradient gathered so far, flat; it starts again at zero.
    pub(crate) fn take_gradient(&mut self, shared: &Shared) -> &[f32] {
        self.network.take_gradient(&mut self.gradient);
        if let Some(b) = self.gradient.last_mut() {
            *b = if shared.problem.objective.trains_b() { self.b_gradient as f32 } else { 0.0 };
        }
        self.b_gradient = 0.0;
        &self.gradient
    }

    /// Energies and log-densities of row-major points.
    pub(crate) fn score(
        &mut self,
        shared: &Shared,
        parameters: Parameters<'_>,
        x: &[f32],
        out: &mut [Scored],
    ) {
        let dim = shared.problem.model.dim();
        for (x, out) in x.chunks(TILE * dim).zip(out.chunks_mut(TILE)) {
            self.tile.set_rows(x);
            self.score_tile(shared, parameters, out);
        }
    }

    /// Draws proposal samples into `x`, row-major, and scores them.
    pub(crate) fn score_samples(
        &mut self,
        shared: &Shared,
        parameters: Parameters<'_>,
        set: SampleSet,
        range: Range<u64>,
        x: &mut [f32],
        out: &mut [Scored],
    ) {
        let dim = shared.problem.model.dim();
        let buffers = x.chunks_mut(TILE * dim).zip(out.chunks_mut(TILE));
        for (tile, (x, out)) in tiles(range).zip(buffers) {
            self.draw(shared, set, tile);
            self.tile.copy_to(x);
            self.score_tile(shared, parameters, out);
        }
    }

    fn score_tile(&mut self, shared: &Shared, parameters: Parameters<'_>, out: &mut [Scored]) {
        self.forward(parameters);
        self.log_densities(shared, true);
        for (t, out) in out.iter_mut().enumerate() {
            *out = Scored {
                energy: self.energies[t],
                log_base: self.log_base[t],
                log_proposal: self.log_proposal[t],
            };
        }
    }

    fn load_rows(
        &mut self,
        shared: &Shared,
        plan: &StepPlan,
        tile: Range<u64>,
    ) -> Result<(), EngineError> {
        let n = length(&tile);
        let numbers = &mut self.row_numbers[..n];
        plan.rows(tile.start, numbers);
        let values = &mut self.row_values[..n * shared.problem.model.dim()];
        shared.rows.gather(numbers, values)?;
        self.tile.set_rows(values);
        Ok(())
    }

    pub(crate) fn draw(&mut self, shared: &Shared, set: SampleSet, tile: Range<u64>) {
        let key = Key::new(shared.problem.seed, set.stream);
        let source = Source { key, step: set.step, first: tile.start };
        let proposal = &shared.problem.model.proposal;
        self.sampler.draw(proposal, source, length(&tile), &mut self.tile);
    }

    fn forward(&mut self, parameters: Parameters<'_>) {
        let Parameters { flat, packed, .. } = parameters;
        self.network.forward(flat, packed, &self.tile, &mut self.energies);
    }

    /// Fills `log_base` and, if asked or needed, `log_proposal`.
    fn log_densities(&mut self, shared: &Shared, proposal: bool) {
        let Self { tile, scratch, log_base, log_proposal, .. } = self;
        let n = tile.len();
        let base_is_proposal = shared.problem.model.base == Base::Proposal;
        if proposal || base_is_proposal {
            shared.proposal.log_density(tile, scratch, &mut log_proposal[..n]);
        }
        match &shared.base {
            Some(base) => base.log_density(tile, scratch, &mut log_base[..n]),
            None if base_is_proposal => log_base[..n].copy_from_slice(&log_proposal[..n]),
            None => log_base[..n].fill(0.0),
        }
    }

    fn row_tile(
        &mut self,
        shared: &Shared,
        parameters: Parameters<'_>,
        plan: &StepPlan,
        tally: &mut Tally,
    ) {
        let objective = shared.problem.objective;
        self.forward(parameters);
        self.log_densities(shared, objective.needs_proposal_at_rows());
        self.weigh(parameters.b());
        let (ratio, n) = (ratio(plan), plan.batch() as f64);
        for t in 0..self.tile.len() {
            tally.add_row(f64::from(self.log_base[t]) - f64::from(self.energies[t]));
            let c = objective.row_cotangent(f64::from(self.weights[t]), ratio) / n;
            self.cotangents[t] = c as f32;
        }
        self.backward(parameters);
    }

    fn sample_tile(
        &mut self,
        shared: &Shared,
        parameters: Parameters<'_>,
        plan: &StepPlan,
        tally: &mut Tally,
    ) {
        let objective = shared.problem.objective;
        self.forward(parameters);
        if shared.problem.model.base == Base::Proposal {
            // The two densities cancel: the log-weight is -E.
            self.log_base.fill(0.0);
            self.log_proposal.fill(0.0);
        } else {
            self.log_densities(shared, true);
        }
        self.weigh(parameters.b());
        let (ratio, m) = (ratio(plan), plan.samples() as f64);
        for t in 0..self.tile.len() {
            let weight = f64::from(self.weights[t]);
            let usable = tally.add_sample(f64::from(self.u[t]), weight);
            let c = if usable { objective.sample_cotangent(weight, ratio) / m } else { 0.0 };
            self.cotangents[t] = c as f32;
        }
        self.backward(parameters);
    }

    /// `u = log d - E - log q - b` and `exp(u)` of every point. A tile that is not full has
    /// whatever there was behind its points.
    fn weigh(&mut self, b: f64) {
        let Self { energies, log_base, log_proposal, u, weights, .. } = self;
        vectorised(
            #[inline(always)]
            || {
                for t in 0..TILE {
                    let tilted = f64::from(log_base[t]) - f64::from(energies[t]);
                    u[t] = (tilted - f64::from(log_proposal[t]) - b) as f32;
                }
                for t in 0..TILE {
                    weights[t] = if u[t] < UNDERFLOW { 0.0 } else { exp(Scalar, u[t]) };
                }
            },
        );
    }

    fn backward(&mut self, parameters: Parameters<'_>) {
        let Self { network, tile, cotangents, .. } = self;
        let n = tile.len();
        cotangents[n..].fill(0.0);
        network.backward(parameters.packed, tile, cotangents);
        self.b_gradient += cotangents[..n].iter().map(|&c| f64::from(c)).sum::<f64>();
    }
}

/// `M / n`.
fn ratio(plan: &StepPlan) -> f64 {
    plan.samples() as f64 / plan.batch() as f64
}

pub(crate) fn length(range: &Range<u64>) -> usize {
    (range.end - range.start) as usize
}

pub(crate) fn tiles(range: Range<u64>) -> impl Iterator<Item = Range<u64>> {
    let end = range.end;
    range.step_by(TILE).map(move |start| start..(start + TILE as u64).min(end))
}
