//! Steps by chains: those of the prior, and those of the posteriors of a chunk's rows.

use std::ops::Range;

use ndarray::{Array1, Array2};

use super::VaeReference;
use crate::engine::{EngineError, SampleSet};
use crate::mcmc::{Mcmc, Places, Target, Walk};
use crate::partial::Side;
use crate::philox::Stream;
use crate::plan::StepPlan;
use crate::problem::Problem;
use crate::reference::chains::{ModelTarget, move_all};
use crate::reference::perceptron::{backward, forward};
use crate::reference::{ChunkGradient, network};
use crate::statistics::Tally;
use crate::vae::{VaeEngine, VaeNetworks};

/// `log p(x|z) + log d(z) - E(z)`, where every row has `samples` points.
struct PosteriorTarget<'a> {
    prior: ModelTarget<'a>,
    engine: &'a VaeReference,
    x_nd: &'a Array2<f64>,
    samples: usize,
}

impl Target for PosteriorTarget<'_> {
    fn evaluate(&mut self, places: &mut Places) {
        let Self { prior, engine, x_nd, samples } = self;
        prior.evaluate(places);
        let latent = engine.model().latent();
        let shape = (places.x.len() / latent, latent);
        let Ok(z_pk) = Array2::from_shape_vec(shape, places.x.clone()) else { return };
        let (decoder, activation) = (&engine.networks.decoder, engine.model().activation);
        let decoded = forward(decoder, activation, prior.parameters, &z_pk, None);
        let mut d_output_pd = Array2::zeros(decoded.output.raw_dim());
        for (p, value) in places.value.iter_mut().enumerate() {
            let x = x_nd.row(p / *samples).to_vec();
            let (log_p, by_output, _) = engine.likelihood(&x, &decoded.output.row(p).to_vec());
            *value += log_p;
            d_output_pd.row_mut(p).assign(&Array1::from(by_output));
        }
        let mut unused = vec![0.0; prior.parameters.len()];
        let dz_pk = backward(decoder, prior.parameters, &decoded, d_output_pd, &mut unused).input;
        places.gradient.iter_mut().zip(&dz_pk).for_each(|(g, dz)| *g += dz);
    }
}

impl VaeReference {
    /// The moves of chains of a step, from number `first` on.
    pub(super) fn walk(&self, mcmc: Mcmc, size: f64, plan: &StepPlan, first: u64) -> Walk {
        Walk { mcmc, size, seed: self.host.problem.seed, step: plan.step, first }
    }

    /// A chunk of rows where the objective is that of chains.
    pub(super) fn posterior_chunk(
        &self,
        mcmc: &Mcmc,
        plan: &StepPlan,
        range: Range<u64>,
    ) -> Result<ChunkGradient, EngineError> {
        let Problem { model, layout, .. } = &*self.host.problem;
        let VaeNetworks { decoder, log_deviation, base, .. } = &self.networks;
        let parameters = self.parameters();
        // The encoder follows the ELBO; whatever else that says is left out.
        let of_elbo = self.row_chunk(plan, range.clone())?.gradient;
        let mut gradient = vec![0.0; layout.len()];
        for segment in layout.segments().iter().filter(|s| s.name.starts_with("encoder")) {
            gradient[segment.range()].copy_from_slice(&of_elbo[segment.range()]);
        }

        let x_nd = self.minibatch(plan, range.clone())?;
        let s = model.posterior_samples;
        let first = plan.samples() + range.start * s;
        let set = SampleSet { stream: Stream::Proposal, step: plan.step };
        let mut z_pk = self.draw(set, first..plan.samples() + range.end * s);
        let mut tally = Tally::default();
        if let Some(of_posterior) = mcmc.of_posterior() {
            let walk = self.walk(of_posterior, of_posterior.step_size, plan, first);
            let prior = model.prior(&self.host.state.parameters);
            let prior = ModelTarget { model: &prior, parameters: &parameters };
            let mut target =
                PosteriorTarget { prior, engine: self, x_nd: &x_nd, samples: s as usize };
            let fared = move_all(walk, &mut target, &mut z_pk);
            tally.add_posteriors(z_pk.nrows() as u64, fared);
        }
        let decoded = forward(decoder, model.activation, &parameters, &z_pk, None);
        let energies = network::energies(&model.energy, &parameters, z_pk.view());
        let density = self.base();
        let c = 1.0 / (plan.batch() as f64 * s as f64);
        let mut mixture = self.mixture();
        let mut tilted = vec![0.0; x_nd.nrows()];
        let mut d_output_pd = Array2::zeros(decoded.output.raw_dim());
        for (p, z) in z_pk.outer_iter().enumerate() {
            let (z, row) = (z.to_vec(), p / s as usize);
            let (log_p, by_output, by_deviation) =
                self.likelihood(&x_nd.row(row).to_vec(), &decoded.output.row(p).to_vec());
            d_output_pd.row_mut(p).assign(&(-c * Array1::from(by_output)));
            if let Some(at) = log_deviation {
                gradient[*at] -= c * by_deviation;
            }
            tilted[row] += (density.log_density(&z) - energies[p]) / s as f64;
            if !log_p.is_finite() {
                tilted[row] = f64::NAN;
            }
            if let (Some(mixture), Some(base)) = (&mut mixture, base) {
                mixture.add_gradient(&z, -c, &mut gradient[base.clone()]);
            }
        }
        let cotangents = Array1::from_elem(z_pk.nrows(), c);
        let energy = &model.energy;
        network::energy_gradients(energy, &parameters, z_pk.view(), &cotangents, &mut gradient);
        backward(decoder, &parameters, &decoded, d_output_pd, &mut gradient);
        self.leave_constants(&mut gradient);
        tilted.into_iter().for_each(|tilted| tally.add_row(tilted));
        Ok(ChunkGradient { side: Side::Rows, gradient, tally, carried: Vec::new() })
    }
}
