//! What the trainer asks of a kind of model besides its steps: where `b` starts, and validation.

use snel_core::engine::{DensityEngine, Engine, SampleSet};
use snel_core::philox::Stream;
use snel_core::problem::{AnyModel, Base, Problem};
use snel_core::rows::Rows;

use crate::compute::AnyEngine;
use crate::conditional;
use crate::evaluate::{evaluate, log_weights};
use crate::file::FileError;
use crate::metrics::Validation;
use crate::vae;
use crate::watch::{self, Watched};

/// An engine as the trainer sees it.
pub trait Trainee {
    /// The engine that makes the steps.
    fn engine(&self) -> &dyn Engine;

    /// The same, to make them.
    fn engine_mut(&mut self) -> &mut dyn Engine;

    /// `log Ẑ` from `samples` samples that step `step` has for this: the first value of `b`, or the
    /// value of a `b` that is not trained. Independent of the samples of validations.
    ///
    /// # Errors
    /// A read error of the rows.
    fn fit_b(
        &self,
        problem: &Problem<AnyModel>,
        valid: &dyn Rows,
        step: u64,
        samples: u64,
    ) -> Result<f64, FileError>;

    /// Evaluates on `valid` with `samples` proposal samples, of each row if rows have their own. The
    /// same samples every time: differences are the model's, not the draw's.
    ///
    /// # Errors
    /// A read error of the rows.
    fn validate(
        &self,
        problem: &Problem<AnyModel>,
        valid: &dyn Rows,
        samples: u64,
    ) -> Result<Validation, FileError>;

    /// How far energies are off, if products are coarse.
    fn watched(&self, problem: &Problem<AnyModel>) -> Option<Watched>;
}

/// Samples from which `b` gets its value at step `step`.
fn of_b(step: u64) -> SampleSet {
    SampleSet { stream: Stream::StartB, step: step as u32 }
}

const VALIDATION: SampleSet = SampleSet { stream: Stream::Validation, step: 0 };

/// [`Trainee::fit_b`] of a density model.
pub fn fit_b(engine: &dyn DensityEngine, dim: usize, step: u64, samples: u64) -> f64 {
    log_weights(engine, dim, of_b(step), samples).0.log_mean()
}

/// [`Trainee::validate`] of a density model.
///
/// # Errors
/// A read error of the rows.
pub fn validate(
    engine: &dyn DensityEngine,
    has_base: bool,
    valid: &dyn Rows,
    samples: u64,
) -> Result<Validation, FileError> {
    Ok((&evaluate(engine, valid, VALIDATION, samples, has_base)?).into())
}

impl Trainee for AnyEngine {
    fn engine(&self) -> &dyn Engine {
        match self {
            Self::Density(engine) => &**engine,
            Self::Conditional(engine) => &**engine,
            Self::Vae(engine) => &**engine,
        }
    }

    fn engine_mut(&mut self) -> &mut dyn Engine {
        match self {
            Self::Density(engine) => &mut **engine,
            Self::Conditional(engine) => &mut **engine,
            Self::Vae(engine) => &mut **engine,
        }
    }

    fn fit_b(
        &self,
        problem: &Problem<AnyModel>,
        valid: &dyn Rows,
        step: u64,
        samples: u64,
    ) -> Result<f64, FileError> {
        match self {
            Self::Density(engine) => Ok(fit_b(&**engine, problem.model.dim(), step, samples)),
            Self::Conditional(engine) => {
                conditional::first_b(&**engine, valid, of_b(step), samples)
            }
            Self::Vae(engine) => Ok(fit_b(&**engine, engine.model().latent(), step, samples)),
        }
    }

    fn validate(
        &self,
        problem: &Problem<AnyModel>,
        valid: &dyn Rows,
        samples: u64,
    ) -> Result<Validation, FileError> {
        match self {
            Self::Density(engine) => {
                validate(&**engine, *problem.model.base() != Base::None, valid, samples)
            }
            Self::Conditional(engine) => {
                conditional::validate(&**engine, valid, VALIDATION, samples)
            }
            Self::Vae(engine) => vae::validate(&**engine, valid, VALIDATION, samples),
        }
    }
    fn watched(&self, problem: &Problem<AnyModel>) -> Option<Watched> {
        match (self, &problem.model) {
            (Self::Density(engine), AnyModel::Density(model)) => {
                watch::look(&**engine, &model.energy)
            }
            // No engine of other models has coarse products.
            _ => None,
        }
    }
}
