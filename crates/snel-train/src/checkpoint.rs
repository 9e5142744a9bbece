//! Checkpoints: the whole training state, and which of them is kept.
//!
//! Invariants
//! 1. A checkpoint holds all that later steps depend on: training 2k steps, and training 1k,
//!    stopping and resuming, give the same bytes.
//! 2. A checkpoint is whole or not there; writing one never endangers another.
//! 3. A damaged checkpoint is passed over, with a note, for the newest sound one.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use snel_core::problem::AnyModel;
use snel_core::state::State;

use crate::container::{self, ContainerError, Tensor};
use crate::file::FileError;

const FORMAT: &str = "snel checkpoint 1";

/// What the trainer knows besides the engine's state.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Progress {
    /// Best validation lower bound so far, nats.
    pub best: Option<f64>,
    /// Steps done when it was reached.
    pub best_step: u64,
    /// Validations since then.
    pub since_best: u64,
    /// Steps refused so far.
    pub refused: u64,
    /// Steps in a row that show each sign of divergence.
    pub streaks: Streaks,
}

/// Consecutive steps that show a sign of divergence.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Streaks {
    /// Refused.
    pub refused: u64,
    /// Fewer than two effective samples.
    pub collapsed: u64,
    /// `b` far from the samples' `log Z`.
    pub lagging: u64,
    /// Chains that stand still.
    #[serde(default)]
    pub stuck: u64,
    /// Chains of posteriors that stand still.
    #[serde(default)]
    pub stuck_posteriors: u64,
}

#[derive(Serialize, Deserialize)]
struct Header {
    format: String,
    step: u64,
    updates: u64,
    scale: i32,
    /// Of chains; zero without any.
    #[serde(default)]
    step_size: f64,
    progress: Progress,
    /// Guards against data or settings that changed since.
    model: AnyModel,
    fingerprint: String,
}

/// A checkpoint in memory.
#[derive(Debug, Clone, PartialEq)]
pub struct Checkpoint {
    /// The engine's state.
    pub state: State,
    /// The trainer's.
    pub progress: Progress,
    /// The model it belongs to.
    pub model: AnyModel,
    /// Fingerprint of the engine that made it, as text.
    pub fingerprint: String,
}

impl Checkpoint {
    /// Writes to `path`, atomically.
    ///
    /// # Errors
    /// [`ContainerError`]; what was at `path` is then still there.
    pub fn save(&self, path: &Path) -> Result<(), ContainerError> {
        self.with_parts(|header, tensors| container::write(path, header, tensors))
    }

    /// The bytes of the file that [`Self::save`] writes.
    ///
    /// # Errors
    /// [`ContainerError`] if its parts do not fit together.
    pub fn to_bytes(&self) -> Result<Vec<u8>, ContainerError> {
        let path = Path::new("the checkpoint");
        self.with_parts(|header, tensors| container::to_bytes(path, header, tensors))
    }

    fn with_parts<R>(&self, then: impl FnOnce(&Header, &[Tensor<'_>]) -> R) -> R {
        let Self { state, progress, model, fingerprint } = self;
        let header = Header {
            format: FORMAT.to_owned(),
            step: state.step,
            updates: state.updates,
            scale: state.scale,
            step_size: state.step_size,
            progress: progress.clone(),
            model: model.clone(),
            fingerprint: fingerprint.clone(),
        };
        let flat = |name, values| Tensor { name, shape: vec![state.parameters.len()], values };
        let mut tensors = vec![
            flat("parameters", &state.parameters),
            flat("first_moment", &state.first_moment),
            flat("second_moment", &state.second_moment),
        ];
        if !state.chains.is_empty() {
            let shape = vec![state.chains.len()];
            tensors.push(Tensor { name: "chains", shape, values: &state.chains });
        }
        then(&header, &tensors)
    }

    /// Reads from `path`.
    ///
    /// # Errors
    /// [`ContainerError`].
    pub fn load(path: &Path) -> Result<Self, ContainerError> {
        Self::from_bytes(path, &container::read_bytes(path)?)
    }

    /// As [`Checkpoint::load`], of bytes that were in the file `path`.
    ///
    /// # Errors
    /// [`ContainerError::Damaged`].
    pub fn from_bytes(path: &Path, bytes: &[u8]) -> Result<Self, ContainerError> {
        let (header, mut tensors) = container::from_bytes::<Header>(path, bytes)?;
        let damaged = |why: String| ContainerError::Damaged { path: path.to_path_buf(), why };
        if header.format != FORMAT {
            return Err(damaged(format!("its format is `{}`, not `{FORMAT}`", header.format)));
        }
        // Only some objectives have chains.
        let chains = tensors.remove("chains").unwrap_or_default();
        let mut take = |name: &str| {
            tensors.remove(name).ok_or_else(|| damaged(format!("tensor `{name}` is missing")))
        };
        let state = State {
            step: header.step,
            updates: header.updates,
            scale: header.scale,
            parameters: take("parameters")?,
            first_moment: take("first_moment")?,
            second_moment: take("second_moment")?,
            step_size: header.step_size,
            chains,
        };
        let Header { progress, model, fingerprint, .. } = header;
        Ok(Self { state, progress, model, fingerprint })
    }
}

/// The folder of a run's checkpoints.
#[derive(Debug, Clone)]
pub struct Checkpoints {
    folder: PathBuf,
    keep: usize,
}

impl Checkpoints {
    /// The checkpoints in `folder`, of which the newest `keep` stay.
    pub fn new(folder: PathBuf, keep: usize) -> Self {
        Self { folder, keep: keep.max(1) }
    }

    /// Where the checkpoint of `step` is.
    pub fn path(&self, step: u64) -> PathBuf {
        self.folder.join(format!("step-{step:08}.safetensors"))
    }

    /// Where the best model on validation rows is.
    pub fn best(&self) -> PathBuf {
        self.folder.join("best.safetensors")
    }

    /// Saves, then removes the oldest beyond the number to keep.
    ///
    /// # Errors
    /// [`ContainerError`]; no checkpoint is removed then.
    pub fn keep(&self, checkpoint: &Checkpoint) -> Result<PathBuf, ContainerError> {
        let path = self.path(checkpoint.state.step);
        checkpoint.save(&path)?;
        let steps = self.steps()?;
        for old in steps.iter().rev().skip(self.keep) {
            // A leftover is no reason to stop a run.
            let _ = std::fs::remove_file(self.path(*old));
        }
        Ok(path)
    }

    /// The newest sound checkpoint, and the damaged ones that were passed over. None if there is
    /// no checkpoint at all.
    ///
    /// # Errors
    /// The damage of the newest, if none is sound.
    pub fn newest(&self) -> Result<Option<(Checkpoint, Vec<ContainerError>)>, ContainerError> {
        let mut damaged = Vec::new();
        for step in self.steps()?.into_iter().rev() {
            match Checkpoint::load(&self.path(step)) {
                Ok(checkpoint) => return Ok(Some((checkpoint, damaged))),
                Err(error) => damaged.push(error),
            }
        }
        damaged.into_iter().next().map_or(Ok(None), Err)
    }

    /// Steps that have a checkpoint, ascending.
    fn steps(&self) -> Result<Vec<u64>, FileError> {
        let entries =
            std::fs::read_dir(&self.folder).map_err(FileError::at("read folder", &self.folder))?;
        let mut steps: Vec<u64> = entries
            .filter_map(|entry| {
                let name = entry.ok()?.file_name().into_string().ok()?;
                name.strip_prefix("step-")?.strip_suffix(".safetensors")?.parse().ok()
            })
            .collect();
        steps.sort_unstable();
        Ok(steps)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use snel_core::density::{Affine, Density, Scale};
    use snel_core::energy::Energy;
    use snel_core::problem::{Base, Model};

    fn checkpoint(step: u64) -> Checkpoint {
        let at = Affine { mean: vec![0.1], scale: Scale::Diagonal(vec![1.0 / 3.0]) };
        let mut state = State::new(vec![1.0 / 3.0, -0.0, f32::MIN_POSITIVE]);
        state.step = step;
        (state.step_size, state.chains) = (0.1, vec![0.25, -1.0 / 3.0]);
        Checkpoint {
            state,
            progress: Progress { best: Some(-1.0 / 3.0), ..Progress::default() },
            model: Model {
                energy: Energy::Quadratic { dim: 1 },
                base: Base::Proposal,
                proposal: Density::Gaussian { at },
            }
            .into(),
            fingerprint: "test".to_owned(),
        }
    }

    #[test]
    fn round_trip_is_exact() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c.safetensors");
        checkpoint(7).save(&path).unwrap();
        assert_eq!(Checkpoint::load(&path).unwrap(), checkpoint(7));
    }

    #[test]
    fn keeps_the_newest_and_passes_over_damage() {
        let folder = tempfile::tempdir().unwrap();
        let all = Checkpoints::new(folder.path().to_path_buf(), 2);
        assert!(all.newest().unwrap().is_none());
        for step in [5, 10, 100_000_000, 200_000_000] {
            all.keep(&checkpoint(step)).unwrap();
        }
        assert_eq!(all.steps().unwrap(), [100_000_000, 200_000_000]);
        let newest = all.path(200_000_000);
        let bytes = std::fs::read(&newest).unwrap();
        std::fs::write(&newest, &bytes[..bytes.len() / 2]).unwrap();
        let (found, damaged) = all.newest().unwrap().unwrap();
        assert_eq!((found.state.step, damaged.len()), (100_000_000, 1));
        std::fs::write(all.path(100_000_000), b"").unwrap();
        assert!(matches!(all.newest(), Err(ContainerError::Damaged { .. })));
    }
}
