//! A run from config to trained model, and a trained model ready for use.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use snel_core::collective::Alone;
use snel_core::engine::{DensityEngine, EngineError};
use snel_core::objective::Objective;
use snel_core::optim::Optim;
use snel_core::problem::Problem;
use snel_core::rows::{Matrix, Rows};
use snel_core::state::State;

use crate::checkpoint::Progress;
use crate::compute::{AnyEngine, Compute, ComputeError};
use crate::config::Config;
use crate::container::ContainerError;
use crate::cost::Cost;
use crate::file::FileError;
use crate::model_file::{ModelFile, ModelHeader};
use crate::plot::PlotError;
use crate::run_folder::{RunFolder, RunFolderError};
use crate::score::ScoreError;
use crate::setup::{Setup, SetupError, prepare};
use crate::sink::tensorboard::TensorBoard;
use crate::sink::{JsonLines, Sink};
use crate::trainee::Trainee;
use crate::trainer::{Outcome, TrainError, Trainer};

/// Why a run, or the use of its model, failed.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Data or proposal.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// The run folder.
    #[error(transparent)]
    Folder(#[from] RunFolderError),
    /// Training.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// A checkpoint or model file.
    #[error(transparent)]
    Container(#[from] ContainerError),
    /// Another file.
    #[error(transparent)]
    File(#[from] FileError),
    /// The engine could not be made.
    #[error(transparent)]
    Compute(#[from] ComputeError),
    /// The engine refused a state.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The rows to score do not fit the model.
    #[error(transparent)]
    Score(ScoreError),
    /// A picture could not be drawn.
    #[error(transparent)]
    Plot(#[from] PlotError),
    /// A checkpoint's model is not what data and config give now.
    #[error("the data or the code has changed since {} was written", .0.display())]
    Changed(PathBuf),
    /// A finished run whose checkpoints are gone was to be resumed.
    #[error("{} has a trained model, but no checkpoint to go on from", .0.display())]
    NoCheckpoint(PathBuf),
    /// A model was to be used before there is one.
    #[error("{} has no trained model (`model.safetensors`) yet", .0.display())]
    NoModel(PathBuf),
    /// A model of another kind.
    #[error("this is a {found} model, which this command does not use")]
    Kind {
        /// `density`, `conditional` or `vae`.
        found: &'static str,
    },
    /// The machine does not have what the run needs.
    #[error("the run needs about {:.1} GiB of memory, more than this machine gives", *.0 as f64 / (1u64 << 30) as f64)]
    Memory(u64),
}

/// What the caller of [`train`] decides, besides the config.
pub struct TrainOptions<'a> {
    /// The run folder.
    pub out: &'a Path,
    /// Go on with the run in `out`.
    pub resume: bool,
    /// What to compute with.
    pub compute: Compute,
    /// Set from outside to stop after the current step.
    pub stop: &'a AtomicBool,
}

/// A run after training.
pub struct Trained {
    /// How it ended.
    pub outcome: Outcome,
    /// Its folder.
    pub folder: RunFolder,
    /// Data, problem and batching.
    pub setup: Setup,
    /// The chosen model; the last one if training was interrupted.
    pub model: ModelFile,
    /// Steps the chosen model had done.
    pub chosen_step: u64,
}

/// Trains as `config` says and leaves checkpoints, metrics and `model.safetensors` in the folder.
///
/// # Errors
/// [`RunError`]; what was saved before stays.
pub fn train(
    config: &Config,
    options: &TrainOptions,
    mut sinks: Vec<Box<dyn Sink>>,
) -> Result<Trained, RunError> {
    // Everything that can be wrong with the input is found before the folder is touched.
    if !options.resume && options.out.join("config.toml").exists() {
        return Err(RunFolderError::Exists(options.out.to_path_buf()).into());
    }
    let setup = prepare(config, &std::env::temp_dir())?;
    let cost = Cost::new(config, &setup, options.compute.threads);
    if !cost.memory_granted {
        return Err(RunError::Memory(cost.memory_bytes));
    }
    let rows: Arc<dyn Rows> = setup.dataset.train.clone();
    let mut engine = options.compute.any(&setup.problem, rows)?;
    let folder = if options.resume {
        RunFolder::resume(options.out, config)?
    } else {
        RunFolder::create(options.out, config)?
    };
    let fingerprint = engine.engine().fingerprint().to_string();
    let checkpoints = folder.checkpoints(config.train.keep);
    let mut progress = Progress::default();
    if options.resume {
        let mut note = |text: &str| sinks.iter_mut().for_each(|sink| sink.note(text));
        match checkpoints.newest()? {
            Some((checkpoint, damaged)) => {
                for error in damaged {
                    note(&format!("{error}; an older one is used"));
                }
                if checkpoint.model != setup.problem.model {
                    return Err(RunError::Changed(checkpoints.path(checkpoint.state.step)));
                }
                if checkpoint.fingerprint != fingerprint {
                    note(&format!(
                        "the arithmetic differs from the run's so far, so bits will: {} then, \
                         {fingerprint} now",
                        checkpoint.fingerprint
                    ));
                }
                engine.engine_mut().restore(&checkpoint.state)?;
                progress = checkpoint.progress;
            }
            None if folder.model().exists() => {
                return Err(RunError::NoCheckpoint(folder.path().to_path_buf()));
            }
            // Stopped before its first checkpoint: nothing is lost by beginning again.
            None => note("there is no checkpoint yet; the run begins at step 0"),
        }
    }
    sinks.push(Box::new(JsonLines::open(&folder.metrics(), engine.engine().head().step)?));
    if config.output.tensorboard {
        sinks.push(Box::new(TensorBoard::start(folder.path(), engine.engine().head().step)?));
    }
    let header = setup.model_header(config.seed, fingerprint);
    let mut store = checkpoints.clone();
    let mut trainer = Trainer {
        problem: setup.problem.clone(),
        batching: setup.batching.clone(),
        engine: &mut engine,
        collective: &mut Alone,
        valid: &setup.dataset.valid,
        settings: config.train.clone(),
        store: &mut store,
        header,
        progress,
        sinks,
        stop: options.stop,
    };
    let outcome = trainer.run()?;
    let model = match outcome {
        Outcome::Interrupted { .. } => trainer.model(),
        _ if checkpoints.best().exists() => ModelFile::load(&checkpoints.best())?,
        _ => return Err(TrainError::NoModel.into()),
    };
    if !matches!(outcome, Outcome::Interrupted { .. }) {
        model.save(&folder.model())?;
    }
    let chosen_step = model.header.step;
    Ok(Trained { outcome, folder, setup, model, chosen_step })
}

/// An engine that evaluates `model`; it has no training rows.
///
/// # Errors
/// [`RunError`] if threads, memory or the GPU are refused.
pub fn engine_of(model: &ModelFile, compute: &Compute) -> Result<AnyEngine, RunError> {
    let ModelHeader { model: shape, seed, .. } = &model.header;
    // Densities are the same whatever was minimised.
    let problem = Problem::new(shape.clone(), Objective::Snl, Optim::default(), *seed);
    let no_rows = Matrix::empty(shape.dim());
    let mut engine = compute.any(&problem, Arc::new(no_rows))?;
    engine.engine_mut().restore(&State::new(model.parameters.to_vec()))?;
    Ok(engine)
}

/// The same, for what only a density model can do.
///
/// # Errors
/// [`RunError::Kind`] if `model` is of another kind, and as [`engine_of`].
pub fn density_engine_of(
    model: &ModelFile,
    compute: &Compute,
) -> Result<Box<dyn DensityEngine>, RunError> {
    match engine_of(model, compute)? {
        AnyEngine::Density(engine) => Ok(engine),
        AnyEngine::Conditional(_) | AnyEngine::Vae(_) => {
            Err(RunError::Kind { found: model.header.model.kind() })
        }
    }
}

/// The model of a run folder, or of a model file.
///
/// # Errors
/// [`RunError`] if there is none, or it is damaged.
pub fn load_model(path: &Path) -> Result<ModelFile, RunError> {
    if path.is_file() {
        return Ok(ModelFile::load(path)?);
    }
    let folder = RunFolder::at(path)?;
    if !folder.model().exists() {
        return Err(RunError::NoModel(path.to_path_buf()));
    }
    Ok(ModelFile::load(&folder.model())?)
}
