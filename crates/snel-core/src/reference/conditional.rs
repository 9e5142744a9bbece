//! The reference engine of conditional models.

use std::sync::Arc;

use ndarray::{Array1, Array2, Axis};

use super::ChunkGradient;
use super::perceptron::{backward, forward, linear, linear_back};
use crate::chunks::ChunkSet;
use crate::conditional::{
    ConditionalEngine, ConditionalModel, ConditionalProposal, Networks, RowSamples, RowWeights,
};
use crate::density::{Affine, Density, Draws, Scale};
use crate::engine::{EngineError, Fingerprint, Scored};
use crate::host::{Host, HostEngine};
use crate::mixture::FLOOR;
use crate::partial::{Partial, Side};
use crate::philox::{Key, Stream};
use crate::plan::{Chunk, StepPlan};
use crate::problem::{Base, Problem};
use crate::rows::Rows;
use crate::statistics::Tally;

/// Every sample of every row of a chunk at once, in f64.
pub struct ConditionalReference {
    host: Host<ConditionalModel>,
    networks: Networks,
    rows: Arc<dyn Rows>,
}

/// One row with its samples.
struct Row {
    /// The observed `y`, then the samples: `(M + 1) x targets`.
    y: Array2<f64>,
    log_base: Vec<f64>,
    log_proposal: Vec<f64>,
}

impl ConditionalReference {
    /// An engine for `problem` on the training rows `rows`.
    pub fn new(problem: Arc<Problem<ConditionalModel>>, rows: Arc<dyn Rows>) -> Self {
        let networks = Networks::new(&problem.model);
        Self { host: Host::new(problem), networks, rows }
    }

    fn parameters(&self) -> Vec<f64> {
        self.host.state.parameters.iter().map(|&p| f64::from(p)).collect()
    }

    /// The proposals at `x`; `observed` is there in training.
    fn proposals(&self, x: &Array2<f64>, observed: Option<&Array2<f64>>) -> Vec<Density> {
        let model = &self.host.problem.model;
        match (&model.proposal, observed) {
            (ConditionalProposal::Fixed(density), _) => vec![density.clone(); x.nrows()],
            (ConditionalProposal::Observed { elsewhere, .. }, None) => {
                vec![elsewhere.clone(); x.nrows()]
            }
            (ConditionalProposal::Observed { noise, .. }, Some(y)) => {
                y.outer_iter().map(|y| shifted(noise, &y.to_vec())).collect()
            }
            (ConditionalProposal::Network(network), _) => {
                let outputs = self.mixture_outputs(x);
                let mix = |outputs: Vec<f64>| {
                    let k = network.components;
                    let logits = &outputs[..k];
                    let total: f64 = logits.iter().map(|l| l.exp()).sum();
                    let defensive = network.defensive.as_ref();
                    let rest = 1.0 - defensive.map_or(0.0, |d| d.weight);
                    let mut weights: Vec<f64> =
                        logits.iter().map(|l| rest * l.exp() / total).collect();
                    let of = |start: usize| &outputs[start..start + model.targets];
                    let component = |c: usize| {
                        let mean = of(k + c * model.targets).to_vec();
                        let scale = of(k + (k + c) * model.targets).iter();
                        let scale = scale.map(|s| s.exp() + FLOOR).collect();
                        let at = Affine { mean, scale: Scale::Diagonal(scale) };
                        Density::Gaussian { at }
                    };
                    let mut components: Vec<Density> = (0..k).map(component).collect();
                    weights.extend(defensive.map(|d| d.weight));
                    components.extend(defensive.map(|d| d.density.clone()));
                    Density::Mixture { weights, components }
                };
                outputs.outer_iter().map(|row| mix(row.to_vec())).collect()
            }
        }
    }

    fn mixture_outputs(&self, x: &Array2<f64>) -> Array2<f64> {
        let activation = self.host.problem.model.activation;
        match &self.networks.proposal {
            Some(net) => forward(net, activation, &self.parameters(), x, None).output,
            None => Array2::zeros((x.nrows(), 0)),
        }
    }

    fn row(&self, proposal: &Density, y: Array2<f64>) -> Row {
        let base = |y: &[f64], log_q: f64| match &self.host.problem.model.base {
            Base::None => 0.0,
            Base::Proposal => log_q,
            Base::Density(density) => density.log_density(y),
        };
        let (mut log_base, mut log_proposal) = (Vec::new(), Vec::new());
        for y in y.outer_iter() {
            let log_q = proposal.log_density(&y.to_vec());
            log_base.push(base(&y.to_vec(), log_q));
            log_proposal.push(log_q);
        }
        Row { y, log_base, log_proposal }
    }

    /// Energies of `y` (`k` to each row of `x`).
    fn energies(&self, x: &Array2<f64>, y: &Array2<f64>) -> Vec<f64> {
        let (parameters, activation) = (self.parameters(), self.host.problem.model.activation);
        let nets = &self.networks;
        let h = forward(&nets.features, activation, &parameters, x, None).output;
        let offset = linear(&parameters, &nets.offset, &h);
        let offset = repeated(&offset, y.nrows() / x.nrows().max(1));
        let pass = forward(&nets.energy, activation, &parameters, y, Some(&offset));
        pass.output.iter().copied().collect()
    }

    /// Gradient and statistics of chunk `index` of `plan`, in f64.
    ///
    /// # Errors
    /// [`EngineError::Rows`] if training rows cannot be read.
    pub fn chunk(&self, plan: &StepPlan, index: u32) -> Result<ChunkGradient, EngineError> {
        let Problem { model, objective, seed, layout, .. } = &*self.host.problem;
        let Networks { features, offset, energy, log_normaliser, proposal } = &self.networks;
        let range = match plan.chunk(index) {
            Chunk::Rows(range) => range,
            Chunk::Samples(range) => range.end..range.end,
        };
        let mut numbers = vec![0; range.clone().count()];
        plan.rows(range.start, &mut numbers);
        let mut values = vec![0.0; numbers.len() * model.dim()];
        self.rows.gather(&numbers, &mut values)?;
        let (x, y) = split(&values, model.inputs, model.dim());

        let (parameters, activation) = (self.parameters(), model.activation);
        let h = forward(features, activation, &parameters, &x, None);
        let offsets = linear(&parameters, offset, &h.output);
        let g = forward(log_normaliser, activation, &parameters, &h.output, None);

        let m = plan.samples() as usize;
        let key = Key::new(*seed, Stream::Proposal);
        let mut all = Vec::new();
        for (i, proposal) in self.proposals(&x, Some(&y)).iter().enumerate() {
            let first = (range.start + i as u64) * m as u64;
            let points = draw(proposal, key, plan.step, first, m);
            let observed = y.row(i).to_owned().insert_axis(Axis(0));
            let points = ndarray::concatenate![Axis(0), observed, points];
            all.push(self.row(proposal, points));
        }
        let views: Vec<_> = all.iter().map(|row| row.y.view()).collect();
        let points = ndarray::concatenate(Axis(0), &views).unwrap_or_default();
        let offsets = repeated(&offsets, m + 1);
        let energies = forward(energy, activation, &parameters, &points, Some(&offsets));

        let n = plan.batch() as f64;
        let pretrains = model.pretrains(u64::from(plan.step));
        let mut tally = Tally::default();
        let mut de = Array2::zeros((points.nrows(), 1));
        let mut db = Array2::zeros((x.nrows(), 1));
        let outputs = self.mixture_outputs(&x);
        let mut d_outputs = Array2::zeros(outputs.raw_dim());
        for (i, row) in all.iter().enumerate() {
            let e = |j: usize| energies.output[(i * (m + 1) + j, 0)];
            let b = f64::from(self.host.state.b()) + g.output[(i, 0)];
            let u = |j: usize| row.log_base[j] - e(j) - row.log_proposal[j] - b;
            tally.add_row(row.log_base[0] - e(0) - g.output[(i, 0)]);
            let usable: Vec<f64> = (1..=m)
                .map(|j| if tally.add_sample(u(j), u(j).exp()) { u(j).exp() } else { 0.0 })
                .collect();
            let weights =
                RowWeights { observed: u(0).exp(), sum: usable.iter().sum(), samples: m as f64 };
            if !pretrains {
                de[(i * (m + 1), 0)] = weights.row_cotangent(*objective) / n;
                for (j, w) in usable.iter().enumerate() {
                    de[(i * (m + 1) + j + 1, 0)] = weights.sample_cotangent(*objective, *w) / n;
                }
            }
            db[(i, 0)] = weights.normaliser_cotangent() / n;
            if let Some(network) = model.mixture() {
                let (mut likelihood, mut divergence) = network.loss.factors();
                if pretrains {
                    (likelihood, divergence) = (1.0, 0.0);
                }
                let mut mixture = network.mixture(model.targets);
                mixture.set(outputs.row(i).iter().copied());
                let mut to = vec![0.0; outputs.ncols()];
                mixture.add_gradient(&row.y.row(0).to_vec(), -likelihood / n, &mut to);
                for (j, w) in usable.iter().enumerate() {
                    let share = if *w > 0.0 { w / weights.sum } else { 0.0 };
                    let y = row.y.row(j + 1).to_vec();
                    mixture.add_gradient(&y, -divergence * share / n, &mut to);
                }
                d_outputs.row_mut(i).assign(&Array1::from(to));
            }
        }

        let mut gradient = vec![0.0; layout.len()];
        let back = backward(energy, &parameters, &energies, de, &mut gradient);
        let mut d_offset = Array2::zeros((x.nrows(), back.first.ncols()));
        for (i, dz) in back.first.outer_iter().enumerate() {
            let mut row = d_offset.row_mut(i / (m + 1));
            row += &dz;
        }
        let mut dh = linear_back(&parameters, offset, &h.output, &d_offset, &mut gradient);
        gradient[layout.b()] = db.sum();
        let d_normaliser = backward(log_normaliser, &parameters, &g, db, &mut gradient).input;
        if objective.normaliser_moves_features() && !pretrains {
            dh += &d_normaliser;
        }
        backward(features, &parameters, &h, dh, &mut gradient);
        if let Some(net) = proposal {
            let pass = forward(net, activation, &parameters, &x, None);
            backward(net, &parameters, &pass, d_outputs, &mut gradient);
        }
        Ok(ChunkGradient { side: Side::Rows, gradient, tally, carried: Vec::new() })
    }

    fn scored(&self, x: &Array2<f64>, rows: &[Row], out: &mut [Scored]) {
        let views: Vec<_> = rows.iter().map(|row| row.y.view()).collect();
        let points = ndarray::concatenate(Axis(0), &views).unwrap_or_default();
        let energies = self.energies(x, &points);
        let logs = rows.iter().flat_map(|row| row.log_base.iter().zip(&row.log_proposal));
        for (out, (energy, (log_base, log_proposal))) in
            out.iter_mut().zip(energies.iter().zip(logs))
        {
            *out = Scored {
                energy: *energy as f32,
                log_base: *log_base as f32,
                log_proposal: *log_proposal as f32,
            };
        }
    }

    fn inputs(&self, x: &[f32]) -> Array2<f64> {
        split(x, self.host.problem.model.inputs, self.host.problem.model.inputs).0
    }
}

/// `count` samples of `proposal`, numbered from `first` on.
fn draw(proposal: &Density, key: Key, step: u32, first: u64, count: usize) -> Array2<f64> {
    let mut y = Array2::zeros((count, proposal.dim()));
    for (number, mut y) in (first..).zip(y.outer_iter_mut()) {
        let mut point = y.to_vec();
        proposal.sample(&mut Draws::new(key, step, number), &mut point);
        y.assign(&Array1::from(point));
    }
    y
}

/// `noise` around `y`.
fn shifted(noise: &Density, y: &[f64]) -> Density {
    let mut moved = noise.clone();
    let shift = |at: &mut Affine| at.mean.iter_mut().zip(y).for_each(|(m, y)| *m += y);
    match &mut moved {
        Density::Gaussian { at } | Density::Student { at, .. } => shift(at),
        Density::Uniform { low, high } => {
            low.iter_mut().zip(y).for_each(|(a, y)| *a += y);
            high.iter_mut().zip(y).for_each(|(a, y)| *a += y);
        }
        Density::Mixture { components, .. } => {
            components.iter_mut().for_each(|c| *c = shifted(c, y));
        }
    }
    moved
}

/// The first `inputs` of every `dim` values, and the others.
fn split(values: &[f32], inputs: usize, dim: usize) -> (Array2<f64>, Array2<f64>) {
    let values: Vec<f64> = values.iter().map(|&v| f64::from(v)).collect();
    let rows = Array2::from_shape_vec((values.len() / dim, dim), values).unwrap_or_default();
    let (x, y) = rows.view().split_at(Axis(1), inputs);
    (x.to_owned(), y.to_owned())
}

/// Every row `times` times, one after the other.
fn repeated(rows: &Array2<f64>, times: usize) -> Array2<f64> {
    Array2::from_shape_fn((rows.nrows() * times, rows.ncols()), |(i, j)| rows[(i / times, j)])
}

impl HostEngine for ConditionalReference {
    type Model = ConditionalModel;

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

    fn host(&self) -> &Host<ConditionalModel> {
        &self.host
    }

    fn host_mut(&mut self) -> &mut Host<ConditionalModel> {
        &mut self.host
    }
}

impl ConditionalEngine for ConditionalReference {
    fn model(&self) -> &ConditionalModel {
        &self.host.problem.model
    }

    fn log_normalisers(&self, x: &[f32], out: &mut [f32]) {
        let (parameters, activation) = (self.parameters(), self.host.problem.model.activation);
        let x = self.inputs(x);
        let h = forward(&self.networks.features, activation, &parameters, &x, None).output;
        let g = forward(&self.networks.log_normaliser, activation, &parameters, &h, None).output;
        for (out, g) in out.iter_mut().zip(&g) {
            *out = (f64::from(self.host.state.b()) + g) as f32;
        }
    }

    fn score(&self, x: &[f32], y: &[f32], out: &mut [Scored]) {
        let (x, targets) = (self.inputs(x), self.host.problem.model.targets);
        let points: Vec<f64> = y.iter().map(|&v| f64::from(v)).collect();
        let share = points.len() / x.nrows().max(1);
        let rows: Vec<Row> = self
            .proposals(&x, None)
            .iter()
            .zip(points.chunks(share.max(1)))
            .map(|(proposal, y)| {
                let y = Array2::from_shape_vec((y.len() / targets, targets), y.to_vec());
                self.row(proposal, y.unwrap_or_default())
            })
            .collect();
        self.scored(&x, &rows, out);
    }

    fn score_samples(&self, samples: &RowSamples, x: &[f32], y: &mut [f32], out: &mut [Scored]) {
        let x = self.inputs(x);
        let key = Key::new(self.host.problem.seed, samples.set.stream);
        let m = (samples.range.end - samples.range.start) as usize;
        let mut rows = Vec::new();
        for (i, proposal) in self.proposals(&x, None).iter().enumerate() {
            let points = draw(proposal, key, samples.set.step, samples.number(i), m);
            rows.push(self.row(proposal, points));
        }
        let points = rows.iter().flat_map(|row| row.y.iter());
        y.iter_mut().zip(points).for_each(|(to, v)| *to = *v as f32);
        self.scored(&x, &rows, out);
    }
}
