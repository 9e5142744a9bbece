//! Rows and points that are looked at without training, on one thread.

use snel_core::engine::SampleSet;
use snel_core::philox::Key;
use snel_core::vae::{LatentScored, Likelihood};

use super::shared::Shared;
use super::workspace::{LN_TAU, Parameters, Workspace};
use crate::chunk::{length, tiles};
use crate::draw::Source;
use crate::tile::TILE;

impl Workspace {
    /// Means and deviations of `q(z|x)` at the rows `x`.
    pub(super) fn encode_to(
        &mut self,
        shared: &Shared,
        parameters: Parameters<'_>,
        x: &[f32],
        means: &mut [f32],
        deviations: &mut [f32],
    ) {
        let (inputs, latent) = (shared.problem.model.inputs, shared.problem.model.latent());
        let out = means.chunks_mut(TILE * latent).zip(deviations.chunks_mut(TILE * latent));
        for (x, (means, deviations)) in x.chunks(TILE * inputs).zip(out) {
            self.encode(parameters, x);
            let out = means.chunks_mut(latent).zip(deviations.chunks_mut(latent));
            for (i, (mean, deviation)) in out.enumerate() {
                mean.copy_from_slice(&self.encoded(i)[..latent]);
                deviation.copy_from_slice(&self.deviations.row(i)[..latent]);
            }
        }
    }

    /// Means of `p(x|z)` at the points `z`.
    pub(super) fn decode_to(
        &mut self,
        shared: &Shared,
        parameters: Parameters<'_>,
        z: &[f32],
        x: &mut [f32],
    ) {
        let (inputs, latent) = (shared.problem.model.inputs, shared.problem.model.latent());
        for (z, x) in z.chunks(TILE * latent).zip(x.chunks_mut(TILE * inputs)) {
            self.prior.points_mut().set_rows(z);
            self.run_decoder(parameters);
            let output = self.decoder.output(self.prior.points().rows());
            for (x, o) in x.chunks_mut(inputs).zip(output.values.chunks(output.stride)) {
                x.copy_from_slice(&o[..inputs]);
            }
            if shared.problem.model.likelihood == Likelihood::Bernoulli {
                x.iter_mut().for_each(|x| *x = 1.0 / (1.0 + libm::expf(-*x)));
            }
        }
    }

    /// Draws as many samples of `q(z|x)` for each of the rows `x` as `out` has room for, numbered from
    /// `first` on, and scores them.
    pub(super) fn score_latents(
        &mut self,
        shared: &Shared,
        parameters: Parameters<'_>,
        set: SampleSet,
        first: u64,
        x: &[f32],
        out: &mut [LatentScored],
    ) {
        let inputs = shared.problem.model.inputs;
        let samples = out.len() / (x.len() / inputs).max(1);
        let key = Key::new(shared.problem.seed, set.stream);
        let mut start = first;
        for (x, out) in x.chunks(TILE * inputs).zip(out.chunks_mut(TILE * samples)) {
            self.encode(parameters, x);
            let end = start + out.len() as u64;
            for (points, out) in tiles(start..end).zip(out.chunks_mut(TILE)) {
                let source = Source { key, step: set.step, first: points.start };
                let offset = (points.start - start) as usize;
                self.place(parameters, source, offset, samples, length(&points));
                self.score_points(parameters, out);
            }
            start = end;
        }
    }

    fn score_points(&mut self, parameters: Parameters<'_>, out: &mut [LatentScored]) {
        let Parameters { state, packed } = parameters;
        let mut log_p = [0.0; TILE];
        self.compare(parameters, 0.0, &mut log_p[..out.len()]);
        for (out, energy) in out.iter_mut().zip(self.prior.energies(packed.of_prior(state))) {
            out.energy = *energy;
        }
        for (out, log) in out.iter_mut().zip(self.prior.base_log_densities(&packed.prior)) {
            out.log_base = *log;
        }
        for (t, (out, log_p)) in out.iter_mut().zip(log_p).enumerate() {
            out.log_likelihood = log_p as f32;
            let logs = &self.encoded(self.row_of[t])[packed.base().dim()..];
            let log_posterior: f64 = logs
                .iter()
                .zip(self.noise.row(t))
                .map(|(log, noise)| {
                    -f64::from(*log) - 0.5 * f64::from(*noise) * f64::from(*noise) - 0.5 * LN_TAU
                })
                .sum();
            out.log_posterior = log_posterior as f32;
        }
    }
}
