//! A tile of values of `y` at one `x`: samples, and the observed value behind them.

use std::ops::Range;

use snel_core::conditional::ConditionalProposal;
use snel_core::density::Draws;
use snel_core::mixture::Mixture;
use snel_core::problem::Base;

use super::workspace::Shared;
use crate::density::{Scratch, TileDensity};
use crate::draw::{Sampler, Source};
use crate::tile::{TILE, Tile};

/// The tile, with the log-densities of its points.
pub(super) struct Points {
    pub(super) y: Tile,
    sampler: Sampler,
    scratch: Scratch,
    /// The proposal at this `x`, if it is learned.
    pub(super) mixture: Option<Mixture>,
    pub(super) log_base: [f32; TILE],
    pub(super) log_proposal: [f32; TILE],
    point: Vec<f64>,
}

impl Points {
    pub(super) fn new(shared: &Shared) -> Self {
        let model = &shared.problem.model;
        let components = shared.densities().map(TileDensity::components).max();
        Self {
            y: Tile::new(model.targets),
            sampler: Sampler::new(model.targets),
            scratch: Scratch::new(components.unwrap_or(0)),
            mixture: model.mixture().map(|network| network.mixture(model.targets)),
            log_base: [0.0; TILE],
            log_proposal: [0.0; TILE],
            point: vec![0.0; model.targets],
        }
    }

    /// Takes over what the proposal's network gives for this `x`.
    pub(super) fn set_mixture(&mut self, outputs: &[f32]) {
        if let Some(mixture) = &mut self.mixture {
            mixture.set(outputs.iter().map(|&v| f64::from(v)));
        }
    }

    /// Draws `n` training samples around, if the proposal looks at it, the observed `y`; appends the
    /// observed `y` if `with_observed`; fills in the log-densities.
    pub(super) fn draw(
        &mut self,
        shared: &Shared,
        source: Source,
        n: usize,
        observed: &[f32],
        with_observed: bool,
    ) {
        let model = &shared.problem.model;
        let ConditionalProposal::Observed { noise, .. } = &model.proposal else {
            self.draw_unseeing(shared, source, n);
            if with_observed {
                self.y.push(observed.iter().copied());
            }
            // With the proposal as base its density cancels at samples; only that of the row counts.
            let cancels = model.base == Base::Proposal;
            return self
                .log_densities(shared, if cancels { n..self.y.len() } else { 0..self.y.len() });
        };
        self.sampler.draw(noise, source, n, &mut self.y);
        if with_observed {
            self.y.push(observed.iter().map(|_| 0.0));
        }
        let n = self.y.len();
        if let Some(noise) = &shared.noise {
            noise.log_density(&self.y, &mut self.scratch, &mut self.log_proposal[..n]);
        }
        self.y.shift(observed);
        self.log_base(shared);
    }

    /// Draws `n` samples of the proposal that does not look at an observed `y`.
    pub(super) fn draw_unseeing(&mut self, shared: &Shared, source: Source, n: usize) {
        let Self { y, sampler, mixture, point, .. } = self;
        match (&shared.problem.model.proposal, mixture) {
            (ConditionalProposal::Network(_), Some(mixture)) => {
                y.begin(n);
                for t in 0..n {
                    let number = source.first + t as u64;
                    mixture.sample(&mut Draws::new(source.key, source.step, number), point);
                    y.set_point(t, point.iter().map(|&v| v as f32));
                }
            }
            (
                ConditionalProposal::Fixed(density)
                | ConditionalProposal::Observed { elsewhere: density, .. },
                _,
            ) => sampler.draw(density, source, n, y),
            (ConditionalProposal::Network(_), None) => {}
        }
    }

    /// Fills in the log-densities under base and unseeing proposal; those of the latter at the
    /// points `which`, zero at the others.
    pub(super) fn log_densities(&mut self, shared: &Shared, which: Range<usize>) {
        let n = self.y.len();
        let Self { y, scratch, mixture, log_proposal, point, .. } = self;
        log_proposal[..which.start].fill(0.0);
        if let Some(mixture) = mixture {
            for t in which {
                load(y, t, point);
                log_proposal[t] = mixture.log_density(point) as f32;
            }
        } else if let Some(proposal) = shared.proposal.as_ref().filter(|_| !which.is_empty()) {
            proposal.log_density(y, scratch, &mut log_proposal[..n]);
            log_proposal[..which.start].fill(0.0);
        }
        self.log_base(shared);
    }

    fn log_base(&mut self, shared: &Shared) {
        let n = self.y.len();
        let Self { y, scratch, log_base, log_proposal, .. } = self;
        match &shared.base {
            Some(base) => base.log_density(y, scratch, &mut log_base[..n]),
            None if shared.problem.model.base == Base::Proposal => {
                log_base[..n].copy_from_slice(&log_proposal[..n]);
            }
            None => log_base[..n].fill(0.0),
        }
    }

    /// Adds `factor` times the gradient of the mixture's log-density at point `t` to `gradient`.
    pub(super) fn add_mixture_gradient(&mut self, t: usize, factor: f64, gradient: &mut [f64]) {
        if let Some(mixture) = &mut self.mixture {
            load(&self.y, t, &mut self.point);
            mixture.add_gradient(&self.point, factor, gradient);
        }
    }
}

fn load(y: &Tile, t: usize, point: &mut [f64]) {
    point.iter_mut().enumerate().for_each(|(d, v)| *v = f64::from(y.coordinate(d)[t]));
}
