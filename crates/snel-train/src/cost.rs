//! What a run will cost, before it runs.

use serde::Serialize;
use snel_core::energy::Energy;
use snel_core::layout::Layout;
use snel_core::mcmc::Mcmc;
use snel_core::problem::{AnyModel, Parametric};
use snel_core::rows::Rows;

use crate::config::Config;
use crate::setup::Setup;

/// Sizes and work of a run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Cost {
    /// Rows of train, valid and test.
    pub rows: [u64; 3],
    /// Values of a point.
    pub dim: usize,
    /// Parameters, `b` included.
    pub parameters: u64,
    /// Training steps.
    pub steps: u64,
    /// Rows of a minibatch.
    pub batch: u64,
    /// Proposal samples of a step; of each row, if the model is conditional.
    pub samples: u64,
    /// Points of a chunk.
    pub chunk: u64,
    /// Chunks of a step.
    pub chunks: u32,
    /// Floating-point operations of a step: `6 parameters (M + n)`, and 4 parameters for each point
    /// that chains look at; of a conditional model `6 parameters of the energy n (M + 1)`, without what
    /// is done once a row; of a vae, each network by its own points.
    pub flop_per_step: f64,
    /// Bytes that a worker adds to the sums of the others each step.
    pub reduce_bytes: u64,
    /// Live memory of the engine and the rows, about.
    pub memory_bytes: u64,
    /// Whether this machine grants that much memory at all.
    pub memory_granted: bool,
    /// Bytes of a checkpoint, about.
    pub checkpoint_bytes: u64,
    /// Threads that the memory is for.
    pub threads: usize,
}

impl Cost {
    /// The cost of training `setup` on `threads` threads.
    pub fn new(config: &Config, setup: &Setup, threads: usize) -> Self {
        let plan = setup.batching.plan(0, 0);
        let parameters = setup.problem.layout.len() as u64;
        let dim = setup.problem.model.dim();
        let data = &setup.dataset;
        let rows = [data.train.len(), data.valid.len(), data.test.len()];
        let problem = &setup.problem;
        let sums = if problem.model.separates_samples(problem.objective) { 2 } else { 1 };
        let (widths, points) = widths_and_points(&problem.model, plan.batch(), plan.samples());
        // Per thread: a chunk's gradient, the integer sums, and one tile's activations and slopes.
        let tile = 128 * 4 * (2 * widths + 4 * dim) as u64;
        let per_thread = parameters * (4 + 8 * sums) + tile;
        // Shared: parameters and two moments, the reduced sums, and the rows as f32.
        let shared = parameters * (12 + 8 * sums) + rows.iter().sum::<u64>() * 4 * dim as u64;
        // Chains that persist, and room for those of a step on each thread and in the sums.
        let kept = problem.persistent().map_or(0, |(kept, dim)| kept.chains * 4 * dim as u64);
        let carried = 4 * problem.carried_words();
        let shared = shared + kept + carried;
        let per_thread = per_thread + carried;
        let of_chains = problem.objective.mcmc().map_or(0.0, |mcmc| {
            flop_of_chains(&problem.model, &mcmc, plan.batch(), plan.samples())
        });
        let memory_bytes = shared + per_thread * threads as u64;
        Self {
            rows,
            dim,
            parameters,
            steps: config.train.steps,
            batch: plan.batch(),
            samples: plan.samples(),
            chunk: plan.chunk_size(),
            chunks: plan.n_chunks(),
            flop_per_step: 6.0 * points + of_chains,
            reduce_bytes: 8 * sums * parameters + carried,
            memory_bytes,
            memory_granted: granted(memory_bytes),
            checkpoint_bytes: 12 * parameters + kept,
            threads,
        }
    }
}

/// Units of all layers, and the sum over a step's points of the parameters that each goes through.
fn widths_and_points(model: &AnyModel, batch: u64, samples: u64) -> (usize, f64) {
    match model {
        AnyModel::Density(model) => {
            let widths = match &model.energy {
                Energy::Mlp { widths, .. } => widths.iter().sum::<usize>(),
                Energy::Quadratic { .. } | Energy::Zero { .. } => 0,
            };
            (widths, model.layout().len() as f64 * (batch + samples) as f64)
        }
        AnyModel::Conditional(model) => {
            let network = model.mixture();
            let mut all = vec![&model.features, &model.energy, &model.log_normaliser];
            all.extend(network.map(|network| &network.widths));
            let widths = all.into_iter().flatten().sum::<usize>();
            let mut inputs = model.targets;
            let mut parameters = 0;
            for &outputs in &model.energy {
                parameters += (inputs + 1) * outputs;
                inputs = outputs;
            }
            parameters += inputs;
            let rows = parameters as f64 * batch as f64;
            (widths + network.map_or(0, |n| n.outputs(model.targets)), rows * (samples + 1) as f64)
        }
        AnyModel::Vae(model) => {
            let energy = Layout::new(&model.energy).len();
            let hidden = match &model.energy {
                Energy::Mlp { widths, .. } => widths.iter().sum::<usize>(),
                Energy::Quadratic { .. } | Energy::Zero { .. } => 0,
            };
            let widths = model.encoder.iter().chain(&model.decoder).sum::<usize>();
            let points = batch * model.posterior_samples;
            let of_rows = (model.layout().len() - energy) as f64 * points as f64;
            let of_points = energy as f64 * (points + samples) as f64;
            // The decoder's outputs and the data take part in a tile as hidden layers do.
            (widths + hidden + 2 * model.inputs, of_rows + of_points)
        }
    }
}

/// What chains cost besides the gradient where they come to: 4 for each parameter at each point that they
/// look at, forward and back to the point.
fn flop_of_chains(model: &AnyModel, mcmc: &Mcmc, batch: u64, samples: u64) -> f64 {
    let flop = |parameters: usize, points: u64| 4.0 * parameters as f64 * points as f64;
    let looks = mcmc.points(samples);
    let AnyModel::Vae(model) = model else { return flop(model.layout().len(), looks) };
    let energy = Layout::new(&model.energy).len();
    let of_prior = flop(energy, looks);
    let Some(of_posterior) = mcmc.of_posterior() else { return of_prior };
    let latents = batch * model.posterior_samples;
    let layout = model.layout();
    let decoder = layout.segments().iter().filter(|s| s.name.starts_with("decoder"));
    let decoder: usize = decoder.map(|s| s.range().len()).sum();
    // The encoder learns in a pass of its own, through decoder and energy.
    let beside = if model.frozen { 0.0 } else { 4.0 * (decoder + energy) as f64 * latents as f64 };
    of_prior + flop(energy + decoder, of_posterior.points(latents)) + beside
}

/// Whether the system gives out `bytes` at once. Nothing is written to them, so that this costs
/// nothing; a system that promises more than it has refuses only what it could never give.
fn granted(bytes: u64) -> bool {
    let Ok(bytes) = usize::try_from(bytes) else { return false };
    let mut probe = Vec::<u8>::new();
    // Without the black box the compiler may leave the allocation out.
    std::hint::black_box(&mut probe).try_reserve_exact(bytes).is_ok()
}

#[cfg(test)]
mod tests {
    use super::granted;

    #[test]
    fn a_little_memory_is_granted_and_an_exabyte_is_not() {
        assert!(granted(1 << 20));
        assert!(!granted(1 << 60));
    }
}
