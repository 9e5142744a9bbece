//! The gradient of a chunk on one thread.
//!
//! A tile of rows goes through the encoder. Its points, `S` samples of `q(z|x)` for each row, go
//! through decoder, likelihood and energy in tiles of their own, forward and backward while all is
//! warm, and leave their cotangents at the rows; then the rows go backward through the encoder.

use std::ops::Range;

use snel_core::engine::EngineError;
use snel_core::mcmc::Walkers;
use snel_core::mixture::Mixture;
use snel_core::partial::{Side, Sums};
use snel_core::philox::{Key, Stream};
use snel_core::plan::{Chunk, StepPlan};
use snel_core::problem::Problem;
use snel_core::state::State;
use snel_core::statistics::Tally;
use snel_core::vae::{Likelihood, VaeModel, VaeNetworks};

use super::likelihood::{Term, Terms, mask};
use super::shared::{Packed, Shared};
use crate::chunk::{self, length, tiles};
use crate::columns::Columns;
use crate::draw::{Sampler, Source};
use crate::instruction_set::InstructionSet;
use crate::stack::Stack;
use crate::tile::{TILE, Tile};

pub(super) const LN_TAU: f64 = 1.837_877_066_409_345_3;

/// The parameters of a step.
#[derive(Clone, Copy)]
pub(super) struct Parameters<'a> {
    pub(super) state: &'a State,
    pub(super) packed: &'a Packed,
}

/// The buffers of one thread.
pub(super) struct Workspace {
    set: InstructionSet,
    /// The rows of the tile.
    x: Columns,
    pub(super) encoder: Stack,
    pub(super) decoder: Stack,
    /// The energy, and the points.
    pub(super) prior: chunk::Workspace,
    sampler: Sampler,
    mask: Columns,
    term: Term,
    pub(super) latent: usize,
    inputs: usize,
    /// Standard deviations of `q(z|x)`, a row a row of the tile.
    pub(super) deviations: Columns,
    /// The row that each point belongs to, and the point's noise.
    pub(super) row_of: [usize; TILE],
    pub(super) noise: Columns,
    /// Sums of the likelihood's terms over the values of a row, a point each.
    sums: [f32; TILE],
    /// Cotangents: of the encoder's and decoder's outputs; of the points, by the energy and by the
    /// decoder.
    d_encoded: Columns,
    pub(super) d_output: Columns,
    pub(super) d_points: Columns,
    pub(super) d_points_too: Columns,
    /// Means over a row's points of `log p(x|z) - E(z)`, and `log d(z)` if that is learned; over its
    /// chains' places, of `log d(z) - E(z)`.
    pub(super) means: [f64; TILE],
    pub(super) mixture: Option<Mixture>,
    pub(super) point: Vec<f64>,
    d_point: Vec<f64>,
    pub(super) d_base: Vec<f64>,
    d_log_deviation: f64,
    row_numbers: [u64; TILE],
    row_values: Vec<f32>,
    /// The chunk's gradient, flat.
    gradient: Vec<f32>,
    /// Chains of posteriors, where the objective has them.
    pub(super) walkers: Option<Walkers>,
}

impl Workspace {
    pub(super) fn new(shared: &Shared, packed: &Packed, set: InstructionSet) -> Self {
        let Shared { problem, networks, .. } = shared;
        let VaeModel { inputs, activation, likelihood, .. } = problem.model;
        let latent = problem.model.latent();
        Self {
            set,
            x: Columns::new(inputs),
            encoder: Stack::new(&networks.encoder, activation, set),
            decoder: Stack::new(&networks.decoder, activation, set),
            prior: chunk::Workspace::new(&packed.prior, set),
            sampler: Sampler::new(latent),
            mask: mask(inputs),
            term: match likelihood {
                Likelihood::Bernoulli => Term::CrossEntropy,
                Likelihood::Gaussian { .. } => Term::Square,
            },
            latent,
            inputs,
            deviations: Columns::new(latent),
            row_of: [0; TILE],
            noise: Columns::new(latent),
            sums: [0.0; TILE],
            d_encoded: Columns::new(2 * latent),
            d_output: Columns::new(inputs),
            d_points: Columns::new(latent),
            d_points_too: Columns::new(latent),
            means: [0.0; TILE],
            mixture: problem.model.mixture(),
            point: vec![0.0; latent],
            d_point: vec![0.0; latent],
            d_base: vec![0.0; networks.base.as_ref().map_or(0, Range::len)],
            d_log_deviation: 0.0,
            row_numbers: [0; TILE],
            row_values: vec![0.0; inputs * TILE],
            gradient: vec![0.0; problem.layout.len()],
            walkers: problem.objective.mcmc().map(|_| Walkers::new(latent, 1, TILE)),
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
        let mut tally = Tally::default();
        self.mixture.clone_from(&parameters.packed.mixture);
        let side = match plan.chunk(index) {
            Chunk::Rows(range) => {
                if let Some(mcmc) = shared.problem.objective.mcmc() {
                    self.posteriors(shared, parameters, plan, &mcmc, range, &mut tally)?;
                } else {
                    for tile in tiles(range) {
                        self.load_rows(shared, plan, tile.clone())?;
                        self.row_tile(shared, parameters, plan, tile, &mut tally);
                    }
                }
                Side::Rows
            }
            Chunk::Samples(range) => {
                self.samples(shared, parameters, plan, (index, range), &mut tally, sums)?;
                Side::Samples
            }
        };
        self.collect_gradient(shared, parameters.packed, side);
        let VaeNetworks { encoder_and_decoder, .. } = &shared.networks;
        if side == Side::Samples || shared.problem.model.frozen {
            let Range { start, end } = *encoder_and_decoder;
            let parts = [(0, &self.gradient[..start]), (end, &self.gradient[end..])];
            sums.add_parts(side, &parts, &tally);
        } else {
            sums.add_chunk(side, &self.gradient, &tally);
        }
        Ok(())
    }

    pub(super) fn load_rows(
        &mut self,
        shared: &Shared,
        plan: &StepPlan,
        tile: Range<u64>,
    ) -> Result<(), EngineError> {
        let n = length(&tile);
        let numbers = &mut self.row_numbers[..n];
        plan.rows(tile.start, numbers);
        let values = &mut self.row_values[..n * self.inputs];
        shared.rows.gather(numbers, values)?;
        self.x.set_rows(values, self.inputs);
        Ok(())
    }

    fn samples(
        &mut self,
        shared: &Shared,
        parameters: Parameters<'_>,
        plan: &StepPlan,
        (index, range): (u32, Range<u64>),
        tally: &mut Tally,
        sums: &mut Sums,
    ) -> Result<(), EngineError> {
        let Self { prior, mixture, point, d_base, .. } = self;
        let Problem { model, .. } = &*shared.problem;
        let keeps = shared.problem.persistent().is_some();
        let Parameters { state, packed } = parameters;
        let of_prior = packed.of_prior(state);
        prior.samples(&packed.prior, of_prior, plan, range, tally, |z, cotangents| {
            if keeps {
                sums.carry(index, (0..z.len()).flat_map(|t| z.point(t)));
            }
            let Some(mixture) = mixture.as_mut().filter(|_| !model.frozen) else { return };
            for (t, c) in cotangents.iter().enumerate() {
                load(z, t, point);
                mixture.add_gradient(point, -f64::from(*c), d_base);
            }
        })
    }

    /// Runs the rows `x` through the encoder.
    pub(super) fn encode(&mut self, parameters: Parameters<'_>, x: &[f32]) {
        self.x.set_rows(x, self.inputs);
        self.encode_rows(parameters, x.len() / self.inputs);
    }

    fn encode_rows(&mut self, parameters: Parameters<'_>, n: usize) {
        let Self { encoder, x, deviations, latent, .. } = self;
        encoder.forward(&parameters.packed.encoder, n, x.rows(), None);
        let encoded = encoder.output(x.rows());
        for i in 0..n {
            let logs = &encoded.values[i * encoded.stride + *latent..][..*latent];
            let deviations = deviations.row_mut(i).iter_mut();
            deviations.zip(logs).for_each(|(sd, log)| *sd = libm::expf(*log));
        }
    }

    /// The encoder's output for row `i`: means, then logarithms of deviations.
    pub(super) fn encoded(&self, i: usize) -> &[f32] {
        let rows = self.encoder.output(self.x.rows());
        &rows.values[i * rows.stride..][..2 * self.latent]
    }

    /// Makes the `n` points from number `source.first` on, of which the first belongs to row
    /// `first / samples` of the tile, and runs the decoder on them.
    pub(super) fn place(
        &mut self,
        parameters: Parameters<'_>,
        source: Source,
        first: usize,
        samples: usize,
        n: usize,
    ) {
        let Self { encoder, x, prior, sampler, deviations, noise, row_of, .. } = self;
        let encoded = encoder.output(x.rows());
        let normals = sampler.noise(source, n);
        let z = prior.points_mut();
        z.begin(n);
        for t in 0..n {
            let row = (first + t) / samples;
            row_of[t] = row;
            let means = &encoded.values[row * encoded.stride..][..self.latent];
            let noise = noise.row_mut(t);
            for (d, noise) in noise[..self.latent].iter_mut().enumerate() {
                *noise = normals[d * TILE + t] as f32;
            }
            let spread = deviations.row(row).iter().zip(&*noise);
            z.set_point(t, means.iter().zip(spread).map(|(mean, (sd, noise))| mean + sd * noise));
        }
        self.run_decoder(parameters);
    }

    /// Runs the decoder on the points.
    pub(super) fn run_decoder(&mut self, parameters: Parameters<'_>) {
        let z = self.prior.points_mut();
        z.clear_behind();
        self.decoder.forward(&parameters.packed.decoder, z.len(), z.rows(), None);
    }

    /// `log p(x|z)` of the points; the gradients by the decoder's outputs, times `-c`, are left in
    /// `d_output`.
    pub(super) fn compare(&mut self, parameters: Parameters<'_>, c: f64, log_p: &mut [f64]) {
        let n = log_p.len();
        let log_sd = parameters.packed.log_deviation;
        let precision = libm::exp(-2.0 * log_sd);
        let z = self.prior.points();
        self.set.run(Terms {
            term: self.term,
            mask: self.mask.row(0),
            x: self.x.rows(),
            row_of: &self.row_of[..n],
            output: self.decoder.output(z.rows()),
            factor: (c * precision) as f32,
            sums: &mut self.sums[..n],
            gradient: self.d_output.rows_mut(),
        });
        let values = self.inputs as f64;
        let constant = match self.term {
            Term::CrossEntropy => 0.0,
            Term::Square => values * (log_sd + 0.5 * LN_TAU),
        };
        for (log_p, sum) in log_p.iter_mut().zip(self.sums) {
            *log_p = -f64::from(sum) * precision - constant;
        }
    }

    /// Adds what the `n` points that were compared last, each times `c`, say of the deviation.
    pub(super) fn learn_deviation(&mut self, parameters: Parameters<'_>, c: f64, n: usize) {
        let precision = libm::exp(-2.0 * parameters.packed.log_deviation);
        for sum in &self.sums[..n] {
            self.d_log_deviation += c * (self.inputs as f64 - 2.0 * (f64::from(*sum) * precision));
        }
    }

    pub(super) fn row_tile(
        &mut self,
        shared: &Shared,
        parameters: Parameters<'_>,
        plan: &StepPlan,
        tile: Range<u64>,
        tally: &mut Tally,
    ) {
        let model = &shared.problem.model;
        let (n, s) = (length(&tile), model.posterior_samples);
        let rows = plan.batch() as f64;
        self.encode_rows(parameters, n);
        self.means[..n].fill(0.0);
        (0..n).for_each(|i| self.d_encoded.row_mut(i).fill(0.0));
        let key = Key::new(shared.problem.seed, Stream::Posterior);
        let start = tile.start * s;
        for points in tiles(start..tile.end * s) {
            let source = Source { key, step: plan.step, first: points.start };
            let (first, count) = ((points.start - start) as usize, length(&points));
            self.place(parameters, source, first, s as usize, count);
            self.point_tile(shared, parameters, 1.0 / (rows * s as f64));
        }
        for i in 0..n {
            let divergence = self.divergence(i, 1.0 / rows);
            tally.add_row(self.means[i] - divergence);
        }
        if !model.frozen {
            let Self { encoder, x, d_encoded, .. } = self;
            encoder.backward(&parameters.packed.encoder, n, x.rows(), d_encoded.rows());
        }
    }

    /// The points forward through likelihood and energy, and everything backward to the rows. `c` is
    /// the share of a point in the loss.
    fn point_tile(&mut self, shared: &Shared, parameters: Parameters<'_>, c: f64) {
        let model = &shared.problem.model;
        let Parameters { state, packed } = parameters;
        let n = self.prior.points().len();
        let share = 1.0 / model.posterior_samples as f64;
        // By chains decoder and base learn elsewhere, and only the encoder does here.
        let by_chains = shared.problem.objective.mcmc().is_some();
        let mut log_p = [0.0; TILE];
        self.compare(parameters, c, &mut log_p[..n]);
        if !by_chains {
            self.learn_deviation(parameters, c, n);
        }
        let energies = self.prior.energies(packed.of_prior(state));
        for (t, energy) in energies.iter().enumerate() {
            self.means[self.row_of[t]] += share * (log_p[t] - f64::from(*energy));
        }
        let to = self.d_points.rows_mut();
        self.prior.pull(packed.of_prior(state), c as f32, to);
        if let Some(mixture) = &mut self.mixture {
            for t in 0..n {
                load(self.prior.points(), t, &mut self.point);
                self.means[self.row_of[t]] += share * mixture.log_density(&self.point);
                if !model.frozen {
                    if !by_chains {
                        mixture.add_gradient(&self.point, -c, &mut self.d_base);
                    }
                    self.d_point.fill(0.0);
                    mixture.add_point_gradient(&self.point, -c, &mut self.d_point);
                    let to = self.d_points.row_mut(t).iter_mut();
                    to.zip(&self.d_point).for_each(|(to, d)| *to += *d as f32);
                }
            }
        }
        if model.frozen {
            return;
        }
        let Self { decoder, prior, d_output, d_points_too, .. } = self;
        if by_chains {
            decoder.pull(&packed.decoder, n, d_output.rows(), d_points_too.rows_mut());
        } else {
            decoder.backward(&packed.decoder, n, prior.points().rows(), d_output.rows());
            decoder.input_cotangents(&packed.decoder, n, d_points_too.rows_mut());
        }
        for t in 0..n {
            let row = self.row_of[t];
            let dz = self.d_points.row(t).iter().zip(self.d_points_too.row(t)).map(|(a, b)| a + b);
            let (d_mean, d_log) = self.d_encoded.row_mut(row).split_at_mut(self.latent);
            let spread = self.deviations.row(row).iter().zip(self.noise.row(t));
            for (((d_mean, d_log), dz), (sd, noise)) in
                d_mean.iter_mut().zip(d_log).zip(dz).zip(spread)
            {
                *d_mean += dz;
                *d_log += dz * sd * noise;
            }
        }
    }

    /// `KL(q(z|x) || d)` of row `i`; of a learned base only minus the entropy of `q(z|x)`, for the
    /// rest is in the points. Its gradient, times `c`, is added to that of the encoder's output.
    fn divergence(&mut self, i: usize, c: f64) -> f64 {
        let (latent, normal) = (self.latent, self.mixture.is_none());
        let Self { encoder, x, deviations, d_encoded, .. } = self;
        let encoded = encoder.output(x.rows());
        let (means, logs) = encoded.values[i * encoded.stride..][..2 * latent].split_at(latent);
        let (d_means, d_logs) = d_encoded.row_mut(i).split_at_mut(latent);
        let mut divergence = 0.0;
        for (j, (mean, log)) in means.iter().zip(logs).enumerate() {
            let (mean, log, sd) =
                (f64::from(*mean), f64::from(*log), f64::from(deviations.row(i)[j]));
            divergence -= log;
            if normal {
                divergence += 0.5 * (mean * mean + sd * sd - 1.0);
                d_means[j] += (c * mean) as f32;
                d_logs[j] += (c * (sd * sd - 1.0)) as f32;
            } else {
                divergence -= 0.5 * (1.0 + LN_TAU);
                d_logs[j] -= c as f32;
            }
        }
        divergence
    }

    /// Gathers the chunk's gradient in `gradient`; all that it was made of starts again at zero.
    fn collect_gradient(&mut self, shared: &Shared, packed: &Packed, side: Side) {
        let Self { prior, encoder, decoder, d_base, d_log_deviation, gradient, .. } = self;
        let model = &shared.problem.model;
        let of_prior = prior.take_gradient(&packed.prior);
        let (energy, b) = (of_prior.len() - 1, gradient.len() - 1);
        gradient[..energy].copy_from_slice(&of_prior[..energy]);
        if side == Side::Rows && !model.frozen {
            encoder.take_gradient(gradient);
            decoder.take_gradient(gradient);
        }
        if let Some(at) = shared.networks.log_deviation.filter(|_| !model.frozen) {
            gradient[at] = *d_log_deviation as f32;
        }
        if let Some(range) = &shared.networks.base {
            let to = gradient[range.clone()].iter_mut();
            to.zip(&*d_base).for_each(|(to, d)| *to = *d as f32);
        }
        gradient[b] = if model.has_energy() { of_prior[energy] } else { 0.0 };
        d_base.fill(0.0);
        *d_log_deviation = 0.0;
    }
}

/// Point `t` of `z`.
pub(super) fn load(z: &Tile, t: usize, point: &mut [f64]) {
    point.iter_mut().enumerate().for_each(|(d, v)| *v = f64::from(z.coordinate(d)[t]));
}
