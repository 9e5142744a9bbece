//! From a config to the thing that is trained: data, fitted proposal, problem, batching.

use std::path::Path;
use std::sync::Arc;

use snel_core::activation::Activation;
use snel_core::density::fit::{self, FitError};
use snel_core::density::{Affine, Density};
use snel_core::energy::Energy;
use snel_core::objective::Objective;
use snel_core::optim::{Optim, Schedule, Shape};
use snel_core::philox::{Key, Stream};
use snel_core::plan::Batching;
use snel_core::problem::{Base, Model, Problem};
use snel_core::rows::Rows;
use snel_core::shuffle::Permutation;
use snel_data::{DataError, DataSource, DataSpec, Dataset, Files, ReadOptions};

use crate::config::{self, Config};
use crate::model_file::ModelHeader;

/// Degrees of freedom and widening of the component that `proposal.defensive` mixes in.
const DEFENSIVE_DF: f64 = 3.0;
const DEFENSIVE_WIDENING: f64 = 1.5;

/// Everything that a run needs besides an engine.
pub struct Setup {
    /// The three parts of the data.
    pub dataset: Dataset,
    /// What is trained.
    pub problem: Arc<Problem>,
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
    let dim = dataset.columns.len();
    let energy = energy(&config.model, dim);
    let proposal = fit_density(&config.proposal, "proposal", &*dataset.train, config.seed)?;
    let base = match &config.model.base {
        config::Base::None => Base::None,
        config::Base::Proposal => Base::Proposal,
        config::Base::Own(own) => {
            Base::Density(fit_density(own, "model.base", &*dataset.train, config.seed)?)
        }
    };
    let model = Model { energy, base, proposal };
    let objective = match config.objective.kind {
        config::ObjectiveKind::Snl => Objective::Snl,
        config::ObjectiveKind::IsMle => Objective::IsMle,
        config::ObjectiveKind::Nce => Objective::Nce,
    };
    let problem = Problem::new(model, objective, optim(config), config.seed);
    let batching = batching(config, dataset.train.len());
    Ok(Setup { dataset, problem: Arc::new(problem), batching })
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
    let (batch, samples) = (config.train.batch as u64, config.train.samples);
    let chunk = config.train.chunk.map(|c| c as u64);
    Batching {
        batch,
        samples,
        per_row: false,
        chunk: chunk.unwrap_or_else(|| Batching::default_chunk(batch, samples)),
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
        // A checked config names a source; without one the file is simply not found.
        None => (DataSource::File(Path::new("").to_path_buf()), [1.0, 0.0, 0.0]),
    };
    let columns = data.columns.iter().flatten().map(|column| match column {
        config::Column::Name(name) => name.clone(),
        config::Column::Index(index) => index.to_string(),
    });
    let read = ReadOptions {
        columns: columns.collect(),
        delimiter: data.delimiter,
        header: data.header,
        member: data.member.clone(),
    };
    DataSpec {
        read,
        fractions,
        seed: config.seed,
        standardise: data.standardise,
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
            activation: match model.activation() {
                config::Activation::Silu => Activation::Silu,
                config::Activation::Relu => Activation::Relu,
                config::Activation::Tanh => Activation::Tanh,
                config::Activation::Gelu => Activation::Gelu,
                config::Activation::Softplus => Activation::Softplus,
            },
            residual: model.residual(),
        },
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
        weight_decay: optim.weight_decay(),
        beta1: optim.beta1,
        beta2: optim.beta2,
        epsilon: optim.epsilon,
        clip_norm: optim.clip_norm.is_finite().then_some(optim.clip_norm),
        schedule: Schedule { warmup: optim.warmup, shape },
    }
}

fn fit_density(
    spec: &config::Proposal,
    group: &'static str,
    train: &dyn Rows,
    seed: u32,
) -> Result<Density, SetupError> {
    let dim = train.dim();
    let rows = some_rows(train, spec.fit_rows, seed)?;
    let fit = || -> Result<Density, FitError> {
        let density = match spec.shape() {
            config::Shape::Gaussian { scale } => {
                Density::Gaussian { at: fit::gaussian(&rows, dim)? }.widened(scale)
            }
            config::Shape::Diagonal { scale } => {
                Density::Gaussian { at: fit::diagonal_gaussian(&rows, dim)? }.widened(scale)
            }
            config::Shape::Student { scale, df } => {
                student(fit::gaussian(&rows, dim)?, df).widened(scale)
            }
            config::Shape::Uniform { margin } => fit::uniform(&rows, dim, margin)?,
            config::Shape::Mixture { scale, components, covariance } => {
                let full = covariance == config::Covariance::Full;
                fit::gaussian_mixture(&rows, dim, components, full, seed)?.widened(scale)
            }
        };
        if spec.defensive == 0.0 {
            return Ok(density);
        }
        let wide = Density::Student { df: DEFENSIVE_DF, at: fit::gaussian(&rows, dim)? };
        Ok(Density::Mixture {
            weights: vec![1.0 - spec.defensive, spec.defensive],
            components: vec![density, wide.widened(DEFENSIVE_WIDENING)],
        })
    };
    fit().map_err(|source| SetupError::Fit { group, source })
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
