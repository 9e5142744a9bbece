//! The reference implementation of [`Engine`].

use std::ops::Range;
use std::sync::Arc;

use ndarray::{Array1, Array2, ArrayView2};

use super::{ChunkGradient, network};
use crate::chunks::ChunkSet;
use crate::density::Draws;
use crate::engine::{DensityEngine, EngineError, Fingerprint, SampleSet, Scored};
use crate::host::{Host, HostEngine};
use crate::partial::{Partial, Side};
use crate::philox::{Key, Stream};
use crate::plan::{Chunk, StepPlan};
use crate::problem::{Base, Model, Problem};
use crate::rows::Rows;
use crate::statistics::Tally;

/// Every point of a chunk at once, in f64.
pub struct ReferenceEngine {
    pub(super) host: Host<Model>,
    rows: Arc<dyn Rows>,
}

impl ReferenceEngine {
    /// An engine for `problem` on the training rows `rows`.
    pub fn new(problem: Arc<Problem>, rows: Arc<dyn Rows>) -> Self {
        Self { host: Host::new(problem), rows }
    }

    pub(super) fn parameters(&self) -> Vec<f64> {
        self.host.state.parameters.iter().map(|&p| f64::from(p)).collect()
    }

    /// Proposal samples `range`, one a row.
    fn draw(&self, set: SampleSet, range: Range<u64>) -> Array2<f64> {
        let key = Key::new(self.host.problem.seed, set.stream);
        let n = (range.end - range.start) as usize;
        let mut x_nd = Array2::zeros((n, self.host.problem.model.dim()));
        for (sample, mut x) in range.zip(x_nd.outer_iter_mut()) {
            let mut point = x.to_vec();
            self.host
                .problem
                .model
                .proposal
                .sample(&mut Draws::new(key, set.step, sample), &mut point);
            x.assign(&Array1::from(point));
        }
        x_nd
    }

    /// Proposal samples `range` of a step, one a row.
    pub(super) fn proposal_samples(&self, plan: &StepPlan, range: Range<u64>) -> Array2<f64> {
        self.draw(SampleSet { stream: Stream::Proposal, step: plan.step }, range)
    }

    /// Rows of the minibatch at the positions `range`, one a row.
    pub(super) fn minibatch(
        &self,
        plan: &StepPlan,
        range: Range<u64>,
    ) -> Result<Array2<f64>, EngineError> {
        let mut rows = vec![0; range.clone().count()];
        plan.rows(range.start, &mut rows);
        let mut values = vec![0.0; rows.len() * self.rows.dim()];
        self.rows.gather(&rows, &mut values)?;
        let values = values.into_iter().map(f64::from).collect();
        let x_nd = Array2::from_shape_vec((rows.len(), self.rows.dim()), values);
        Ok(x_nd.unwrap_or_default())
    }

    /// `log d` and `log q` of every row.
    fn log_densities(&self, x_nd: ArrayView2<f64>) -> Vec<(f64, f64)> {
        let model = &self.host.problem.model;
        x_nd.outer_iter()
            .map(|x| {
                let x = x.to_vec();
                let log_q = model.proposal.log_density(&x);
                let log_d = match &model.base {
                    Base::None => 0.0,
                    Base::Proposal => log_q,
                    Base::Density(density) => density.log_density(&x),
                };
                (log_d, log_q)
            })
            .collect()
    }

    /// Gradient and statistics of chunk `index` of `plan`, in f64.
    ///
    /// # Errors
    /// [`EngineError::Rows`] if training rows cannot be read.
    pub fn chunk(&self, plan: &StepPlan, index: u32) -> Result<ChunkGradient, EngineError> {
        let problem = &self.host.problem;
        let mut tally = Tally::default();
        let (x_nd, is_data, count) = match plan.chunk(index) {
            Chunk::Rows(range) => (self.minibatch(plan, range)?, true, plan.batch()),
            Chunk::Samples(range) => {
                let x_nd = match problem.objective.mcmc() {
                    Some(mcmc) => self.walk(&mcmc, plan, range, &mut tally)?,
                    None => self.proposal_samples(plan, range),
                };
                (x_nd, false, plan.samples())
            }
        };
        let chains = !is_data && problem.objective.mcmc().is_some();
        let parameters = self.parameters();
        let b = f64::from(self.host.state.b());
        let ratio = plan.samples() as f64 / plan.batch() as f64;
        let energies = network::energies(&problem.model.energy, &parameters, x_nd.view());
        let mut cotangents = Array1::zeros(x_nd.nrows());
        for (i, (log_d, log_q)) in self.log_densities(x_nd.view()).into_iter().enumerate() {
            let u = log_d - energies[i] - log_q - b;
            let times_count = if is_data {
                tally.add_row(log_d - energies[i]);
                problem.objective.row_cotangent(u.exp(), ratio)
            } else if chains {
                tally.add_chain(log_d - energies[i]);
                problem.objective.sample_cotangent(1.0, ratio)
            } else if tally.add_sample(u, u.exp()) {
                problem.objective.sample_cotangent(u.exp(), ratio)
            } else {
                0.0
            };
            cotangents[i] = times_count / count as f64;
        }
        let mut gradient = vec![0.0; problem.layout.len()];
        let energy = &problem.model.energy;
        network::energy_gradients(energy, &parameters, x_nd.view(), &cotangents, &mut gradient);
        gradient[problem.layout.b()] =
            if problem.objective.trains_b() { cotangents.sum() } else { 0.0 };
        let side = if is_data { Side::Rows } else { Side::Samples };
        let keeps = chains && problem.persistent().is_some();
        let carried = if keeps { x_nd.iter().map(|&x| x as f32).collect() } else { Vec::new() };
        Ok(ChunkGradient { side, gradient, tally, carried })
    }

    fn score_f64(&self, x_nd: ArrayView2<f64>, out: &mut [Scored]) {
        let energies = network::energies(&self.host.problem.model.energy, &self.parameters(), x_nd);
        let log_densities = self.log_densities(x_nd);
        for (out, (energy, (log_d, log_q))) in
            out.iter_mut().zip(energies.iter().zip(log_densities))
        {
            *out = Scored {
                energy: *energy as f32,
                log_base: log_d as f32,
                log_proposal: log_q as f32,
            };
        }
    }
}

impl HostEngine for ReferenceEngine {
    type Model = Model;

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

    fn host(&self) -> &Host<Model> {
        &self.host
    }

    fn host_mut(&mut self) -> &mut Host<Model> {
        &mut self.host
    }
}

impl DensityEngine for ReferenceEngine {
    fn score(&self, x: &[f32], out: &mut [Scored]) {
        let values = x.iter().map(|&v| f64::from(v)).collect();
        let x_nd = Array2::from_shape_vec((out.len(), self.host.problem.model.dim()), values);
        self.score_f64(x_nd.unwrap_or_default().view(), out);
    }

    fn score_samples(&self, set: SampleSet, range: Range<u64>, x: &mut [f32], out: &mut [Scored]) {
        let x_nd = self.draw(set, range);
        for (x, value) in x.iter_mut().zip(&x_nd) {
            *x = *value as f32;
        }
        self.score_f64(x_nd.view(), out);
    }
}
