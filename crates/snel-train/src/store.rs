//! The seam between a trainer and the place where its run is kept.

use snel_core::collective::CollectiveError;

use crate::checkpoint::{Checkpoint, Checkpoints};
use crate::container::ContainerError;
use crate::model_file::ModelFile;

/// Why something of a run could not be kept.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A file could not be written.
    #[error(transparent)]
    Container(#[from] ContainerError),
    /// It could not be sent to where it is kept.
    #[error(transparent)]
    Collective(#[from] CollectiveError),
}

/// Where checkpoints and the best model go: a folder, or a coordinator.
///
/// What was saved is on disk when the call returns.
pub trait Store {
    /// Keeps a checkpoint.
    ///
    /// # Errors
    /// [`StoreError`]; what was kept before stays.
    fn save(&mut self, checkpoint: &Checkpoint) -> Result<(), StoreError>;

    /// Keeps the best model so far.
    ///
    /// # Errors
    /// [`StoreError`]; the one before stays.
    fn save_best(&mut self, model: &ModelFile) -> Result<(), StoreError>;

    /// True if there is a best model.
    fn has_best(&self) -> bool;

    /// Called between steps: whoever wants the state of the run may take it here.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be sent.
    fn boundary(&mut self, _checkpoint: &dyn Fn() -> Checkpoint) -> Result<(), StoreError> {
        Ok(())
    }
}

impl Store for Checkpoints {
    fn save(&mut self, checkpoint: &Checkpoint) -> Result<(), StoreError> {
        self.keep(checkpoint)?;
        Ok(())
    }

    fn save_best(&mut self, model: &ModelFile) -> Result<(), StoreError> {
        Ok(model.save(&self.best())?)
    }

    fn has_best(&self) -> bool {
        self.best().exists()
    }
}
