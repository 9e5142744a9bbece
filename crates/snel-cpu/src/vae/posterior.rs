//! Chains of the posteriors `p(z|x)` of a chunk's rows, and the gradient where they come to.
//!
//! Rows and points go through in tiles as they do by the ELBO, with the places of chains for samples of
//! `q(z|x)`. Moves are those of [`snel_core::mcmc`], in f64.

use std::ops::Range;

use snel_core::engine::{EngineError, SampleSet};
use snel_core::mcmc::{Fared, Mcmc, Places, Target, Walk, Walkers};
use snel_core::philox::Stream;
use snel_core::plan::StepPlan;
use snel_core::statistics::Tally;

use super::shared::Shared;
use super::workspace::{Parameters, Workspace, load};
use crate::chunk::{length, tiles};
use crate::tile::TILE;

/// `log p(x|z) + log d - E` by a thread's networks, each point at the row that `row_of` says.
struct PosteriorTarget<'a> {
    workspace: &'a mut Workspace,
    parameters: Parameters<'a>,
}

impl Target for PosteriorTarget<'_> {
    fn evaluate(&mut self, places: &mut Places) {
        let Self { workspace, parameters } = self;
        let Parameters { state, packed } = *parameters;
        workspace.prior.evaluate(&packed.prior, packed.of_prior(state), places);
        workspace.run_decoder(*parameters);
        let mut log_p = [0.0; TILE];
        let n = places.value.len();
        workspace.compare(*parameters, 1.0, &mut log_p[..n]);
        let Workspace { decoder, d_output, d_points_too, latent, .. } = &mut **workspace;
        decoder.pull(&packed.decoder, n, d_output.rows(), d_points_too.rows_mut());
        let of_points = places.gradient.chunks_exact_mut(*latent);
        for (t, (value, gradient)) in places.value.iter_mut().zip(of_points).enumerate() {
            *value += log_p[t];
            // The decoder's is of minus the log-likelihood.
            let of_decoder = d_points_too.row(t).iter();
            gradient.iter_mut().zip(of_decoder).for_each(|(g, d)| *g -= f64::from(*d));
        }
    }
}

impl Workspace {
    /// Gathers the gradient of the rows `range` of the minibatch.
    pub(super) fn posteriors(
        &mut self,
        shared: &Shared,
        parameters: Parameters<'_>,
        plan: &StepPlan,
        mcmc: &Mcmc,
        range: Range<u64>,
        tally: &mut Tally,
    ) -> Result<(), EngineError> {
        let model = &shared.problem.model;
        if !model.frozen {
            // The encoder follows the ELBO; whatever else that says is left out.
            for tile in tiles(range.clone()) {
                self.load_rows(shared, plan, tile.clone())?;
                self.row_tile(shared, parameters, plan, tile, &mut Tally::default());
            }
            // The way to the encoder goes through the energy.
            self.prior.take_gradient(&parameters.packed.prior);
        }
        let s = model.posterior_samples;
        for tile in tiles(range) {
            self.load_rows(shared, plan, tile.clone())?;
            self.means[..length(&tile)].fill(0.0);
            let start = tile.start * s;
            for points in tiles(start..tile.end * s) {
                for (t, point) in points.clone().enumerate() {
                    self.row_of[t] = ((point - start) / s) as usize;
                }
                let chains = points.end - points.start;
                let fared = self.walk(shared, parameters, plan, mcmc, points);
                tally.add_posteriors(chains, fared);
                self.places_tile(shared, parameters, plan);
            }
            self.means[..length(&tile)].iter().for_each(|tilted| tally.add_row(*tilted));
        }
        Ok(())
    }

    /// Makes the places that the chains `points` come to the points of the tile.
    fn walk(
        &mut self,
        shared: &Shared,
        parameters: Parameters<'_>,
        plan: &StepPlan,
        mcmc: &Mcmc,
        points: Range<u64>,
    ) -> Fared {
        let latent = self.latent;
        let walkers = self.walkers.take();
        let mut walkers = walkers.unwrap_or_else(|| Walkers::new(latent, 1, TILE));
        // The prior's chains come first.
        let first = plan.samples() + points.start;
        let numbers = first..plan.samples() + points.end;
        let set = SampleSet { stream: Stream::Proposal, step: plan.step };
        self.prior.draw(&parameters.packed.prior, set, numbers);
        self.prior.points().copy_places(walkers.begin(length(&points)));
        let (seed, step) = (shared.problem.seed, plan.step);
        let mut target = PosteriorTarget { workspace: self, parameters };
        let fared = mcmc.of_posterior().map_or_else(Fared::default, |mcmc| {
            walkers.walk(&mut target, Walk { mcmc, size: mcmc.step_size, seed, step, first })
        });
        self.prior.points_mut().set_places(&walkers.here().x);
        self.walkers = Some(walkers);
        fared
    }

    /// The points forward and backward through decoder, energy and base.
    fn places_tile(&mut self, shared: &Shared, parameters: Parameters<'_>, plan: &StepPlan) {
        let model = &shared.problem.model;
        let Parameters { state, packed } = parameters;
        let n = self.prior.points().len();
        let share = 1.0 / model.posterior_samples as f64;
        let c = share / plan.batch() as f64;
        self.run_decoder(parameters);
        let mut log_p = [0.0; TILE];
        self.compare(parameters, c, &mut log_p[..n]);
        let Self { prior, row_of, means, d_points, .. } = self;
        for (t, energy) in prior.energies(packed.of_prior(state)).iter().enumerate() {
            means[row_of[t]] -= share * f64::from(*energy);
        }
        for (t, log_d) in prior.base_log_densities(&packed.prior).iter().enumerate() {
            means[row_of[t]] += share * f64::from(*log_d);
        }
        // A chain that no move was accepted of stands at a sound place, whatever its row is.
        for (t, log_p) in log_p[..n].iter().enumerate().filter(|(_, log_p)| !log_p.is_finite()) {
            means[row_of[t]] = *log_p;
        }
        prior.pull(packed.of_prior(state), c as f32, d_points.rows_mut());
        if model.frozen {
            return;
        }
        self.learn_deviation(parameters, c, n);
        let Self { prior, decoder, mixture, point, d_base, d_output, .. } = self;
        if let Some(mixture) = mixture {
            for t in 0..n {
                load(prior.points(), t, point);
                mixture.add_gradient(point, -c, d_base);
            }
        }
        decoder.backward(&packed.decoder, n, prior.points().rows(), d_output.rows());
    }
}
