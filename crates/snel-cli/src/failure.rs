//! What a user reads when a command fails: what, where, why, what to do.

use std::error::Error;
use std::fmt::Write;
use std::io::ErrorKind;

use snel_cuda::CudaError;
use snel_cuda::device::DeviceError;
use snel_cuda::driver::OpenError;
use snel_cuda::open::EngineOpenError;
use snel_data::DataError;
use snel_train::bench::BenchError;
use snel_train::compare::CompareError;
use snel_train::compute::ComputeError;
use snel_train::conditional::PredictError;
use snel_train::config::ConfigError;
use snel_train::container::ContainerError;
use snel_train::file::FileError;
use snel_train::frechet::FrechetError;
use snel_train::run::RunError;
use snel_train::run_folder::RunFolderError;
use snel_train::sample::SampleError;
use snel_train::score::ScoreError;
use snel_train::setup::SetupError;
use snel_train::store::StoreError;
use snel_train::study::StudyError;
use snel_train::study::table::TableError;
use snel_train::trainer::TrainError;

use crate::exit::Exit;

/// A failed command.
#[derive(Debug)]
pub(crate) struct Failure {
    error: Box<dyn Error>,
    hint: Option<String>,
    pub(crate) exit: Exit,
}

impl Failure {
    pub(crate) fn new(error: impl Error + 'static, hint: Option<String>, exit: Exit) -> Self {
        Self { error: error.into(), hint, exit }
    }

    /// The system refused something without a file.
    pub(crate) fn system(what: &'static str, error: std::io::Error) -> Self {
        Self::new(SystemError { what, source: error }, None, Exit::TryAgain)
    }

    /// `error: …`, its causes, and `hint: …`, for stderr.
    pub(crate) fn render(&self) -> String {
        let mut text = format!("error: {}", self.error);
        let mut cause = self.error.source();
        while let Some(error) = cause {
            let _ = write!(text, "\n  because {error}");
            cause = error.source();
        }
        if let Some(hint) = &self.hint {
            let _ = write!(text, "\nhint: {hint}");
        }
        text
    }
}

/// What the system refused.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
struct SystemError {
    what: &'static str,
    source: std::io::Error,
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        let hint = error.hint().map(Into::into);
        Self { error: error.into(), hint, exit: Exit::Usage }
    }
}

impl From<BenchError> for Failure {
    fn from(error: BenchError) -> Self {
        let (hint, exit) = match &error {
            BenchError::Threads(_) => (None, Exit::TryAgain),
            BenchError::Compute(error) => of_compute(error),
            BenchError::Step(_) => (None, Exit::Failed),
        };
        Self { error: error.into(), hint, exit }
    }
}

impl From<StudyError> for Failure {
    fn from(error: StudyError) -> Self {
        let another = || Some("name another folder with --out".to_owned());
        let (hint, exit) = match &error {
            StudyError::Table(TableError::OtherSettings { .. }) => (another(), Exit::Usage),
            StudyError::Table(TableError::Damaged { .. }) => (another(), Exit::Data),
            StudyError::Table(TableError::File(error)) | StudyError::File(error) => of_file(error),
            StudyError::Pictures(error) => classify(error),
            StudyError::Compute(error) => of_compute(error),
            _ => (None, Exit::Failed),
        };
        Self { error: error.into(), hint, exit }
    }
}

impl From<CompareError> for Failure {
    fn from(error: CompareError) -> Self {
        let (hint, exit) = match error {
            CompareError::Folder(error) => return RunError::from(error).into(),
            CompareError::File(error) => return error.into(),
            CompareError::NoLedger(_) => ("train it again, or leave it out", Exit::Data),
            CompareError::Evaluation { .. } => {
                ("`snel train --resume` writes it again", Exit::Data)
            }
        };
        Self { error: error.into(), hint: Some(hint.to_owned()), exit }
    }
}

impl From<FrechetError> for Failure {
    fn from(error: FrechetError) -> Self {
        let (hint, exit) = match error {
            FrechetError::Run(error) => return error.into(),
            FrechetError::Data(error) => return error.into(),
            FrechetError::Sample(error) => return error.into(),
            FrechetError::Labels { .. } | FrechetError::Columns { .. } => {
                ("name the labels of the file `data.train` of the runs", Exit::Data)
            }
            FrechetError::Shuffled => {
                ("train with `data.train` and `data.valid_rows`", Exit::Usage)
            }
            FrechetError::OtherData { .. } => ("measure it by itself", Exit::Usage),
        };
        Self { error: error.into(), hint: Some(hint.to_owned()), exit }
    }
}

impl From<DataError> for Failure {
    fn from(error: DataError) -> Self {
        let (hint, exit) = of_data(&error);
        Self { error: error.into(), hint, exit }
    }
}

impl From<PredictError> for Failure {
    fn from(error: PredictError) -> Self {
        let (hint, exit) = match &error {
            PredictError::Data(error) => of_data(error),
            PredictError::Columns { .. } => {
                (Some("give the inputs by their names".to_owned()), Exit::Data)
            }
            PredictError::Targets(_) => (Some("leave --density out".to_owned()), Exit::Usage),
        };
        Self { error: error.into(), hint, exit }
    }
}

impl From<SampleError> for Failure {
    fn from(error: SampleError) -> Self {
        let hint = error.hint().map(str::to_owned);
        let exit = match error {
            SampleError::StepSize(_) => Exit::Usage,
            SampleError::Memory { .. } | SampleError::Threads { .. } => Exit::TryAgain,
            _ => Exit::Failed,
        };
        Self { error: error.into(), hint, exit }
    }
}

impl From<FileError> for Failure {
    fn from(error: FileError) -> Self {
        RunError::from(error).into()
    }
}

impl From<ContainerError> for Failure {
    fn from(error: ContainerError) -> Self {
        RunError::from(error).into()
    }
}

impl From<RunFolderError> for Failure {
    fn from(error: RunFolderError) -> Self {
        RunError::from(error).into()
    }
}

impl From<ScoreError> for Failure {
    fn from(error: ScoreError) -> Self {
        RunError::from(error).into()
    }
}

impl From<SetupError> for Failure {
    fn from(error: SetupError) -> Self {
        RunError::from(error).into()
    }
}

impl From<RunError> for Failure {
    fn from(error: RunError) -> Self {
        let (hint, exit) = classify(&error);
        Self { error: error.into(), hint, exit }
    }
}

fn classify(error: &RunError) -> (Option<String>, Exit) {
    match error {
        RunError::Setup(SetupError::Data(error)) => of_data(error),
        RunError::Setup(SetupError::Rows(_)) => (None, Exit::TryAgain),
        RunError::Setup(error) => (error.hint(), Exit::Data),
        RunError::Folder(RunFolderError::File(error)) => of_file(error),
        RunError::Folder(error) => (error.hint(), Exit::Usage),
        RunError::Train(error) => of_training(error),
        RunError::Container(error) => of_container(error),
        RunError::File(error) => of_file(error),
        RunError::Compute(error) => of_compute(error),
        RunError::Engine(_) | RunError::Plot(_) => (None, Exit::Failed),
        RunError::Score(_) => (
            Some("give the columns the model's names, or the file as many columns".to_owned()),
            Exit::Data,
        ),
        RunError::Kind { found: "conditional" } => {
            (Some("`snel predict` is for conditional models".to_owned()), Exit::Usage)
        }
        RunError::Kind { found: "vae" } => (
            Some("of a vae, `snel eval`, `snel sample` and `snel plot` make use".to_owned()),
            Exit::Usage,
        ),
        RunError::Kind { .. } => {
            (Some("`snel score` and `snel sample` are for density models".to_owned()), Exit::Usage)
        }
        RunError::Changed(_) => {
            (Some("start a new run in another folder with --out".to_owned()), Exit::Data)
        }
        RunError::NoCheckpoint(_) => {
            (Some("start a new run in another folder with --out".to_owned()), Exit::Usage)
        }
        RunError::Memory(_) => {
            (Some("choose a narrower network, or fewer --threads".to_owned()), Exit::TryAgain)
        }
        RunError::NoModel(_) => {
            (Some("train it to the end first, with `snel train`".to_owned()), Exit::Usage)
        }
    }
}

fn of_compute(error: &ComputeError) -> (Option<String>, Exit) {
    match error {
        ComputeError::Cpu(_) | ComputeError::Cuda(EngineOpenError::Gpu(OpenError::Cuda(_))) => {
            (None, Exit::TryAgain)
        }
        ComputeError::Cuda(EngineOpenError::Engine(CudaError::Device { source, .. })) => {
            let memory = matches!(source, DeviceError::Memory { .. });
            (None, if memory { Exit::TryAgain } else { Exit::Failed })
        }
        ComputeError::Cuda(EngineOpenError::Engine(CudaError::Sizes { .. })) => {
            (None, Exit::Failed)
        }
        ComputeError::CpuOnly { .. } => {
            (Some("use `--device cpu`; the kernels are for density models".into()), Exit::Usage)
        }
        ComputeError::Chains(_) => {
            (Some("use `--device cpu`; GPUs have no kernels for chains".into()), Exit::Usage)
        }
        // Asked for by the user, and not to be had: the machine has no such GPU, or the model no
        // kernels.
        ComputeError::Cuda(_) => (
            Some("`snel doctor` tells what this machine has; `--device cpu` needs no GPU".into()),
            Exit::Usage,
        ),
    }
}

fn of_training(error: &TrainError) -> (Option<String>, Exit) {
    match error {
        TrainError::Diverged { source, .. } => (
            Some(format!(
                "{}; the checkpoints of the steps before are kept, and so is the best model so far",
                source.hint()
            )),
            Exit::Failed,
        ),
        TrainError::Store(StoreError::Container(error)) => of_container(error),
        TrainError::File(error) => of_file(error),
        TrainError::NoStart(_) => (
            Some("the proposal and the base density do not overlap; fit both to the data".into()),
            Exit::Failed,
        ),
        TrainError::NoModel => {
            (Some("lower `optim.lr` and `optim.b_lr`, or widen the proposal".into()), Exit::Failed)
        }
        TrainError::Engine(_)
        | TrainError::Collective(_)
        | TrainError::Store(StoreError::Collective(_)) => (None, Exit::Failed),
    }
}

fn of_container(error: &ContainerError) -> (Option<String>, Exit) {
    match error {
        ContainerError::File(error) => of_file(error),
        ContainerError::Damaged { .. } => (
            Some(
                "copy it again; a run's model is made again from its checkpoints by \
                 `snel train CONFIG --resume`"
                    .into(),
            ),
            Exit::Data,
        ),
    }
}

fn of_file(error: &FileError) -> (Option<String>, Exit) {
    of_io(&error.source)
}

fn of_io(error: &std::io::Error) -> (Option<String>, Exit) {
    match error.kind() {
        ErrorKind::NotFound => {
            (Some("make that folder first, or name another".into()), Exit::Usage)
        }
        ErrorKind::IsADirectory | ErrorKind::NotADirectory => {
            let advice = "a file stands where a folder should be, or a folder for a file";
            (Some(format!("{advice}; name another")), Exit::TryAgain)
        }
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => (
            Some("free some space; a training run then goes on with --resume".into()),
            Exit::TryAgain,
        ),
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            (Some("choose a folder that you may write to".into()), Exit::TryAgain)
        }
        _ => (None, Exit::TryAgain),
    }
}

fn of_data(error: &DataError) -> (Option<String>, Exit) {
    match error {
        DataError::Write { source, .. } => of_io(source),
        DataError::UnknownOutput { .. } => (error.hint(), Exit::Usage),
        DataError::Unreadable { source, .. } if source.kind() != ErrorKind::IsADirectory => {
            of_io(source)
        }
        DataError::Scratch { .. } => (error.hint(), Exit::TryAgain),
        _ => (error.hint(), Exit::Data),
    }
}
