//! From a config and its data to a variational auto-encoder, and to where it starts.

use std::path::{Path, PathBuf};

use snel_core::energy::Energy;
use snel_core::problem::{AnyModel, Parametric};
use snel_core::rows::Rows;
use snel_core::vae::{LatentBase, Likelihood, VaeModel};
use snel_data::{DataError, Dataset};

use crate::config::{self, Config};
use crate::container::ContainerError;
use crate::evaluate::for_each_rows;
use crate::file::FileError;
use crate::model_file::ModelFile;
use crate::setup;

/// Why a variational auto-encoder cannot be made, or not begin where it should.
#[derive(Debug, thiserror::Error)]
pub enum VaeSetupError {
    /// Values that a Bernoulli likelihood does not take.
    #[error(transparent)]
    Data(#[from] DataError),
    /// Rows cannot be read back.
    #[error(transparent)]
    File(#[from] FileError),
    /// What to start from cannot be read.
    #[error("cannot start from another run's model")]
    Start(#[from] ContainerError),
    /// What to start from is another model.
    #[error("cannot start from {}: its {what} differ", path.display())]
    Other {
        /// The file.
        path: PathBuf,
        /// In what.
        what: &'static str,
    },
}

impl VaeSetupError {
    /// What the user may try.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Data(error) => error.hint(),
            Self::File(_) => None,
            Self::Start(_) => {
                Some("`model.start` is the folder of a finished run, or a model file".to_owned())
            }
            Self::Other { .. } => Some(
                "use the `latent`, `encoder`, `decoder`, `activation`, `likelihood`, `deviation` and \
                 `components` of that run, and data of as many columns"
                    .to_owned(),
            ),
        }
    }
}

/// Rows or samples of a chunk unless configured: two chunks of rows, but whole tiles at best. Each
/// chunk of rows is rounded and added for all parameters, which costs as much as the gradient of some.
pub(crate) fn default_chunk(batch: u64, _samples: u64) -> u64 {
    (batch / 2).next_power_of_two().clamp(64, 1024)
}

/// The model that `[model]` describes, for the columns of `dataset`.
pub(crate) fn model(config: &Config, dataset: &Dataset) -> Result<VaeModel, VaeSetupError> {
    let latents = config.model.latents();
    let likelihood = match latents.likelihood {
        config::Likelihood::Bernoulli => {
            check_grey(dataset)?;
            Likelihood::Bernoulli
        }
        config::Likelihood::Gaussian => Likelihood::Gaussian { deviation: config.model.deviation },
    };
    Ok(VaeModel {
        inputs: dataset.columns.len(),
        encoder: latents.encoder,
        decoder: latents.decoder,
        activation: setup::activation(&config.model),
        likelihood,
        base: match config.model.components {
            Some(components) => LatentBase::Mixture { components },
            None => LatentBase::Normal,
        },
        energy: match latents.prior {
            config::Prior::Energy => setup::energy(&config.model, latents.latent),
            config::Prior::Base => Energy::Zero { dim: latents.latent },
        },
        posterior_samples: config.train.posterior_samples.unwrap_or(1),
        frozen: latents.freeze,
    })
}

/// Refuses values that are not from 0 to 1.
fn check_grey(dataset: &Dataset) -> Result<(), VaeSetupError> {
    let parts: [&dyn Rows; 3] = [&*dataset.train, &dataset.valid, &dataset.test];
    for rows in parts {
        let mut bad = None;
        for_each_rows(rows, u64::MAX, |_, values| {
            let found = values.iter().position(|v| !(0.0..=1.0).contains(v));
            bad = bad.or(found.map(|at| (at % rows.dim(), values[at])));
        })?;
        if let Some((column, value)) = bad {
            let column = dataset.columns[column].clone();
            return Err(DataError::NotGrey { column, value: f64::from(value) }.into());
        }
    }
    Ok(())
}

/// First parameters of `model`: encoder, decoder and base of the model at `path`, the energy as ever.
pub(crate) fn start(model: &VaeModel, path: &Path, seed: u32) -> Result<Vec<f32>, VaeSetupError> {
    let path = if path.is_dir() { path.join("model.safetensors") } else { path.to_path_buf() };
    let file = ModelFile::load(&path)?;
    let differ = |what| VaeSetupError::Other { path: path.clone(), what };
    let AnyModel::Vae(other) = &file.header.model else { return Err(differ("kind of model")) };
    if (other.inputs, other.latent()) != (model.inputs, model.latent()) {
        return Err(differ("numbers of columns and of values of z"));
    }
    let same = VaeModel {
        energy: model.energy.clone(),
        posterior_samples: model.posterior_samples,
        frozen: model.frozen,
        ..other.clone()
    };
    if same != *model {
        return Err(differ("encoder, decoder or base density"));
    }
    let mut parameters = model.initial_parameters(seed);
    // What is not energy or `b` lies between them, in both vectors alike.
    let parts = |model: &VaeModel| {
        let layout = model.layout();
        let first = layout.segments().iter().find(|s| s.name.starts_with("encoder"));
        first.map_or(layout.b(), |segment| segment.offset)..layout.b()
    };
    parameters[parts(model)].copy_from_slice(&file.parameters[parts(other)]);
    Ok(parameters)
}
