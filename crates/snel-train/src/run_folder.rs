//! The folder of a run: what is where.
//!
//! Invariants
//! 1. A folder that holds a run is never started over: it is resumed, or another one is taken.
//! 2. `config.toml` is the resolved config; it is written first.

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::checkpoint::Checkpoints;
use crate::config::{Config, ConfigError};
use crate::file::{FileError, create_atomically, create_folder, write_atomically};

/// A run's folder.
#[derive(Debug, Clone)]
pub struct RunFolder {
    path: PathBuf,
}

/// Why a folder cannot be used for a run.
#[derive(Debug, thiserror::Error)]
pub enum RunFolderError {
    /// The file system refused.
    #[error(transparent)]
    File(#[from] FileError),
    /// A new run was asked for where one is.
    #[error("{} already holds a run", .0.display())]
    Exists(PathBuf),
    /// A run was to be read or resumed where none is.
    #[error("{} holds no run: it has no `config.toml`", .0.display())]
    Absent(PathBuf),
    /// The saved config cannot be read.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A resumed run's config differs where it may not.
    #[error("the run in {} was started with other settings: {}", path.display(), keys.join(", "))]
    Differs {
        /// The folder.
        path: PathBuf,
        /// Each key with its old and new value.
        keys: Vec<String>,
    },
}

impl RunFolderError {
    /// What the user may try.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Exists(_) => {
                Some("go on with --resume, or choose another folder with --out".into())
            }
            Self::Absent(_) => Some("a run folder is what `snel train` makes".into()),
            Self::Differs { .. } => Some(
                "a run may be resumed with another train.steps, and other eval and output \
                 settings; for anything else start a new run with --out"
                    .into(),
            ),
            Self::Config(error) => error.hint().map(Into::into),
            Self::File(_) => None,
        }
    }
}

/// Settings that do not change what a step computes.
const MAY_DIFFER: &[&str] = &[
    "name",
    "train.steps",
    "train.valid_every",
    "train.valid_samples",
    "train.checkpoint_every",
    "train.keep",
    "train.patience",
    "train.min_ess",
    "eval",
    "output",
    "cluster",
    "data.memory_limit_mib",
];

impl RunFolder {
    /// Starts a run in `path`, which must not hold one.
    ///
    /// # Errors
    /// [`RunFolderError::Exists`], or what the file system says.
    pub fn create(path: &Path, config: &Config) -> Result<Self, RunFolderError> {
        let folder = Self { path: path.to_path_buf() };
        create_folder(&folder.checkpoints_path())?;
        let file = folder.config();
        match create_atomically(&file, config.to_toml().as_bytes()) {
            Err(e) if e.source.kind() == ErrorKind::AlreadyExists => {
                Err(RunFolderError::Exists(folder.path))
            }
            Err(error) => Err(error.into()),
            Ok(()) => Ok(folder),
        }
    }

    /// A folder that holds a run, without reading anything.
    ///
    /// # Errors
    /// [`RunFolderError::Absent`].
    pub fn at(path: &Path) -> Result<Self, RunFolderError> {
        let folder = Self { path: path.to_path_buf() };
        if folder.config().is_file() {
            Ok(folder)
        } else {
            Err(RunFolderError::Absent(folder.path))
        }
    }

    /// Opens a folder that holds a run, with its config.
    ///
    /// # Errors
    /// [`RunFolderError`].
    pub fn open(path: &Path) -> Result<(Self, Config), RunFolderError> {
        let folder = Self::at(path)?;
        let config = Config::load(&folder.config(), &[])?;
        Ok((folder, config))
    }

    /// Opens a run to go on with `config`, which may differ from the saved one only in settings
    /// that do not change what a step computes; it is saved instead.
    ///
    /// # Errors
    /// [`RunFolderError`].
    pub fn resume(path: &Path, config: &Config) -> Result<Self, RunFolderError> {
        let (folder, saved) = Self::open(path)?;
        let keys = differences(&saved, config);
        if !keys.is_empty() {
            return Err(RunFolderError::Differs { path: folder.path, keys });
        }
        create_folder(&folder.checkpoints_path())?;
        write_atomically(&folder.config(), config.to_toml().as_bytes())?;
        Ok(folder)
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn config(&self) -> PathBuf {
        self.path.join("config.toml")
    }

    fn checkpoints_path(&self) -> PathBuf {
        self.path.join("checkpoints")
    }

    /// Its checkpoints, of which the newest `keep` stay.
    pub fn checkpoints(&self, keep: usize) -> Checkpoints {
        Checkpoints::new(self.checkpoints_path(), keep)
    }

    /// The trained model.
    pub fn model(&self) -> PathBuf {
        self.path.join("model.safetensors")
    }

    /// One JSON record a line.
    pub fn metrics(&self) -> PathBuf {
        self.path.join("metrics.jsonl")
    }

    /// The final evaluation.
    pub fn evaluation(&self) -> PathBuf {
        self.path.join("eval.json")
    }

    /// Pictures.
    pub fn plots(&self) -> PathBuf {
        self.path.join("plots")
    }

    /// The self-contained report.
    pub fn report(&self) -> PathBuf {
        self.path.join("report.html")
    }
}

/// The keys of a config that a run's steps depend on, with their values as TOML.
pub fn keys_of_steps(config: &Config) -> BTreeMap<String, String> {
    let may_differ = |key: &str| {
        MAY_DIFFER
            .iter()
            .any(|a| key == *a || key.strip_prefix(a).is_some_and(|r| r.starts_with('.')))
    };
    let mut keys = BTreeMap::new();
    if let Ok(table) = toml::Table::try_from(config) {
        flatten("", &toml::Value::Table(table), &mut keys);
    }
    keys.retain(|key, _| !may_differ(key));
    keys
}

/// Keys whose change would change the steps, with old and new values.
fn differences(old: &Config, new: &Config) -> Vec<String> {
    let (old, new) = (keys_of_steps(old), keys_of_steps(new));
    let keys: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let show = |value: Option<&String>| value.map_or("unset", |v| v.as_str()).to_owned();
    keys.into_iter()
        .filter(|key| old.get(*key) != new.get(*key))
        .map(|key| format!("{key} was {} and is {}", show(old.get(key)), show(new.get(key))))
        .collect()
}

fn flatten(key: &str, value: &toml::Value, out: &mut BTreeMap<String, String>) {
    if let toml::Value::Table(table) = value {
        for (name, value) in table {
            let key = if key.is_empty() { name.clone() } else { format!("{key}.{name}") };
            flatten(&key, value, out);
        }
    } else {
        out.insert(key.to_owned(), value.to_string());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(overrides: &[&str]) -> Config {
        let overrides: Vec<String> = overrides.iter().map(ToString::to_string).collect();
        Config::parse("[data]\ntoy = \"rings\"\n", "t.toml", &overrides).unwrap()
    }

    #[test]
    fn a_run_is_never_started_over() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("run");
        RunFolder::create(&path, &config(&[])).unwrap();
        let again = RunFolder::create(&path, &config(&["seed=3"]));
        assert!(matches!(again, Err(RunFolderError::Exists(_))));
        assert_eq!(RunFolder::open(&path).unwrap().1, config(&[]));
        assert!(matches!(RunFolder::open(temp.path()), Err(RunFolderError::Absent(_))));
    }

    #[test]
    fn resume_refuses_other_arithmetic() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("run");
        RunFolder::create(&path, &config(&[])).unwrap();
        RunFolder::resume(&path, &config(&["train.steps=77", "eval.samples=5000"])).unwrap();
        assert_eq!(RunFolder::open(&path).unwrap().1.train.steps, 77);
        let error = RunFolder::resume(&path, &config(&["optim.lr=0.5"])).unwrap_err();
        assert!(error.to_string().contains("optim.lr was 0.001 and is 0.5"), "{error}");
    }
}
