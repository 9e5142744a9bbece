//! The gradient of one chunk, tile by tile.
//!
//! For each tile: make the points, run the energy forward, turn each energy into a cotangent, run
//! backward while the activations are still warm. Nothing outlives the tile but the gradient.

use std::ops::Range;
use std::sync::Arc;

use snel_core::density::Draws;
use snel_core::engine::{EngineError, SampleSet, Scored};
use snel_core::partial::{Partial, Side};
use snel_core::philox::{Key, Stream};
use snel_core::plan::{Chunk, StepPlan};
use snel_core::problem::{Base, Problem};
use snel_core::rows::Rows;
use snel_core::statistics::Statistics;

use crate::density::{Scratch, TileDensity};
use crate::network::{Network, TILE};

/// What all threads share and only read: the problem, and its densities prepared for tiles.
pub(crate) struct Shared {
    pub(crate) problem: Arc<Problem>,
    pub(crate) rows: Arc<dyn Rows>,
    proposal: TileDensity,
    /// Only for a base with a density of its own.
    base: Option<TileDensity>,
}

/// The buffers of one thread.
pub(crate) struct Workspace {
    network: Network,
    gradient: Vec<f32>,
    x_dt: Vec<f32>,
    row_values: Vec<f32>,
    point: Vec<f64>,
    scratch: Scratch,
    energies: [f32; TILE],
    log_base: [f32; TILE],
    log_proposal: [f32; TILE],
    cotangents: [f32; TILE],
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
}

impl Workspace {
    pub(crate) fn new(problem: &Problem) -> Self {
        let dim = problem.model.dim();
        Self {
            network: Network::new(&problem.model.energy),
            gradient: vec![0.0; problem.layout.len()],
            x_dt: vec![0.0; dim * TILE],
            row_values: vec![0.0; dim * TILE],
            point: vec![0.0; dim],
            scratch: Scratch::default(),
            energies: [0.0; TILE],
            log_base: [0.0; TILE],
            log_proposal: [0.0; TILE],
            cotangents: [0.0; TILE],
        }
    }

    /// Adds chunk `index` of `plan` to `partial`.
    pub(crate) fn accumulate(
        &mut self,
        shared: &Shared,
        parameters: &[f32],
        plan: &StepPlan,
        index: u32,
        partial: &mut Partial,
    ) -> Result<(), EngineError> {
        let mut statistics = Statistics::default();
        self.gradient.fill(0.0);
        let side = match plan.chunk(index) {
            Chunk::Rows(range) => {
                for tile in tiles(range) {
                    self.load_rows(shared, plan, tile.clone())?;
                    self.row_tile(shared, parameters, plan, length(&tile), &mut statistics);
                }
                Side::Rows
            }
            Chunk::Samples(range) => {
                let set = SampleSet { stream: Stream::Proposal, step: plan.step };
                for tile in tiles(range) {
                    self.draw(shared, set, tile.clone());
                    self.sample_tile(shared, parameters, plan, length(&tile), &mut statistics);
                }
                Side::Samples
            }
        };
        partial.add_chunk(index, side, &self.gradient, &statistics)?;
        Ok(())
    }

    /// Energies and log-densities of row-major points.
    pub(crate) fn score(
        &mut self,
        shared: &Shared,
        parameters: &[f32],
        x: &[f32],
        out: &mut [Scored],
    ) {
        let dim = shared.problem.model.dim();
        for (x, out) in x.chunks(TILE * dim).zip(out.chunks_mut(TILE)) {
            transpose(x, dim, &mut self.x_dt);
            self.network.forward(parameters, &self.x_dt, &mut self.energies[..out.len()]);
            self.write_scores(shared, out);
        }
    }

    /// Draws proposal samples into `x`, row-major, and scores them.
    pub(crate) fn score_samples(
        &mut self,
        shared: &Shared,
        parameters: &[f32],
        set: SampleSet,
        range: Range<u64>,
        x: &mut [f32],
        out: &mut [Scored],
    ) {
        let dim = shared.problem.model.dim();
        let buffers = x.chunks_mut(TILE * dim).zip(out.chunks_mut(TILE));
        for (tile, (x, out)) in tiles(range).zip(buffers) {
            self.draw(shared, set, tile);
            for (t, row) in x.chunks_exact_mut(dim).enumerate() {
                for (d, value) in row.iter_mut().enumerate() {
                    *value = self.x_dt[d * TILE + t];
                }
            }
            self.network.forward(parameters, &self.x_dt, &mut self.energies[..out.len()]);
            self.write_scores(shared, out);
        }
    }

    fn write_scores(&mut self, shared: &Shared, out: &mut [Scored]) {
        let n = out.len();
        self.log_densities(shared, n, true);
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
        let dim = shared.problem.model.dim();
        let mut numbers = [0; TILE];
        let n = length(&tile);
        for (number, row) in numbers.iter_mut().zip(plan.rows(tile)) {
            *number = row;
        }
        let values = &mut self.row_values[..n * dim];
        shared.rows.gather(&numbers[..n], values)?;
        transpose(values, dim, &mut self.x_dt);
        Ok(())
    }

    fn draw(&mut self, shared: &Shared, set: SampleSet, tile: Range<u64>) {
        let key = Key::new(shared.problem.seed, set.stream);
        for (t, sample) in tile.enumerate() {
            let mut draws = Draws::new(key, set.step, sample);
            shared.problem.model.proposal.sample(&mut draws, &mut self.point);
            for (d, value) in self.point.iter().enumerate() {
                self.x_dt[d * TILE + t] = *value as f32;
            }
        }
    }

    /// Fills `log_base` and, if asked or needed, `log_proposal` for the first `n` points.
    fn log_densities(&mut self, shared: &Shared, n: usize, proposal: bool) {
        let Self { x_dt, scratch, log_base, log_proposal, .. } = self;
        let base_is_proposal = shared.problem.model.base == Base::Proposal;
        if proposal || base_is_proposal {
            shared.proposal.log_density(x_dt, TILE, scratch, &mut log_proposal[..n]);
        }
        match &shared.base {
            Some(base) => base.log_density(x_dt, TILE, scratch, &mut log_base[..n]),
            None if base_is_proposal => log_base[..n].copy_from_slice(&log_proposal[..n]),
            None => log_base[..n].fill(0.0),
        }
    }

    fn row_tile(
        &mut self,
        shared: &Shared,
        parameters: &[f32],
        plan: &StepPlan,
        n: usize,
        statistics: &mut Statistics,
    ) {
        let objective = shared.problem.objective;
        self.network.forward(parameters, &self.x_dt, &mut self.energies[..n]);
        self.log_densities(shared, n, objective.needs_proposal_at_rows());
        let (b, log_ratio) = (b(parameters), log_ratio(plan));
        for t in 0..n {
            let tilted = f64::from(self.log_base[t]) - f64::from(self.energies[t]);
            statistics.add_row(tilted);
            let u = tilted - f64::from(self.log_proposal[t]) - b;
            let c = objective.row_cotangent(u, log_ratio) / plan.batch() as f64;
            self.cotangents[t] = c as f32;
        }
        self.backward(parameters, n);
    }

    fn sample_tile(
        &mut self,
        shared: &Shared,
        parameters: &[f32],
        plan: &StepPlan,
        n: usize,
        statistics: &mut Statistics,
    ) {
        let objective = shared.problem.objective;
        self.network.forward(parameters, &self.x_dt, &mut self.energies[..n]);
        if shared.problem.model.base == Base::Proposal {
            // The two densities cancel: the log-weight is -E.
            self.log_base[..n].fill(0.0);
            self.log_proposal[..n].fill(0.0);
        } else {
            self.log_densities(shared, n, true);
        }
        let (b, log_ratio) = (b(parameters), log_ratio(plan));
        for t in 0..n {
            let tilted = f64::from(self.log_base[t]) - f64::from(self.energies[t]);
            let u = tilted - f64::from(self.log_proposal[t]) - b;
            let c = if statistics.add_sample(u) {
                objective.sample_cotangent(u, log_ratio) / plan.samples() as f64
            } else {
                0.0
            };
            self.cotangents[t] = c as f32;
        }
        self.backward(parameters, n);
    }

    fn backward(&mut self, parameters: &[f32], n: usize) {
        let Self { network, x_dt, cotangents, gradient, .. } = self;
        network.backward(parameters, x_dt, &cotangents[..n], gradient);
        let last = gradient.len() - 1;
        gradient[last] += cotangents[..n].iter().sum::<f32>();
    }
}

fn b(parameters: &[f32]) -> f64 {
    parameters.last().map_or(0.0, |&b| f64::from(b))
}

fn log_ratio(plan: &StepPlan) -> f64 {
    (plan.samples() as f64 / plan.batch() as f64).ln()
}

fn length(range: &Range<u64>) -> usize {
    (range.end - range.start) as usize
}

fn tiles(range: Range<u64>) -> impl Iterator<Item = Range<u64>> {
    let end = range.end;
    range.step_by(TILE).map(move |start| start..(start + TILE as u64).min(end))
}

fn transpose(rows: &[f32], dim: usize, x_dt: &mut [f32]) {
    for (t, row) in rows.chunks_exact(dim).enumerate() {
        for (d, value) in row.iter().enumerate() {
            x_dt[d * TILE + t] = *value;
        }
    }
}
