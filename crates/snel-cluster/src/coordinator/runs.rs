//! The folders of a coordinator's runs.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use snel_proto::v1;
use snel_train::config::{Config, ConfigError};
use snel_train::file::{FileError, create_folder, write_atomically};
use snel_train::run_folder::{RunFolder, RunFolderError};

use crate::coordinator::ended::ended;
use crate::coordinator::hub::Hub;
use crate::coordinator::runner::{self, RunnerError, Submission, record_path};
use crate::record::{History, RecordError};

/// Why a run cannot be submitted.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// A name that is no folder's.
    #[error("{0:?} is no name of a run: use letters, digits, `-`, `_` and `.`, not at the start")]
    Name(String),
    /// There is a run of that name.
    #[error("there is a run {0:?}, and it goes on")]
    Exists(String),
    /// The config is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The folder cannot be used.
    #[error(transparent)]
    Folder(#[from] RunFolderError),
    /// The run cannot be opened.
    #[error(transparent)]
    Runner(#[from] RunnerError),
    /// A file cannot be written.
    #[error(transparent)]
    File(#[from] FileError),
}

impl SubmitError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Config(error) => error.hint().map(Into::into),
            Self::Exists(_) => Some("watch it with `snel run watch`, or take another name".into()),
            Self::Folder(_) => Some("go on with --resume, or choose another name or folder".into()),
            Self::Name(_) | Self::Runner(_) | Self::File(_) => None,
        }
    }
}

/// The folder in which runs are.
pub(super) struct Runs {
    dir: PathBuf,
    hub: Arc<Hub>,
    /// One submission at a time: two of one name must not both succeed.
    door: Mutex<()>,
}

impl Runs {
    pub(super) fn new(dir: &Path, hub: Arc<Hub>) -> Self {
        Self { dir: dir.to_path_buf(), hub, door: Mutex::new(()) }
    }

    /// Where a run is.
    pub(super) fn folder(&self, run: &str) -> PathBuf {
        self.dir.join(run)
    }

    /// Takes up the runs that had not ended, and shows those that had; of `only` one, if that is
    /// said.
    ///
    /// # Errors
    /// [`SubmitError`] of the first that cannot be opened.
    pub(super) fn take_up(&self, only: Option<&str>) -> Result<(), SubmitError> {
        let entries =
            std::fs::read_dir(&self.dir).map_err(FileError::at("read folder", &self.dir))?;
        let mut names: Vec<String> =
            entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
        names.sort_unstable();
        for name in names {
            if only.is_some_and(|only| only != name) {
                continue;
            }
            let Ok(folder) = RunFolder::at(&self.folder(&name)) else { continue };
            let history = match History::read(&record_path(&folder)) {
                Ok(history) => history,
                Err(RecordError::Io { source, .. }) if source.kind() == ErrorKind::NotFound => {
                    continue;
                }
                Err(error) => return Err(RunnerError::from(error).into()),
            };
            let opened = RunFolder::open(folder.path());
            // What is over must not keep the others from going on.
            if opened.is_err() && history.outcome().is_some() {
                continue;
            }
            let (folder, config) = opened?;
            let submission = self.submission(&name).unwrap_or(Submission { order: 0, wanted: 0 });
            if history.outcome().is_some() {
                self.hub.insert_run(&name, ended(&name, &folder, &config, &submission, &history));
            } else {
                runner::open(&self.hub, &name, &folder, config, &submission)?;
            }
        }
        Ok(())
    }

    /// Queues a run.
    ///
    /// # Errors
    /// [`SubmitError`]; nothing has changed then.
    pub(super) fn submit(&self, request: &v1::SubmitRequest) -> Result<(), SubmitError> {
        let v1::SubmitRequest { run, config, workers, resume } = request;
        let usual = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if run.is_empty() || run.len() > 100 || run.starts_with('.') || !run.chars().all(usual) {
            return Err(SubmitError::Name(run.clone()));
        }
        let _door = self.door.lock().unwrap_or_else(PoisonError::into_inner);
        if self.hub.has_ended(run) == Some(false) {
            return Err(SubmitError::Exists(run.clone()));
        }
        let config = Config::parse(config, "the submitted config", &[])?;
        let path = self.folder(run);
        let folder = if *resume {
            RunFolder::resume(&path, &config)?
        } else {
            RunFolder::create(&path, &config)?
        };
        let submission = Submission { order: self.hub.next_order(), wanted: *workers };
        self.write(run, &submission)?;
        runner::open(&self.hub, run, &folder, config, &submission)?;
        Ok(())
    }

    /// Keeps a new number of workers.
    pub(super) fn remember(&self, run: &str, wanted: u32) {
        if let Some(old) = self.submission(run) {
            // It is a wish, not a state: if it cannot be written, the run goes on with it all the same.
            let _ = self.write(run, &Submission { wanted, ..old });
        }
    }

    fn submission(&self, run: &str) -> Option<Submission> {
        let text = std::fs::read(self.folder(run).join("cluster.json")).ok()?;
        serde_json::from_slice(&text).ok()
    }

    fn write(&self, run: &str, submission: &Submission) -> Result<(), FileError> {
        let text = serde_json::to_vec(submission).unwrap_or_default();
        create_folder(&self.folder(run))?;
        write_atomically(&self.folder(run).join("cluster.json"), &text)
    }
}
