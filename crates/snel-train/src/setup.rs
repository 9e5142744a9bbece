//! From a config to the thing that is trained: data, fitted proposal, problem, batching.

use std::path::Path;
use std::sync::Arc;

use snel_core::activation::Activation;
use snel_core::conditional::{
    ConditionalModel, ConditionalProposal, Defensive, MixtureLoss, MixtureNetwork,
};
use snel_core::density::fit::{self, FitError};
use snel_core::density::{Affine, Density};
use snel_core::energy::Energy;
use snel_core::mcmc::{Kernel, Mcmc, Persistent, Posterior, Start};
use snel_core::objective::Objective;
use snel_core::optim::{Optim, Schedule, Shape};
use snel_core::philox::{Key, Stream};
use snel_core::plan::Batching;
use snel_core::problem::{AnyModel, Base, Model, Problem};
use snel_core::rows::Rows;
use snel_core::shuffle::Permutation;
use snel_data::{DataError, DataSource, DataSpec, Dataset, Files, HeldOut, ReadOptions};

use crate::config::{self, Config};
use crate::model_file::ModelHeader;
use crate::vae::{self, VaeSetupError};

/// Degrees of freedom and widening of the component that `proposal.defensive` mixes in.
const DEFENSIVE_DF: f64 = 3.0;
const DEFENSIVE_WIDENING: f64 = 1.5;

/// Everything that a run needs besides an engine.
pub struct Setup {
    /// The three parts of the data.
    pub dataset: Dataset,
    /// What is trained.
    pub problem: Arc<Problem<AnyModel>>,
    /// The work of a step.
    pub batching: Batching,
}

impl Setup {
    /// What the model files of a run say, at step 0.
    pub fn model_header(&self, seed: u32, fingerprint: String) -> ModelHeader {
        ModelHeader {
            format: ModelHeader::format(),
            model: self.problem.model.clone(),
            objective: self.problem.objective,
            columns: self.dataset.columns.clone(),
            standardise: self.dataset.standardise.clone(),
            seed,
            step: 0,
            fingerprint,
        }
    }
}

/// Why a config and its data do not make a problem.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The data cannot be used.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A density cannot be fitted to the training rows.
    #[error("cannot fit `{group}` to the training rows")]
    Fit {
        /// The config group of the density.
        group: &'static str,
        /// What is wrong; columns are numbered from 0.
        source: FitError,
    },
    /// Rows that were spooled to a file cannot be read back.
    #[error("cannot read the training rows back")]
    Rows(#[source] std::io::Error),
    /// A variational auto-encoder cannot be made of these data, or begin where it should.
    #[error(transparent)]
    Vae(#[from] VaeSetupError),
}

impl SetupError {
    /// What the user may try.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Data(error) => error.hint(),
            Self::Fit { source: FitError::Singular { .. }, .. } => {
                Some("leave that column out with `data.columns`".to_owned())
            }
            Self::Fit { group, source: FitError::TooFewRows { .. } } => Some(format!(
                "give more rows or a larger `fit_rows`, or set `{group}.kind = \"diagonal\"`; a \
                 mixture may have fewer components"
            )),
            Self::Vae(error) => error.hint(),
            Self::Rows(_) => None,
        }
    }
}

/// Loads the data and fits the proposal (and the base density, if it has one of its own).
///
/// Rows that do not fit in memory go to unlinked files in `scratch`.
///
/// # Errors
/// [`SetupError`].
pub fn prepare(config: &Config, scratch: &Path) -> Result<Setup, SetupError> {
    let dataset = load_data(config, scratch)?;
    let model: AnyModel = match config.model.kind {
        config::ModelKind::Density => density_model(config, &dataset)?.into(),
        config::ModelKind::Conditional => conditional_model(config, &dataset)?.into(),
        config::ModelKind::Vae => vae::model(config, &dataset)?.into(),
    };
    let objective = match config.objective.kind {
        config::ObjectiveKind::Snl => Objective::Snl,
        config::ObjectiveKind::IsMle => Objective::IsMle,
        config::ObjectiveKind::Nce => Objective::Nce,
        config::ObjectiveKind::Mcmc => Objective::Mcmc(mcmc(config)),
    };
    let mut problem = Problem::new(model, objective, optim(config), config.seed);
    if let (AnyModel::Vae(model), Some(path)) = (&problem.model, &config.model.start) {
        let parameters = vae::start(model, path, config.seed)?;
        problem = problem.starting_at(parameters);
    }
    let batching = batching(config, dataset.train.len());
    Ok(Setup { dataset, problem: Arc::new(problem), batching })
}

fn mcmc(config: &Config) -> Mcmc {
    let moved = config.train.samples;
    let chains = config.objective.chains(moved);
    let config::Chains { steps, step_size, leapfrog, noise, adapt, buffer, reinit, .. } = chains;
    Mcmc {
        start: match chains.start {
            config::Start::Proposal => Start::Proposal,
            config::Start::Data => Start::Data,
            config::Start::Persistent => {
                Start::Persistent(Persistent { chains: buffer, moved, reinit })
            }
        },
        kernel: match chains.kernel {
            config::Kernel::Ula => Kernel::Ula { noise },
            config::Kernel::Mala => Kernel::Mala,
            config::Kernel::Hmc => Kernel::Hmc { leapfrog },
        },
        moves: steps,
        step_size,
        adapt,
        posterior: (config.model.kind == config::ModelKind::Vae).then(|| {
            let (moves, step_size) = config.objective.posterior();
            Posterior { moves, step_size }
        }),
    }
}

fn density_model(config: &Config, dataset: &Dataset) -> Result<Model, SetupError> {
    let all = Fitted { train: &*dataset.train, from: 0, seed: config.seed };
    Ok(Model {
        energy: energy(&config.model, dataset.columns.len()),
        base: base(config, &all)?,
        proposal: all.density(&config.proposal, "proposal")?,
    })
}

fn conditional_model(config: &Config, dataset: &Dataset) -> Result<ConditionalModel, SetupError> {
    let inputs = dataset.columns.len() - targets(config, dataset);
    let targets = Fitted { train: &*dataset.train, from: inputs, seed: config.seed };
    Ok(ConditionalModel {
        inputs,
        targets: targets.dim(),
        activation: activation(&config.model),
        features: config.model.feature_widths(),
        energy: config.model.hidden_widths(),
        log_normaliser: config.model.log_normaliser_widths(),
        base: base(config, &targets)?,
        proposal: conditional_proposal(&config.proposal, &targets)?,
    })
}

fn conditional_proposal(
    spec: &config::Proposal,
    targets: &Fitted<'_>,
) -> Result<ConditionalProposal, SetupError> {
    Ok(match spec.kind {
        config::ProposalKind::Mdn => {
            let network = spec.network();
            let defensive = if spec.defensive > 0.0 {
                let density = targets.wide(spec)?;
                Some(Defensive { weight: spec.defensive, density })
            } else {
                None
            };
            ConditionalProposal::Network(MixtureNetwork {
                widths: network.widths,
                components: network.components,
                loss: match network.loss {
                    config::MixtureLoss::Likelihood => MixtureLoss::Likelihood,
                    config::MixtureLoss::Kl => MixtureLoss::Kl,
                    config::MixtureLoss::Both => MixtureLoss::Both,
                },
                pretrain: network.pretrain,
                defensive,
            })
        }
        config::ProposalKind::Observed => ConditionalProposal::Observed {
            noise: targets.noise(spec)?,
            elsewhere: targets.wide(spec)?,
        },
        _ => ConditionalProposal::Fixed(targets.density(spec, "proposal")?),
    })
}

/// How many of the last columns are targets.
fn targets(config: &Config, dataset: &Dataset) -> usize {
    match (&config.data.targets, &dataset.toy) {
        (Some(targets), _) => targets.len(),
        (None, Some(toy)) => toy.targets(),
        (None, None) => 0,
    }
}

fn base(config: &Config, fitted: &Fitted<'_>) -> Result<Base, SetupError> {
    Ok(match &config.model.base {
        config::Base::None => Base::None,
        config::Base::Proposal => Base::Proposal,
        config::Base::Own(own) => Base::Density(fitted.density(own, "model.base")?),
    })
}

/// Loads, splits and scales the data that `[data]` names.
///
/// # Errors
/// [`SetupError::Data`].
pub fn load_data(config: &Config, scratch: &Path) -> Result<Dataset, SetupError> {
    Ok(Dataset::load(&data_spec(config), scratch)?)
}

/// The work of a step over `total_rows` training rows.
pub fn batching(config: &Config, total_rows: u64) -> Batching {
    let (batch, mut samples) = (config.train.batch as u64, config.train.samples);
    let per_row = config.model.kind == config::ModelKind::Conditional;
    let default = match config.model.kind {
        config::ModelKind::Density => Batching::default_chunk,
        config::ModelKind::Conditional => Batching::default_row_chunk,
        config::ModelKind::Vae => vae::default_chunk,
    };
    if config.model.kind == config::ModelKind::Vae
        && config.model.latents().prior == config::Prior::Base
    {
        samples = 0;
    }
    Batching {
        batch,
        samples,
        per_row,
        chunk: config.train.chunk.map_or_else(|| default(batch, samples), |c| c as u64),
        total_rows,
        seed: config.seed,
    }
}

fn data_spec(config: &Config) -> DataSpec {
    let data = &config.data;
    let path = |p: &Path| p.to_path_buf();
    let (source, fractions) = match data.source() {
        Some(config::Source::File { path: file, split }) => (DataSource::File(path(file)), split),
        Some(config::Source::Toy { toy, rows, dim, split }) => {
            let name = toy.name().to_owned();
            (DataSource::Toy { name, rows: rows as u64, dim: Some(dim) }, split)
        }
        Some(config::Source::Files { train, valid, test }) => {
            let files = Files { train: path(train), valid: path(valid), test: path(test) };
            (DataSource::Files(files), [1.0, 0.0, 0.0])
        }
        Some(config::Source::HeldOut { train, valid_rows, test }) => {
            let held_out = HeldOut { train: path(train), valid_rows, test: path(test) };
            (DataSource::HeldOut(held_out), [1.0, 0.0, 0.0])
        }
        // A checked config names a source; without one the file is simply not found.
        None => (DataSource::File(Path::new("").to_path_buf()), [1.0, 0.0, 0.0]),
    };
    let text = |column: &config::Column| match column {
        config::Column::Name(name) => name.clone(),
        config::Column::Index(index) => index.to_string(),
    };
    let read = ReadOptions {
        columns: data.columns.iter().flatten().map(text).collect(),
        targets: data.targets.iter().flatten().map(text).collect(),
        delimiter: data.delimiter,
        header: data.header,
        member: data.member.clone(),
    };
    DataSpec {
        read,
        fractions,
        seed: config.seed,
        standardise: data.standardise,
        scale: data.scale.unwrap_or(1.0),
        binarise: data.binarise.is_some(),
        memory_limit: data.memory_limit_mib << 20,
        ..DataSpec::new(source)
    }
}

/// The energy that `[model]` describes, on `dim` columns.
pub fn energy(model: &config::Model, dim: usize) -> Energy {
    match model.energy {
        config::Energy::Quadratic => Energy::Quadratic { dim },
        config::Energy::Mlp => Energy::Mlp {
            dim,
            widths: model.hidden_widths(),
            activation: activation(model),
            residual: model.residual(),
        },
    }
}

pub(crate) fn activation(model: &config::Model) -> Activation {
    match model.activation() {
        config::Activation::Silu => Activation::Silu,
        config::Activation::Relu => Activation::Relu,
        config::Activation::Tanh => Activation::Tanh,
        config::Activation::Gelu => Activation::Gelu,
        config::Activation::Softplus => Activation::Softplus,
    }
}

fn optim(config: &Config) -> Optim {
    let optim = &config.optim;
    let shape = match optim.schedule {
        config::Schedule::Constant => Shape::Constant,
        config::Schedule::Cosine => {
            Shape::Cosine { steps: config.train.steps, floor: optim.final_lr_ratio.unwrap_or(0.0) }
        }
        config::Schedule::Step => Shape::Step {
            every: optim.step_every.unwrap_or(config.train.steps),
            factor: optim.step_factor.unwrap_or(1.0),
        },
    };
    Optim {
        lr: optim.lr,
        b_lr: optim.b_lr(),
        latent_lr: optim.energy_lr.unwrap_or(optim.lr),
        weight_decay: optim.weight_decay(),
        beta1: optim.beta1,
        beta2: optim.beta2,
        epsilon: optim.epsilon,
        clip_norm: optim.clip_norm.is_finite().then_some(optim.clip_norm),
        schedule: Schedule { warmup: optim.warmup, shape },
    }
}

/// Training rows that densities are fitted to: their columns from number `from` on.
struct Fitted<'a> {
    train: &'a dyn Rows,
    from: usize,
    seed: u32,
}

impl Fitted<'_> {
    fn dim(&self) -> usize {
        self.train.dim() - self.from
    }

    /// Calls `fit` with the rows and their dimension; `group` is what the config calls the density.
    fn fit(
        &self,
        spec: &config::Proposal,
        group: &'static str,
        fit: impl FnOnce(&[f64], usize) -> Result<Density, FitError>,
    ) -> Result<Density, SetupError> {
        let rows = some_rows(self.train, spec.fit_rows, self.seed)?;
        let rows = columns_of(&rows, self.train.dim(), self.from);
        fit(&rows, self.dim()).map_err(|source| {
            let source = match source {
                FitError::Singular { column } => FitError::Singular { column: column + self.from },
                other @ FitError::TooFewRows { .. } => other,
            };
            SetupError::Fit { group, source }
        })
    }

    fn density(&self, spec: &config::Proposal, group: &'static str) -> Result<Density, SetupError> {
        self.fit(spec, group, |rows, dim| {
            let density = match spec.shape() {
                config::Shape::Gaussian { scale } => {
                    Density::Gaussian { at: fit::gaussian(rows, dim)? }.widened(scale)
                }
                config::Shape::Diagonal { scale } => {
                    Density::Gaussian { at: fit::diagonal_gaussian(rows, dim)? }.widened(scale)
                }
                config::Shape::Student { scale, df } => {
                    student(fit::gaussian(rows, dim)?, df).widened(scale)
                }
                config::Shape::Uniform { margin } => fit::uniform(rows, dim, margin)?,
                config::Shape::Mixture { scale, components, covariance } => {
                    let full = covariance == config::Covariance::Full;
                    fit::gaussian_mixture(rows, dim, components, full, self.seed)?.widened(scale)
                }
                // The rules of the config refuse a base density of such a kind.
                config::Shape::OfRow => return wide(rows, dim),
            };
            if spec.defensive == 0.0 {
                return Ok(density);
            }
            Ok(Density::Mixture {
                weights: vec![1.0 - spec.defensive, spec.defensive],
                components: vec![density, wide(rows, dim)?],
            })
        })
    }

    /// A wide density of all rows.
    fn wide(&self, spec: &config::Proposal) -> Result<Density, SetupError> {
        self.fit(spec, "proposal", wide)
    }

    /// Noise around an observed point: as many Gaussians as there are deviations, each a share of
    /// the columns' own.
    fn noise(&self, spec: &config::Proposal) -> Result<Density, SetupError> {
        self.fit(spec, "proposal", |rows, dim| {
            let at = fit::diagonal_gaussian(rows, dim)?;
            let at = Affine { mean: vec![0.0; dim], ..at };
            let deviations = spec.deviations();
            let weights = vec![1.0 / deviations.len() as f64; deviations.len()];
            let component = |share: f64| Density::Gaussian { at: at.clone() }.widened(share);
            let components = deviations.into_iter().map(component).collect();
            Ok(Density::Mixture { weights, components })
        })
    }
}

/// A Student-t that reaches where little else does.
fn wide(rows: &[f64], dim: usize) -> Result<Density, FitError> {
    let at = fit::gaussian(rows, dim)?;
    Ok(Density::Student { df: DEFENSIVE_DF, at }.widened(DEFENSIVE_WIDENING))
}

/// The columns from number `from` on of row-major rows of `dim` values.
pub(crate) fn columns_of(rows: &[f64], dim: usize, from: usize) -> Vec<f64> {
    rows.chunks_exact(dim).flat_map(|row| &row[from..]).copied().collect()
}

/// A Student-t with the mean and, where it exists (`df > 2`), the covariance of the rows.
fn student(at: Affine, df: f64) -> Density {
    let shrink = if df > 2.0 { ((df - 2.0) / df).sqrt() } else { 1.0 };
    Density::Student { df, at }.widened(shrink)
}

/// At most `limit` rows, chosen at random without replacement, as f64.
pub(crate) fn some_rows(rows: &dyn Rows, limit: usize, seed: u32) -> Result<Vec<f64>, SetupError> {
    let n = rows.len().min(limit as u64);
    let order = Permutation::new(Key::new(seed, Stream::Fit), 0, rows.len());
    let numbers: Vec<u64> = (0..n).map(|i| order.at(i)).collect();
    let mut values = vec![0.0; numbers.len() * rows.dim()];
    rows.gather(&numbers, &mut values).map_err(SetupError::Rows)?;
    Ok(values.into_iter().map(f64::from).collect())
}
