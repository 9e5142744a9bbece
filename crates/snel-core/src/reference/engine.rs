//! The reference implementation of [`Engine`].

use std::ops::Range;
use std::sync::Arc;

use ndarray::{Array1, Array2, ArrayView2};

use super::network;
use crate::chunks::ChunkSet;
use crate::density::Draws;
use crate::engine::{DensityEngine, Engine, EngineError, Fingerprint, Head, SampleSet, Scored};
use crate::optim::Applied;
use crate::partial::{Partial, Reduced, Side};
use crate::philox::{Key, Stream};
use crate::plan::{Chunk, StepPlan};
use crate::problem::{Base, Problem};
use crate::rows::Rows;
use crate::state::State;
use crate::statistics::Tally;

/// Every point of a chunk at once, in f64.
pub struct ReferenceEngine {
    problem: Arc<Problem>,
    rows: Arc<dyn Rows>,
    state: State,
}

/// The gradient of one chunk before it is rounded.
#[derive(Debug, Clone)]
pub struct ChunkGradient {
    /// Which sum it belongs to.
    pub side: Side,
    /// Flat gradient, `b` last, divided by `n` or `M`.
    pub gradient: Vec<f64>,
    /// Sums of scalars.
    pub tally: Tally,
}

impl ReferenceEngine {
    /// An engine for `problem` on the training rows `rows`.
    pub fn new(problem: Arc<Problem>, rows: Arc<dyn Rows>) -> Self {
        let state = problem.initial_state();
        Self { problem, rows, state }
    }

    fn parameters(&self) -> Vec<f64> {
        self.state.parameters.iter().map(|&p| f64::from(p)).collect()
    }

    /// Proposal samples `range`, one a row.
    fn draw(&self, set: SampleSet, range: Range<u64>) -> Array2<f64> {
        let key = Key::new(self.problem.seed, set.stream);
        let n = (range.end - range.start) as usize;
        let mut x_nd = Array2::zeros((n, self.problem.model.dim()));
        for (sample, mut x) in range.zip(x_nd.outer_iter_mut()) {
            let mut point = x.to_vec();
            self.problem.model.proposal.sample(&mut Draws::new(key, set.step, sample), &mut point);
            x.assign(&Array1::from(point));
        }
        x_nd
    }

    /// `log d` and `log q` of every row.
    fn log_densities(&self, x_nd: ArrayView2<f64>) -> Vec<(f64, f64)> {
        let model = &self.problem.model;
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
        let problem = &self.problem;
        let (x_nd, is_data, count) = match plan.chunk(index) {
            Chunk::Rows(range) => {
                let mut rows = vec![0; range.clone().count()];
                plan.rows(range.start, &mut rows);
                let mut values = vec![0.0; rows.len() * self.rows.dim()];
                self.rows.gather(&rows, &mut values)?;
                let values = values.into_iter().map(f64::from).collect();
                let x_nd = Array2::from_shape_vec((rows.len(), self.rows.dim()), values);
                (x_nd.unwrap_or_default(), true, plan.batch())
            }
            Chunk::Samples(range) => {
                let set = SampleSet { stream: Stream::Proposal, step: plan.step };
                (self.draw(set, range), false, plan.samples())
            }
        };
        let parameters = self.parameters();
        let b = f64::from(self.state.b());
        let ratio = plan.samples() as f64 / plan.batch() as f64;
        let energies = network::energies(&problem.model.energy, &parameters, x_nd.view());
        let mut tally = Tally::default();
        let mut cotangents = Array1::zeros(x_nd.nrows());
        for (i, (log_d, log_q)) in self.log_densities(x_nd.view()).into_iter().enumerate() {
            let u = log_d - energies[i] - log_q - b;
            let times_count = if is_data {
                tally.add_row(log_d - energies[i]);
                problem.objective.row_cotangent(u.exp(), ratio)
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
        gradient[problem.layout.b()] = cotangents.sum();
        let side = if is_data { Side::Rows } else { Side::Samples };
        Ok(ChunkGradient { side, gradient, tally })
    }

    fn score_f64(&self, x_nd: ArrayView2<f64>, out: &mut [Scored]) {
        let energies = network::energies(&self.problem.model.energy, &self.parameters(), x_nd);
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

impl Engine for ReferenceEngine {
    fn fingerprint(&self) -> Fingerprint {
        Fingerprint {
            engine: "reference".to_owned(),
            arithmetic: std::env::consts::ARCH.to_owned(),
            revision: 1,
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }

    fn accumulate(
        &mut self,
        plan: &StepPlan,
        chunks: &ChunkSet,
        partial: &mut Partial,
    ) -> Result<(), EngineError> {
        let mut sums = partial.empty_sums();
        for index in chunks.iter() {
            let ChunkGradient { side, gradient, tally } = self.chunk(plan, index)?;
            let gradient: Vec<f32> = gradient.iter().map(|&g| g as f32).collect();
            sums.add_chunk(side, &gradient, &tally);
        }
        Ok(partial.add(chunks, &sums)?)
    }

    fn apply(&mut self, reduced: &Reduced<'_>) -> Applied {
        self.state.apply(&self.problem, reduced, &mut Vec::new())
    }

    fn skip(&mut self) {
        self.state.step += 1;
    }

    fn head(&self) -> Head {
        self.state.head()
    }

    fn set_b(&mut self, b: f32) {
        self.state.set_b(b);
    }

    fn digest(&self) -> u128 {
        self.state.digest()
    }

    fn snapshot(&self) -> State {
        self.state.clone()
    }

    fn restore(&mut self, state: &State) -> Result<(), EngineError> {
        self.state = state.checked(&self.problem)?;
        Ok(())
    }
}

impl DensityEngine for ReferenceEngine {
    fn score(&self, x: &[f32], out: &mut [Scored]) {
        let values = x.iter().map(|&v| f64::from(v)).collect();
        let x_nd = Array2::from_shape_vec((out.len(), self.problem.model.dim()), values);
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
