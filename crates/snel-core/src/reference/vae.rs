//! The reference engine of variational auto-encoders.
//!
//! Shapes as suffixes: `n` rows, `p` points (every row's samples one after another), `k` values of
//! `z`, `d` values of a row.

mod chains;

use std::ops::Range;
use std::sync::Arc;

use ndarray::{Array1, Array2, Axis};

use super::chains::{ModelTarget, go_on, move_all};
use super::perceptron::{Pass, backward, forward};
use super::{ChunkGradient, network};
use crate::chunks::ChunkSet;
use crate::density::{Density, Draws};
use crate::engine::{DensityEngine, EngineError, Fingerprint, SampleSet, Scored};
use crate::host::{Host, HostEngine};
use crate::mixture::Mixture;
use crate::partial::{Partial, Side};
use crate::philox::{Key, Stream};
use crate::plan::{Chunk, StepPlan};
use crate::problem::Problem;
use crate::rows::Rows;
use crate::state::State;
use crate::statistics::Tally;
use crate::vae::{LatentScored, Likelihood, VaeEngine, VaeModel, VaeNetworks};

const LN_TAU: f64 = 1.837_877_066_409_345_3;

/// Every sample of every row of a chunk at once, in f64.
pub struct VaeReference {
    host: Host<VaeModel>,
    networks: VaeNetworks,
    rows: Arc<dyn Rows>,
}

/// `q(z|x)` of some rows with samples of it.
struct Posterior {
    encoded: Pass,
    deviation_nk: Array2<f64>,
    /// Samples of each row.
    samples: usize,
    noise_pk: Array2<f64>,
    z_pk: Array2<f64>,
}

impl Posterior {
    /// The row of point `p`.
    fn row(&self, p: usize) -> usize {
        p / self.samples
    }

    /// `log q(z|x)` of point `p`.
    fn log_density(&self, p: usize) -> f64 {
        let noise = self.noise_pk.row(p);
        let log_det: f64 = self.deviation_nk.row(self.row(p)).iter().map(|sd| sd.ln()).sum();
        -log_det - 0.5 * noise.dot(&noise) - 0.5 * noise.len() as f64 * LN_TAU
    }
}

impl VaeReference {
    /// An engine for `problem` on the training rows `rows`.
    pub fn new(problem: Arc<Problem<VaeModel>>, rows: Arc<dyn Rows>) -> Self {
        let networks = VaeNetworks::new(&problem.model);
        Self { host: Host::new(problem), networks, rows }
    }

    fn parameters(&self) -> Vec<f64> {
        self.host.state.parameters.iter().map(|&p| f64::from(p)).collect()
    }

    fn mixture(&self) -> Option<Mixture> {
        let mut mixture = self.model().mixture()?;
        mixture.set(self.parameters()[self.networks.base.clone()?].iter().copied());
        Some(mixture)
    }

    fn base(&self) -> Density {
        self.model().prior(&self.host.state.parameters).proposal
    }

    /// Samples numbered from `first` on, `samples` of each row of `x_nd`.
    fn posterior(
        &self,
        x_nd: &Array2<f64>,
        (key, step): (Key, u32),
        samples: usize,
        first: u64,
    ) -> Posterior {
        let (k, activation) = (self.model().latent(), self.model().activation);
        let encoded = forward(&self.networks.encoder, activation, &self.parameters(), x_nd, None);
        let (mean_nk, log_nk) = encoded.output.view().split_at(Axis(1), k);
        let deviation_nk = log_nk.mapv(f64::exp);
        let mut noise_pk = Array2::zeros((x_nd.nrows() * samples, k));
        let mut z_pk = noise_pk.clone();
        for (p, (mut noise, mut z)) in
            noise_pk.outer_iter_mut().zip(z_pk.outer_iter_mut()).enumerate()
        {
            let row = p / samples;
            let mut normals = vec![0.0; k];
            Draws::new(key, step, first + p as u64).normals(&mut normals);
            noise.assign(&Array1::from(normals));
            z.assign(&(&mean_nk.row(row) + &(&deviation_nk.row(row) * &noise)));
        }
        Posterior { encoded, deviation_nk, samples, noise_pk, z_pk }
    }

    /// `log p(x|z)` with `output` of the decoder, its gradient by that output, and by the logarithm
    /// of the deviation.
    fn likelihood(&self, x: &[f64], output: &[f64]) -> (f64, Vec<f64>, f64) {
        let (mut log_p, mut by_deviation) = (0.0, 0.0);
        let mut by_output = Vec::new();
        for (x, o) in x.iter().zip(output) {
            match self.model().likelihood {
                Likelihood::Bernoulli => {
                    log_p += x * o - (o.max(0.0) + (-o.abs()).exp().ln_1p());
                    by_output.push(x - 1.0 / (1.0 + (-o).exp()));
                }
                Likelihood::Gaussian { .. } => {
                    let sd = self.model().log_deviation(&self.host.state.parameters).exp();
                    let r = (x - o) / sd;
                    log_p -= 0.5 * r * r + sd.ln() + 0.5 * LN_TAU;
                    by_output.push(r / sd);
                    by_deviation += r * r - 1.0;
                }
            }
        }
        (log_p, by_output, by_deviation)
    }

    /// Gradient and statistics of chunk `index` of `plan`, in f64.
    ///
    /// # Errors
    /// [`EngineError::Rows`] if training rows cannot be read.
    pub fn chunk(&self, plan: &StepPlan, index: u32) -> Result<ChunkGradient, EngineError> {
        match plan.chunk(index) {
            Chunk::Rows(range) => match self.host.problem.objective.mcmc() {
                Some(mcmc) => self.posterior_chunk(&mcmc, plan, range),
                None => self.row_chunk(plan, range),
            },
            Chunk::Samples(range) => Ok(self.sample_chunk(plan, range)),
        }
    }

    /// Rows of the minibatch at the positions `range`, one a row.
    fn minibatch(&self, plan: &StepPlan, range: Range<u64>) -> Result<Array2<f64>, EngineError> {
        let mut numbers = vec![0; range.clone().count()];
        plan.rows(range.start, &mut numbers);
        let mut values = vec![0.0; numbers.len() * self.model().inputs];
        self.rows.gather(&numbers, &mut values)?;
        Ok(matrix(&values, self.model().inputs))
    }

    fn row_chunk(&self, plan: &StepPlan, range: Range<u64>) -> Result<ChunkGradient, EngineError> {
        let Problem { model, seed, layout, .. } = &*self.host.problem;
        let VaeNetworks { encoder, decoder, log_deviation, base, .. } = &self.networks;
        let (parameters, activation, k) = (self.parameters(), model.activation, model.latent());
        let x_nd = self.minibatch(plan, range.clone())?;
        let s = model.posterior_samples;
        let key = Key::new(*seed, Stream::Posterior);
        let first = range.start * s;
        let posterior = self.posterior(&x_nd, (key, plan.step), s as usize, first);
        let z_pk = &posterior.z_pk;
        let decoded = forward(decoder, activation, &parameters, z_pk, None);
        let energies = network::energies(&model.energy, &parameters, z_pk.view());
        let density = self.base();

        let mut gradient = vec![0.0; layout.len()];
        let (n, c) = (plan.batch() as f64, 1.0 / (plan.batch() as f64 * s as f64));
        let mut means = vec![0.0; x_nd.nrows()];
        let mut d_output_pd = Array2::zeros(decoded.output.raw_dim());
        let mut dz_pk = c * network::input_gradients(&model.energy, &parameters, z_pk.view());
        let mut mixture = self.mixture();
        for (p, z) in z_pk.outer_iter().enumerate() {
            let (z, row) = (z.to_vec(), posterior.row(p));
            let output = decoded.output.row(p).to_vec();
            let (log_p, by_output, by_deviation) =
                self.likelihood(&x_nd.row(row).to_vec(), &output);
            means[row] += (log_p - energies[p]) / s as f64;
            d_output_pd.row_mut(p).assign(&(-c * Array1::from(by_output)));
            if let Some(at) = log_deviation {
                gradient[*at] -= c * by_deviation;
            }
            if let (Some(mixture), Some(base)) = (&mut mixture, base) {
                means[row] += density.log_density(&z) / s as f64;
                mixture.add_gradient(&z, -c, &mut gradient[base.clone()]);
                let mut dz = dz_pk.row(p).to_vec();
                mixture.add_point_gradient(&z, -c, &mut dz);
                dz_pk.row_mut(p).assign(&Array1::from(dz));
            }
        }
        let cotangents = Array1::from_elem(z_pk.nrows(), c);
        network::energy_gradients(
            &model.energy,
            &parameters,
            z_pk.view(),
            &cotangents,
            &mut gradient,
        );
        dz_pk += &backward(decoder, &parameters, &decoded, d_output_pd, &mut gradient).input;

        let mut tally = Tally::default();
        let mut d_encoded = Array2::zeros(posterior.encoded.output.raw_dim());
        for (row, mean) in means.iter().enumerate() {
            let mut kl = 0.0;
            for j in 0..k {
                let mean = posterior.encoded.output[(row, j)];
                let sd = posterior.deviation_nk[(row, j)];
                // The entropy of q(z|x) is exact for both; the standard normal's part is too.
                if mixture.is_none() {
                    kl += 0.5 * (mean * mean + sd * sd - 1.0) - sd.ln();
                    d_encoded[(row, j)] += mean / n;
                    d_encoded[(row, k + j)] += (sd * sd - 1.0) / n;
                } else {
                    kl -= sd.ln() + 0.5 * (1.0 + LN_TAU);
                    d_encoded[(row, k + j)] -= 1.0 / n;
                }
            }
            tally.add_row(mean - kl);
        }
        for (p, dz) in dz_pk.outer_iter().enumerate() {
            let row = posterior.row(p);
            for j in 0..k {
                d_encoded[(row, j)] += dz[j];
                d_encoded[(row, k + j)] +=
                    dz[j] * posterior.noise_pk[(p, j)] * posterior.deviation_nk[(row, j)];
            }
        }
        backward(encoder, &parameters, &posterior.encoded, d_encoded, &mut gradient);
        if model.has_energy() {
            gradient[layout.b()] = cotangents.sum();
        }
        self.leave_constants(&mut gradient);
        Ok(ChunkGradient { side: Side::Rows, gradient, tally, carried: Vec::new() })
    }

    fn sample_chunk(&self, plan: &StepPlan, range: Range<u64>) -> ChunkGradient {
        let Problem { model, objective, layout, .. } = &*self.host.problem;
        let parameters = self.parameters();
        let set = SampleSet { stream: Stream::Proposal, step: plan.step };
        let mut z_pk = self.draw(set, range.clone());
        let mut tally = Tally::default();
        if let Some(mcmc) = objective.mcmc() {
            let State { chains: places, step_size, .. } = &self.host.state;
            let walk = self.walk(mcmc, *step_size, plan, range.start);
            go_on(walk, places, &mut z_pk);
            let prior = model.prior(&self.host.state.parameters);
            let mut target = ModelTarget { model: &prior, parameters: &parameters };
            tally.add_moves(move_all(walk, &mut target, &mut z_pk));
        }
        let energies = network::energies(&model.energy, &parameters, z_pk.view());
        let (b, m) = (f64::from(self.host.state.b()), plan.samples() as f64);
        let ratio = m / plan.batch() as f64;
        let base = self.base();
        let mut cotangents = Array1::zeros(z_pk.nrows());
        for ((c, energy), z) in cotangents.iter_mut().zip(&energies).zip(z_pk.outer_iter()) {
            let weight = if objective.mcmc().is_some() {
                tally.add_chain(base.log_density(&z.to_vec()) - energy);
                1.0
            } else {
                let weight = (-energy - b).exp();
                if !tally.add_sample(-energy - b, weight) {
                    continue;
                }
                weight
            };
            *c = objective.sample_cotangent(weight, ratio) / m;
        }
        let mut gradient = vec![0.0; layout.len()];
        network::energy_gradients(
            &model.energy,
            &parameters,
            z_pk.view(),
            &cotangents,
            &mut gradient,
        );
        if let (Some(mut mixture), Some(base)) = (self.mixture(), &self.networks.base) {
            for (z, c) in z_pk.outer_iter().zip(&cotangents) {
                mixture.add_gradient(&z.to_vec(), -c, &mut gradient[base.clone()]);
            }
        }
        gradient[layout.b()] = if objective.trains_b() { cotangents.sum() } else { 0.0 };
        self.leave_constants(&mut gradient);
        let keeps = self.host.problem.persistent().is_some();
        let carried = if keeps { z_pk.iter().map(|&z| z as f32).collect() } else { Vec::new() };
        ChunkGradient { side: Side::Samples, gradient, tally, carried }
    }

    /// No gradient where nothing is trained.
    fn leave_constants(&self, gradient: &mut [f64]) {
        let layout = &self.host.problem.layout;
        for segment in layout.segments().iter().filter(|s| !s.is_trained()) {
            gradient[segment.range()].fill(0.0);
        }
    }

    /// Samples `range` of the base density, one a row.
    fn draw(&self, set: SampleSet, range: Range<u64>) -> Array2<f64> {
        let (key, base) = (Key::new(self.host.problem.seed, set.stream), self.base());
        let mut z_pk = Array2::zeros((range.clone().count(), self.model().latent()));
        for (number, mut z) in range.zip(z_pk.outer_iter_mut()) {
            let mut point = z.to_vec();
            base.sample(&mut Draws::new(key, set.step, number), &mut point);
            z.assign(&Array1::from(point));
        }
        z_pk
    }

    fn score_f64(&self, z_pk: &Array2<f64>, out: &mut [Scored]) {
        let base = self.base();
        let energies = network::energies(&self.model().energy, &self.parameters(), z_pk.view());
        for ((out, energy), z) in out.iter_mut().zip(energies).zip(z_pk.outer_iter()) {
            let log_d = base.log_density(&z.to_vec()) as f32;
            *out = Scored { energy: energy as f32, log_base: log_d, log_proposal: log_d };
        }
    }
}

/// Row-major values with `width` columns.
fn matrix(values: &[f32], width: usize) -> Array2<f64> {
    let wide = values.iter().map(|&v| f64::from(v)).collect();
    Array2::from_shape_vec((values.len() / width, width), wide).unwrap_or_default()
}

fn copy<'a>(from: impl IntoIterator<Item = &'a f64>, to: &mut [f32]) {
    to.iter_mut().zip(from).for_each(|(to, v)| *to = *v as f32);
}

impl HostEngine for VaeReference {
    type Model = VaeModel;

    fn arithmetic(&self) -> Fingerprint {
        super::fingerprint()
    }

    fn add_chunks(
        &mut self,
        plan: &StepPlan,
        chunks: &ChunkSet,
        partial: &mut Partial,
    ) -> Result<(), EngineError> {
        super::add_chunks(chunks, partial, |index| self.chunk(plan, index))
    }

    fn host(&self) -> &Host<VaeModel> {
        &self.host
    }

    fn host_mut(&mut self) -> &mut Host<VaeModel> {
        &mut self.host
    }
}

impl DensityEngine for VaeReference {
    fn score(&self, x: &[f32], out: &mut [Scored]) {
        self.score_f64(&matrix(x, self.model().latent()), out);
    }

    fn score_samples(&self, set: SampleSet, range: Range<u64>, x: &mut [f32], out: &mut [Scored]) {
        let z_pk = self.draw(set, range);
        copy(&z_pk, x);
        self.score_f64(&z_pk, out);
    }
}

impl VaeEngine for VaeReference {
    fn model(&self) -> &VaeModel {
        &self.host.problem.model
    }

    fn encode(&self, x: &[f32], means: &mut [f32], deviations: &mut [f32]) {
        let VaeModel { inputs, activation, .. } = *self.model();
        let x_nd = matrix(x, inputs);
        let output =
            forward(&self.networks.encoder, activation, &self.parameters(), &x_nd, None).output;
        let (mean_nk, log_nk) = output.view().split_at(Axis(1), self.model().latent());
        copy(mean_nk, means);
        copy(&log_nk.mapv(f64::exp), deviations);
    }

    fn decode(&self, z: &[f32], x: &mut [f32]) {
        let z_pk = matrix(z, self.model().latent());
        let decoder = &self.networks.decoder;
        let output =
            forward(decoder, self.model().activation, &self.parameters(), &z_pk, None).output;
        copy(
            &match self.model().likelihood {
                Likelihood::Bernoulli => output.mapv(|o| 1.0 / (1.0 + (-o).exp())),
                Likelihood::Gaussian { .. } => output,
            },
            x,
        );
    }

    fn score_latents(&self, set: SampleSet, first: u64, x: &[f32], out: &mut [LatentScored]) {
        let x_nd = matrix(x, self.model().inputs);
        let key = Key::new(self.host.problem.seed, set.stream);
        let samples = out.len() / x_nd.nrows().max(1);
        let posterior = self.posterior(&x_nd, (key, set.step), samples, first);
        let z_pk = &posterior.z_pk;
        let (parameters, activation) = (self.parameters(), self.model().activation);
        let decoded = forward(&self.networks.decoder, activation, &parameters, z_pk, None).output;
        let mut scored = vec![Scored::default(); out.len()];
        self.score_f64(z_pk, &mut scored);
        for (p, (out, scored)) in out.iter_mut().zip(scored).enumerate() {
            let x = x_nd.row(posterior.row(p)).to_vec();
            *out = LatentScored {
                log_likelihood: self.likelihood(&x, &decoded.row(p).to_vec()).0 as f32,
                log_base: scored.log_base,
                energy: scored.energy,
                log_posterior: posterior.log_density(p) as f32,
            };
        }
    }
}
