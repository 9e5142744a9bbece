//! The distance between what runs give and rows that none of them has seen.
//!
//! The classifier learns the labels of the training rows. Test rows are compared with draws of each
//! model, as many as there are test rows or as were asked for, several sets of them for an error; and
//! with training rows, which says how near two sets of real rows of these sizes are.

use std::path::{Path, PathBuf};

use serde::Serialize;
use snel_core::problem::AnyModel;
use snel_core::rows::Rows;
use snel_core::vae::{Likelihood, VaeEngine, VaeModel};
use snel_data::{DataError, Dataset, ReadOptions};

use super::{Classifier, LabelError, Moments};
use crate::compute::{AnyEngine, Compute};
use crate::config::{Config, Data};
use crate::estimate::mean;
use crate::evaluate::Estimate;
use crate::model_file::ModelFile;
use crate::run::{RunError, engine_of, load_model};
use crate::run_folder::RunFolder;
use crate::sample::{SampleError, default_pool, resample};
use crate::setup::load_data;
use crate::vae::{Decoding, decode};

/// Why a distance cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum FrechetError {
    /// A run or its data.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The file of labels.
    #[error(transparent)]
    Data(#[from] DataError),
    /// Labels that do not belong to the rows.
    #[error("{} has no labels of the training rows", path.display())]
    Labels {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: LabelError,
    },
    /// More than one number a row.
    #[error("{} has {columns} columns, not one of labels", path.display())]
    Columns {
        /// The file.
        path: PathBuf,
        /// How many.
        columns: usize,
    },
    /// Training rows that are not in the order of a file.
    #[error("training rows are chosen at random, so labels in the order of a file are not theirs")]
    Shuffled,
    /// Runs whose distances would not compare.
    #[error("{} has other data than {}", other.display(), first.display())]
    OtherData {
        /// The run.
        other: PathBuf,
        /// The run before it.
        first: PathBuf,
    },
    /// A model that gives no draws.
    #[error(transparent)]
    Sample(#[from] SampleError),
}

/// How much to draw.
#[derive(Debug, Clone, Copy)]
pub struct Sets {
    /// Draws of a set; by default as many as there are test rows.
    pub count: Option<u64>,
    /// Sets of each run, at least two.
    pub sets: u32,
}

/// Distances of runs by one classifier.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FrechetReport {
    /// Share of validation rows that the classifier gets right; none without labels of these.
    pub accuracy: Option<f64>,
    /// Test rows.
    pub rows: u64,
    /// Draws of a set.
    pub count: u64,
    /// Sets of each run.
    pub sets: u32,
    /// The distance of so many training rows: two sets of real rows.
    pub real: f64,
    /// The runs' distances.
    pub runs: Vec<Distance>,
}

/// The distance of a run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Distance {
    /// The run's folder.
    pub path: PathBuf,
    /// Mean over the sets, with its standard error.
    pub distance: Estimate,
}

/// A run that can be drawn from.
struct Drawn {
    model: ModelFile,
    shape: VaeModel,
    engine: Box<dyn VaeEngine>,
}

/// Measures the runs in `folders`, all of the same data, with the `labels` of their training rows, and
/// of the validation rows behind them if these are of the same file.
///
/// # Errors
/// [`FrechetError`].
pub fn measure(
    folders: &[PathBuf],
    labels: &Path,
    how: Sets,
    compute: &Compute,
) -> Result<FrechetReport, FrechetError> {
    let (config, runs) = runs(folders, compute)?;
    let dataset = load_data(&config, &std::env::temp_dir()).map_err(RunError::from)?;
    let (classifier, accuracy) = classifier(&config, &dataset, labels)?;
    let rows = dataset.test.len();
    let count = how.count.unwrap_or(rows);
    let moments = |x: &[f32]| Moments::new(&classifier.features(x), classifier.feature_width());
    let truth = moments(&all(&dataset.test)?);
    let training = first(&*dataset.train, count)?;
    let distance = |(path, run): (&PathBuf, &Drawn)| {
        let of_set = |set| Ok(truth.distance(&moments(&run.draw(set, count)?)));
        let distances = (0..how.sets).map(of_set).collect::<Result<Vec<f64>, FrechetError>>()?;
        Ok(Distance { path: path.clone(), distance: mean(&distances) })
    };
    Ok(FrechetReport {
        accuracy,
        rows,
        count,
        sets: how.sets,
        real: truth.distance(&moments(&training)),
        runs: folders.iter().zip(&runs).map(distance).collect::<Result<_, FrechetError>>()?,
    })
}

/// The models, and the config of the first.
fn runs(folders: &[PathBuf], compute: &Compute) -> Result<(Config, Vec<Drawn>), FrechetError> {
    let mut runs = Vec::new();
    let mut of_first: Option<Config> = None;
    for folder in folders {
        let (_, config) = RunFolder::open(folder).map_err(RunError::from)?;
        if let Some(first) = &of_first
            && !same_rows(&first.data, &config.data)
        {
            let (other, first) = (folder.clone(), folders[0].clone());
            return Err(FrechetError::OtherData { other, first });
        }
        of_first.get_or_insert(config);
        let model = load_model(folder)?;
        let found = model.header.model.kind();
        match (engine_of(&model, compute)?, &model.header.model) {
            (AnyEngine::Vae(engine), AnyModel::Vae(shape)) => {
                let shape = shape.clone();
                runs.push(Drawn { model, shape, engine });
            }
            _ => return Err(RunError::Kind { found }.into()),
        }
    }
    // At least one run is there, or nothing is measured of the data of no run.
    Ok((of_first.unwrap_or_default(), runs))
}

/// Where rows are kept does not tell them apart.
fn same_rows(a: &Data, b: &Data) -> bool {
    let b = Data { memory_limit_mib: a.memory_limit_mib, ..b.clone() };
    *a == b
}

/// Learns the labels of the training rows.
fn classifier(
    config: &Config,
    dataset: &Dataset,
    path: &Path,
) -> Result<(Classifier, Option<f64>), FrechetError> {
    // With a file for training rows, they are in its order, and validation rows may be its last.
    if config.data.train.is_none() {
        return Err(FrechetError::Shuffled);
    }
    let labels = read_labels(path)?;
    let (rows, dim) = (dataset.train.len() as usize, dataset.train.dim());
    let behind = if config.data.valid_rows.is_some() { dataset.valid.len() as usize } else { 0 };
    let refused = |source| FrechetError::Labels { path: path.to_path_buf(), source };
    if labels.len() != rows && labels.len() != rows + behind {
        let images = rows + behind;
        return Err(refused(LabelError::Count { labels: labels.len(), images }));
    }
    let (of_train, of_valid) = labels.split_at(rows);
    let classifier = Classifier::train(&all(&*dataset.train)?, dim, of_train).map_err(refused)?;
    let accuracy = match of_valid {
        [] => None,
        labels => Some(classifier.accuracy(&all(&dataset.valid)?, labels)),
    };
    Ok((classifier, accuracy))
}

fn read_labels(path: &Path) -> Result<Vec<f64>, FrechetError> {
    let mut source = snel_data::open(path, &ReadOptions::default())?;
    let columns = source.columns().len();
    if columns != 1 {
        return Err(FrechetError::Columns { path: path.to_path_buf(), columns });
    }
    let (mut labels, mut chunk) = (Vec::new(), Vec::new());
    while source.next_chunk(&mut chunk)? > 0 {
        labels.extend_from_slice(&chunk);
    }
    Ok(labels)
}

impl Drawn {
    /// `count` rows in the model's units: draws of black-and-white values, means of others.
    fn draw(&self, seed: u32, count: u64) -> Result<Vec<f32>, FrechetError> {
        let Self { model, shape, engine } = self;
        let drawn = resample(&**engine, shape.latent(), seed, count, default_pool(count))?;
        let how = match shape.likelihood {
            Likelihood::Bernoulli => Decoding::Draw(seed),
            Likelihood::Gaussian { .. } => Decoding::Mean,
        };
        Ok(decode(&**engine, &model.parameters, &drawn.points, how))
    }
}

fn all(rows: &dyn Rows) -> Result<Vec<f32>, FrechetError> {
    first(rows, rows.len())
}

/// The first `count` rows, or all if there are fewer.
fn first(rows: &dyn Rows, count: u64) -> Result<Vec<f32>, FrechetError> {
    let numbers: Vec<u64> = (0..count.min(rows.len())).collect();
    let mut values = vec![0.0; numbers.len() * rows.dim()];
    rows.gather(&numbers, &mut values)
        .map_err(|e| RunError::from(crate::setup::SetupError::Rows(e)))?;
    Ok(values)
}
