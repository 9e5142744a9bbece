//! Where a run computes: the one place that makes engines.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use snel_core::conditional::{ConditionalEngine, ConditionalModel};
use snel_core::engine::DensityEngine;
use snel_core::problem::{AnyModel, Problem};
use snel_core::rows::Rows;
use snel_core::vae::{VaeEngine, VaeModel};
use snel_cpu::{ConditionalCpuEngine, CpuEngine, CpuError, VaeCpuEngine};
pub use snel_cuda::Precision;
use snel_cuda::open::{EngineOpenError, open};

/// A device as users name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Device {
    /// `cpu`.
    #[default]
    Cpu,
    /// `cuda:N`, a GPU by its number; `cuda` is the first.
    Cuda(u32),
    /// `auto`: the first GPU if it can be used, or else the CPU.
    Auto,
}

/// What names no device.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("use cpu, cuda:N (a GPU by its number, as `snel doctor` lists them) or auto")]
pub struct UnknownDevice;

impl FromStr for Device {
    type Err = UnknownDevice;

    fn from_str(name: &str) -> Result<Self, UnknownDevice> {
        match name {
            "cpu" => Ok(Self::Cpu),
            "auto" => Ok(Self::Auto),
            "cuda" => Ok(Self::Cuda(0)),
            _ => {
                let index = name.strip_prefix("cuda:").and_then(|index| index.parse().ok());
                index.map(Self::Cuda).ok_or(UnknownDevice)
            }
        }
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(index) => write!(f, "cuda:{index}"),
            Self::Auto => f.write_str("auto"),
        }
    }
}

/// What to compute with.
#[derive(Debug, Clone, Copy)]
pub struct Compute {
    /// The device.
    pub device: Device,
    /// Products on a GPU. The CPU engine computes in f32.
    pub precision: Precision,
    /// Threads of a CPU engine.
    pub threads: usize,
    /// Where remarks about the choice go, for people.
    pub say: fn(&str),
}

/// Why there is no engine.
#[derive(Debug, thiserror::Error)]
pub enum ComputeError {
    /// The CPU engine.
    #[error(transparent)]
    Cpu(#[from] CpuError),
    /// The engine on a GPU.
    #[error(transparent)]
    Cuda(#[from] EngineOpenError),
    /// A kind of model that GPUs have no kernels for.
    #[error("a {kind} model computes on the CPU only, not on {device}")]
    CpuOnly {
        /// The kind of model.
        kind: &'static str,
        /// What was named.
        device: Device,
    },
    /// An objective that GPUs have no kernels for.
    #[error("objective.kind = \"mcmc\" computes on the CPU only, not on {0}")]
    Chains(Device),
}

/// An engine for a model of any kind.
pub enum AnyEngine {
    /// For `p(x)`.
    Density(Box<dyn DensityEngine>),
    /// For `p(y|x)`.
    Conditional(Box<dyn ConditionalEngine>),
    /// For `p(x) = ∫ p(x|z) p(z) dz`.
    Vae(Box<dyn VaeEngine>),
}

/// An engine, and before it the number of the GPU that it is on.
type OnGpu = (u32, Box<dyn DensityEngine>);

impl Compute {
    /// An engine for `problem` on the training rows `rows`.
    ///
    /// # Errors
    /// [`ComputeError`]; for [`Device::Auto`] only that of the CPU engine.
    pub fn engine(
        &self,
        problem: Arc<Problem>,
        rows: Arc<dyn Rows>,
    ) -> Result<Box<dyn DensityEngine>, ComputeError> {
        Ok(match self.on_gpu(&problem, &rows)? {
            Some((_, engine)) => engine,
            None => Box::new(CpuEngine::new(problem, rows, self.threads)?),
        })
    }

    /// An engine for a conditional problem on the training rows `rows`.
    ///
    /// # Errors
    /// [`ComputeError::CpuOnly`] if a GPU was named.
    pub fn conditional(
        &self,
        problem: Arc<Problem<ConditionalModel>>,
        rows: Arc<dyn Rows>,
    ) -> Result<Box<dyn ConditionalEngine>, ComputeError> {
        self.without_gpu("conditional")?;
        Ok(Box::new(ConditionalCpuEngine::new(problem, rows, self.threads)?))
    }

    /// An engine for a variational auto-encoder on the training rows `rows`.
    ///
    /// # Errors
    /// [`ComputeError::CpuOnly`] if a GPU was named.
    pub fn vae(
        &self,
        problem: Arc<Problem<VaeModel>>,
        rows: Arc<dyn Rows>,
    ) -> Result<Box<dyn VaeEngine>, ComputeError> {
        self.without_gpu("vae")?;
        Ok(Box::new(VaeCpuEngine::new(problem, rows, self.threads)?))
    }

    /// Refuses a GPU by name, for there are no kernels for models of this kind.
    fn without_gpu(&self, kind: &'static str) -> Result<(), ComputeError> {
        match self.device {
            Device::Cuda(_) => Err(ComputeError::CpuOnly { kind, device: self.device }),
            Device::Cpu | Device::Auto => Ok(()),
        }
    }

    /// An engine for a problem of any kind.
    ///
    /// # Errors
    /// [`ComputeError`].
    pub fn any(
        &self,
        problem: &Problem<AnyModel>,
        rows: Arc<dyn Rows>,
    ) -> Result<AnyEngine, ComputeError> {
        Ok(match &problem.model {
            AnyModel::Density(model) => {
                AnyEngine::Density(self.engine(Arc::new(problem.with_model(model.clone())), rows)?)
            }
            AnyModel::Conditional(model) => {
                let problem = Arc::new(problem.with_model(model.clone()));
                AnyEngine::Conditional(self.conditional(problem, rows)?)
            }
            AnyModel::Vae(model) => {
                let problem = Arc::new(problem.with_model(model.clone()));
                AnyEngine::Vae(self.vae(problem, rows)?)
            }
        })
    }

    /// The engine on a GPU, with the GPU's number; none if it is the CPU that computes.
    ///
    /// # Errors
    /// [`ComputeError::Cuda`] and [`ComputeError::Chains`]; none for [`Device::Auto`].
    pub(crate) fn on_gpu(
        &self,
        problem: &Arc<Problem>,
        rows: &Arc<dyn Rows>,
    ) -> Result<Option<OnGpu>, ComputeError> {
        if problem.objective.mcmc().is_some() {
            return match self.device {
                Device::Cuda(_) => Err(ComputeError::Chains(self.device)),
                Device::Cpu | Device::Auto => Ok(None),
            };
        }
        let open = |index| {
            let engine = open(index, problem.clone(), rows.clone(), self.precision, self.say)?;
            Ok::<_, EngineOpenError>(Some((index, engine)))
        };
        match self.device {
            Device::Cpu => Ok(None),
            Device::Cuda(index) => Ok(open(index)?),
            Device::Auto => Ok(open(0).unwrap_or_else(|error| {
                (self.say)(&format!("computing on the CPU: {error}"));
                None
            })),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use snel_core::activation::Activation;
    use snel_core::density::{Affine, Density, Scale};
    use snel_core::energy::Energy;
    use snel_core::objective::Objective;
    use snel_core::optim::Optim;
    use snel_core::problem::{Base, Model};
    use snel_core::rows::Matrix;

    use super::*;

    static SAID: Mutex<Vec<String>> = Mutex::new(Vec::new());

    fn engine(device: Device) -> Result<Box<dyn DensityEngine>, ComputeError> {
        let widths = vec![4];
        let activation = Activation::Tanh;
        let energy = Energy::Mlp { dim: 2, widths, activation, residual: false };
        let at = Affine { mean: vec![0.0; 2], scale: Scale::Diagonal(vec![1.0; 2]) };
        let model = Model { energy, base: Base::None, proposal: Density::Gaussian { at } };
        let problem = Problem::new(model, Objective::Snl, Optim::default(), 0);
        let say = |text: &str| SAID.lock().unwrap().push(text.to_owned());
        let rows = Arc::new(Matrix::empty(2));
        Compute { device, precision: Precision::Bf16, threads: 1, say }
            .engine(Arc::new(problem), rows)
    }

    #[test]
    fn devices_have_names() {
        for device in [Device::Cpu, Device::Auto, Device::Cuda(0), Device::Cuda(17)] {
            assert_eq!(device.to_string().parse(), Ok(device));
        }
        assert_eq!("cuda".parse(), Ok(Device::Cuda(0)));
        for name in ["", "CPU", "gpu", "cuda:", "cuda:-1", "cuda:x", "cuda:99999999999"] {
            assert_eq!(name.parse::<Device>(), Err(UnknownDevice), "{name}");
        }
    }

    #[test]
    fn the_cpu_computes_when_asked_to() {
        assert_eq!(engine(Device::Cpu).unwrap().fingerprint().engine, "cpu");
    }

    /// Number 4095 is on no machine.
    #[test]
    fn a_gpu_that_is_not_there_is_an_error_for_who_named_it() {
        let error = engine(Device::Cuda(4095)).err().unwrap();
        assert!(matches!(error, ComputeError::Cuda(_)), "{error}");
    }

    #[test]
    fn without_a_gpu_auto_computes_on_the_cpu_and_says_why() {
        let auto = engine(Device::Auto).unwrap().fingerprint().engine;
        if auto == "cpu" {
            let said = SAID.lock().unwrap();
            assert!(said.iter().any(|text| text.starts_with("computing on the CPU: ")), "{said:?}");
        } else {
            assert_eq!(auto, "cuda");
        }
    }
}
