//! `model.safetensors`: all that is needed to score, sample and evaluate.
//!
//! One tensor a segment, so that other tools can load the weights by name; everything else is in
//! the header. The file holds no time, path or host: equal models are equal bytes.

use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use snel_core::objective::Objective;
use snel_core::problem::{AnyModel, Parametric};
use snel_data::Standardise;

use crate::container::{self, ContainerError, Tensor};

const FORMAT: &str = "snel model 1";

/// A trained model with its data's units.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelHeader {
    /// `snel model 1`.
    pub format: String,
    /// Energy, base and proposal.
    pub model: AnyModel,
    /// What was minimised.
    pub objective: Objective,
    /// Names of the columns, in order.
    pub columns: Vec<String>,
    /// From original to the model's units.
    pub standardise: Standardise,
    /// Seed of the run.
    pub seed: u32,
    /// Steps done when these parameters were current.
    pub step: u64,
    /// Fingerprint of the engine that trained it.
    pub fingerprint: String,
}

/// A model file in memory.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelFile {
    /// Everything but the parameters.
    pub header: ModelHeader,
    /// The flat parameter vector, `b` last.
    pub parameters: Arc<[f32]>,
}

impl ModelHeader {
    /// The current format's name.
    pub fn format() -> String {
        FORMAT.to_owned()
    }
}

impl ModelFile {
    /// Writes to `path`, atomically.
    ///
    /// # Errors
    /// [`ContainerError`].
    pub fn save(&self, path: &Path) -> Result<(), ContainerError> {
        self.with_parts(|header, tensors| container::write(path, header, tensors))
    }

    /// The bytes of the file that [`Self::save`] writes.
    ///
    /// # Errors
    /// [`ContainerError`] if its parts do not fit together.
    pub fn to_bytes(&self) -> Result<Vec<u8>, ContainerError> {
        let path = Path::new("the model");
        self.with_parts(|header, tensors| container::to_bytes(path, header, tensors))
    }

    fn with_parts<R>(&self, then: impl FnOnce(&ModelHeader, &[Tensor<'_>]) -> R) -> R {
        let layout = self.header.model.layout();
        let tensors: Vec<Tensor> = layout
            .segments()
            .iter()
            .map(|s| Tensor {
                name: &s.name,
                shape: s.shape.clone(),
                values: &self.parameters[s.range()],
            })
            .collect();
        then(&self.header, &tensors)
    }

    /// Reads from `path` and checks that sizes and densities are sound.
    ///
    /// # Errors
    /// [`ContainerError`].
    pub fn load(path: &Path) -> Result<Self, ContainerError> {
        Self::from_bytes(path, &container::read_bytes(path)?)
    }

    /// As [`ModelFile::load`], of bytes that were in the file `path`.
    ///
    /// # Errors
    /// [`ContainerError::Damaged`].
    pub fn from_bytes(path: &Path, bytes: &[u8]) -> Result<Self, ContainerError> {
        let (header, tensors) = container::from_bytes::<ModelHeader>(path, bytes)?;
        assemble(header, &tensors)
            .map_err(|why| ContainerError::Damaged { path: path.to_path_buf(), why })
    }

    /// The learned log-normaliser.
    pub fn b(&self) -> f32 {
        self.parameters.last().copied().unwrap_or(0.0)
    }
}

fn assemble(header: ModelHeader, tensors: &container::Tensors) -> Result<ModelFile, String> {
    if header.format != FORMAT {
        return Err(format!("its format is `{}`, not `{FORMAT}`", header.format));
    }
    header.model.check().map_err(|e| format!("its model is unsound: {e}"))?;
    let dim = header.model.dim();
    if header.columns.len() != dim || header.standardise.dim() != dim {
        return Err(format!("its columns are not the model's {dim}"));
    }
    // Sizes are checked against the tensors before the vector is made.
    let mut parameters = Vec::new();
    for segment in header.model.layout().segments() {
        let values = tensors.get(&segment.name);
        let values = values.ok_or_else(|| format!("tensor `{}` is missing", segment.name))?;
        if values.len() != segment.len() {
            let (found, expected) = (values.len(), segment.len());
            return Err(format!("tensor `{}` has {found} values, not {expected}", segment.name));
        }
        parameters.extend_from_slice(values);
    }
    if parameters.iter().any(|p| !p.is_finite()) {
        return Err("a parameter is not finite".to_owned());
    }
    Ok(ModelFile { header, parameters: parameters.into() })
}
