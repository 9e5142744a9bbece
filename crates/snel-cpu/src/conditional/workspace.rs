//! The gradient of a chunk of rows, and scores, on one thread.

use std::ops::Range;
use std::sync::Arc;

use pulp::Scalar;
use snel_core::conditional::{
    ConditionalModel, ConditionalProposal, Networks, RowSamples, RowWeights,
};
use snel_core::engine::{EngineError, Scored};
use snel_core::partial::{Side, Sums};
use snel_core::philox::{Key, Stream};
use snel_core::plan::{Chunk, StepPlan};
use snel_core::problem::{Base, Problem};
use snel_core::rows::Rows;
use snel_core::statistics::Tally;

use super::inputs::{Inputs, PackedNetworks};
use super::points::Points;
use crate::chunk::{UNDERFLOW, length, tiles};
use crate::density::TileDensity;
use crate::draw::Source;
use crate::instruction_set::InstructionSet;
use crate::layer::Rows as Matrix;
use crate::math::exp;
use crate::stack::Stack;
use crate::tile::{ROOM, TILE};

/// What all threads share and only read: the problem, and its densities prepared for tiles.
pub(super) struct Shared {
    pub(super) problem: Arc<Problem<ConditionalModel>>,
    pub(super) networks: Networks,
    rows: Arc<dyn Rows>,
    /// The proposal that looks at nothing; none if a network gives it.
    pub(super) proposal: Option<TileDensity>,
    /// Noise around the observed `y`.
    pub(super) noise: Option<TileDensity>,
    /// Only for a base with a density of its own.
    pub(super) base: Option<TileDensity>,
}

impl Shared {
    pub(super) fn new(problem: Arc<Problem<ConditionalModel>>, rows: Arc<dyn Rows>) -> Self {
        let model = &problem.model;
        let (proposal, noise) = match &model.proposal {
            ConditionalProposal::Fixed(density) => (Some(density), None),
            ConditionalProposal::Network(_) => (None, None),
            ConditionalProposal::Observed { noise, elsewhere } => (Some(elsewhere), Some(noise)),
        };
        let base = match &model.base {
            Base::Density(density) => Some(density),
            Base::None | Base::Proposal => None,
        };
        let [proposal, noise, base] =
            [proposal, noise, base].map(|density| density.map(TileDensity::new));
        let networks = Networks::new(model);
        Self { problem, networks, rows, proposal, noise, base }
    }

    pub(super) fn densities(&self) -> impl Iterator<Item = &TileDensity> {
        [&self.proposal, &self.noise, &self.base].into_iter().flatten()
    }
}

/// The parameters of a step.
#[derive(Clone, Copy)]
pub(super) struct Parameters<'a> {
    pub(super) b: f32,
    pub(super) packed: &'a PackedNetworks,
}

/// The buffers of one thread.
pub(super) struct Workspace {
    inputs: Inputs,
    energy: Stack,
    points: Points,
    /// The chunk's gradient, flat.
    gradient: Vec<f32>,
    b_gradient: f64,
    row_numbers: [u64; TILE],
    row_values: Vec<f32>,
    /// `u` of each point and its exponential.
    u: [f32; TILE],
    weights: [f32; TILE],
    /// Cotangents of the energies, a stride apart.
    cotangents: Vec<f32>,
    /// Gradients by the mixture's outputs: of the likelihood, and of the divergence times the sum of
    /// weights.
    likelihood: Vec<f64>,
    divergence: Vec<f64>,
}

/// Distance between the cotangents of two energies.
const STRIDE: usize = 16;

/// One row of the step at hand.
#[derive(Clone, Copy)]
struct Row {
    /// Number within the tile of rows.
    i: usize,
    /// Number of its first sample.
    first: u64,
    b: f64,
}

impl Workspace {
    pub(super) fn new(shared: &Shared, set: InstructionSet) -> Self {
        let Shared { problem, networks, .. } = shared;
        let activation = problem.model.activation;
        let outputs = problem.model.mixture().map_or(0, |net| net.outputs(problem.model.targets));
        Self {
            inputs: Inputs::new(networks, activation, set),
            energy: Stack::new(&networks.energy, activation, set),
            points: Points::new(shared),
            gradient: vec![0.0; problem.layout.len()],
            b_gradient: 0.0,
            row_numbers: [0; TILE],
            row_values: vec![0.0; problem.model.dim() * TILE],
            u: [0.0; TILE],
            weights: [0.0; TILE],
            cotangents: vec![0.0; ROOM * STRIDE],
            likelihood: vec![0.0; outputs],
            divergence: vec![0.0; outputs],
        }
    }

    /// Adds chunk `index` of `plan` to `sums`.
    pub(super) fn accumulate(
        &mut self,
        shared: &Shared,
        parameters: Parameters<'_>,
        plan: &StepPlan,
        index: u32,
        sums: &mut Sums,
    ) -> Result<(), EngineError> {
        let model = &shared.problem.model;
        let mut tally = Tally::default();
        self.b_gradient = 0.0;
        let moves_features = shared.problem.objective.normaliser_moves_features()
            && !model.pretrains(u64::from(plan.step));
        // Samples belong to rows: there are no chunks of them.
        let Chunk::Rows(range) = plan.chunk(index) else { return Ok(()) };
        for tile in tiles(range) {
            self.load_rows(shared, plan, tile.clone())?;
            self.inputs.forward(parameters.packed);
            for i in 0..length(&tile) {
                let b = f64::from(parameters.b) + f64::from(self.inputs.normaliser(i));
                let first = (tile.start + i as u64) * plan.samples();
                self.row(shared, parameters, plan, Row { i, first, b }, &mut tally);
            }
            self.inputs.backward(parameters.packed, moves_features);
        }
        self.inputs.take_gradient(&mut self.gradient);
        self.energy.take_gradient(&mut self.gradient);
        if let Some(b) = self.gradient.last_mut() {
            *b = self.b_gradient as f32;
        }
        sums.add_chunk(Side::Rows, &self.gradient, &tally);
        Ok(())
    }

    fn load_rows(
        &mut self,
        shared: &Shared,
        plan: &StepPlan,
        tile: Range<u64>,
    ) -> Result<(), EngineError> {
        let model = &shared.problem.model;
        let n = length(&tile);
        let numbers = &mut self.row_numbers[..n];
        plan.rows(tile.start, numbers);
        let values = &mut self.row_values[..n * model.dim()];
        shared.rows.gather(numbers, values)?;
        self.inputs.x.begin(n);
        for (t, row) in values.chunks_exact(model.dim()).enumerate() {
            self.inputs.x.set_point(t, row[..model.inputs].iter().copied());
        }
        Ok(())
    }

    /// Cotangents of one row: those of the energy go backward at once, the others are left in
    /// `inputs`.
    fn row(
        &mut self,
        shared: &Shared,
        parameters: Parameters<'_>,
        plan: &StepPlan,
        row: Row,
        tally: &mut Tally,
    ) {
        let Problem { model, objective, .. } = &*shared.problem;
        let (m, n) = (plan.samples(), plan.batch() as f64);
        let pretrains = model.pretrains(u64::from(plan.step));
        let (likelihood, divergence) = match model.mixture() {
            Some(_) if pretrains => (1.0, 0.0),
            Some(network) => network.loss.factors(),
            None => (0.0, 0.0),
        };
        self.points.set_mixture(self.inputs.mixture(row.i));
        self.likelihood.fill(0.0);
        self.divergence.fill(0.0);
        let mut weights = RowWeights { samples: m as f64, ..RowWeights::default() };
        let in_two_passes = objective.needs_row_sum() && m >= TILE as u64;
        if in_two_passes {
            for tile in tiles(0..m + 1) {
                self.points(shared, parameters, plan, row, tile.clone());
                self.add_weights(length(&tile), tile.end > m, &mut weights);
            }
        }
        for tile in tiles(0..m + 1) {
            let with_observed = tile.end > m;
            let points = length(&tile);
            self.points(shared, parameters, plan, row, tile);
            if !in_two_passes {
                self.add_weights(points, with_observed, &mut weights);
            }
            let samples = points - usize::from(with_observed);
            for t in 0..samples {
                let w = f64::from(self.weights[t]);
                let usable = tally.add_sample(f64::from(self.u[t]), w);
                let c = if usable { weights.sample_cotangent(*objective, w) / n } else { 0.0 };
                self.cotangents[t * STRIDE] = c as f32;
                if usable && divergence > 0.0 && w > 0.0 {
                    let to = &mut self.divergence;
                    self.points.add_mixture_gradient(t, -divergence * w / n, to);
                }
            }
            if with_observed {
                let t = samples;
                let energy = f64::from(self.energies().values[t * self.energies().stride]);
                let tilted = f64::from(self.points.log_base[t]) - energy;
                tally.add_row(tilted - f64::from(self.inputs.normaliser(row.i)));
                self.cotangents[t * STRIDE] = (weights.row_cotangent(*objective) / n) as f32;
                if likelihood > 0.0 {
                    self.points.add_mixture_gradient(t, -likelihood / n, &mut self.likelihood);
                }
            }
            if !pretrains {
                let Self { energy, points: Points { y, .. }, cotangents, .. } = self;
                let cotangent = Matrix { values: cotangents, stride: STRIDE };
                energy.backward(&parameters.packed.energy, points, y.rows(), cotangent);
            }
        }
        self.energy.take_first(self.inputs.d_offset.row_mut(row.i));
        let db = weights.normaliser_cotangent() / n;
        self.b_gradient += db;
        self.inputs.d_normaliser.row_mut(row.i)[0] = db as f32;
        let sum = if weights.sum > 0.0 { weights.sum } else { 1.0 };
        let d_mixture = self.inputs.d_mixture.row_mut(row.i);
        for ((to, l), d) in d_mixture.iter_mut().zip(&self.likelihood).zip(&self.divergence) {
            *to = (l + d / sum) as f32;
        }
    }

    /// Makes the points `tile` of a row, runs the energy and weighs them. The samples are numbered
    /// `0..M`; point `M` is the observed `y`.
    fn points(
        &mut self,
        shared: &Shared,
        parameters: Parameters<'_>,
        plan: &StepPlan,
        row: Row,
        tile: Range<u64>,
    ) {
        let model = &shared.problem.model;
        let samples = length(&(tile.start..tile.end.min(plan.samples())));
        let key = Key::new(shared.problem.seed, Stream::Proposal);
        let source = Source { key, step: plan.step, first: row.first + tile.start };
        let observed = &self.row_values[row.i * model.dim()..][model.inputs..model.dim()];
        let with_observed = tile.end > plan.samples();
        self.points.draw(shared, source, samples, observed, with_observed);
        self.forward(parameters, row.i);
        let cancels = model.base == Base::Proposal;
        for t in 0..length(&tile) {
            let energy = f64::from(self.energies().values[t * self.energies().stride]);
            let logs = if cancels {
                0.0
            } else {
                f64::from(self.points.log_base[t]) - f64::from(self.points.log_proposal[t])
            };
            self.u[t] = (logs - energy - row.b) as f32;
            self.weights[t] = if self.u[t] < UNDERFLOW { 0.0 } else { exp(Scalar, self.u[t]) };
        }
    }

    /// Adds the weights of the first `points` points.
    fn add_weights(&self, points: usize, with_observed: bool, weights: &mut RowWeights) {
        let samples = points - usize::from(with_observed);
        for t in 0..samples {
            // The rule of `Tally::add_sample`.
            if f64::from(self.u[t]) <= snel_core::objective::WEIGHT_LIMIT {
                weights.sum += f64::from(self.weights[t]);
            }
        }
        if with_observed {
            weights.observed = f64::from(self.weights[samples]);
        }
    }

    /// Energies of the points at row `i`.
    fn forward(&mut self, parameters: Parameters<'_>, i: usize) {
        let Self { inputs, energy, points, .. } = self;
        let y = &mut points.y;
        y.clear_behind();
        let offset = Some(inputs.offset(i));
        energy.forward(&parameters.packed.energy, y.len(), y.rows(), offset);
    }

    fn energies(&self) -> Matrix<'_> {
        self.energy.output(self.points.y.rows())
    }

    fn write(&self, out: &mut [Scored]) {
        let energies = self.energies();
        for (t, out) in out.iter_mut().enumerate() {
            *out = Scored {
                energy: energies.values[t * energies.stride],
                log_base: self.points.log_base[t],
                log_proposal: self.points.log_proposal[t],
            };
        }
    }

    pub(super) fn log_normalisers(
        &mut self,
        parameters: Parameters<'_>,
        x: &[f32],
        out: &mut [f32],
    ) {
        let inputs = self.inputs.x.dim();
        for (x, out) in x.chunks(TILE * inputs).zip(out.chunks_mut(TILE)) {
            self.inputs.x.set_rows(x);
            self.inputs.forward(parameters.packed);
            for (i, out) in out.iter_mut().enumerate() {
                *out = (f64::from(parameters.b) + f64::from(self.inputs.normaliser(i))) as f32;
            }
        }
    }

    /// Scores `y`, equally many points for each row of `x`.
    pub(super) fn score(
        &mut self,
        shared: &Shared,
        parameters: Parameters<'_>,
        x: &[f32],
        y: &[f32],
        out: &mut [Scored],
    ) {
        let ConditionalModel { inputs, targets, .. } = shared.problem.model;
        let points = out.len() / (x.len() / inputs).max(1);
        let rows = y.chunks(points * targets).zip(out.chunks_mut(points));
        self.each_row(parameters, inputs, x, rows, |this, i, (y, out)| {
            for (y, out) in y.chunks(TILE * targets).zip(out.chunks_mut(TILE)) {
                this.points.y.set_rows(y);
                this.points.log_densities(shared, 0..out.len());
                this.forward(parameters, i);
                this.write(out);
            }
        });
    }

    /// Draws samples into `y` and scores them.
    pub(super) fn score_samples(
        &mut self,
        shared: &Shared,
        parameters: Parameters<'_>,
        samples: &RowSamples,
        x: &[f32],
        y: &mut [f32],
        out: &mut [Scored],
    ) {
        let ConditionalModel { inputs, targets, .. } = shared.problem.model;
        let points = length(&samples.range);
        let key = Key::new(shared.problem.seed, samples.set.stream);
        let rows = y.chunks_mut(points * targets).zip(out.chunks_mut(points)).enumerate();
        self.each_row(parameters, inputs, x, rows, |this, i, (row, (y, out))| {
            let start = samples.number(row);
            let buffers = y.chunks_mut(TILE * targets).zip(out.chunks_mut(TILE));
            for (tile, (y, out)) in tiles(start..start + points as u64).zip(buffers) {
                let source = Source { key, step: samples.set.step, first: tile.start };
                this.points.draw_unseeing(shared, source, out.len());
                this.points.y.copy_to(y);
                this.points.log_densities(shared, 0..out.len());
                this.forward(parameters, i);
                this.write(out);
            }
        });
    }

    /// Runs the networks on `x` and calls `work` with the place of each row in its tile and what
    /// belongs to it.
    fn each_row<T>(
        &mut self,
        parameters: Parameters<'_>,
        inputs: usize,
        x: &[f32],
        mut rows: impl Iterator<Item = T>,
        work: impl Fn(&mut Self, usize, T),
    ) {
        for x in x.chunks(TILE * inputs) {
            self.inputs.x.set_rows(x);
            self.inputs.forward(parameters.packed);
            for (i, row) in (0..self.inputs.x.len()).zip(&mut rows) {
                self.points.set_mixture(self.inputs.mixture(i));
                work(self, i, row);
            }
        }
    }
}
