//! One cell of a study: SNL, IS-MLE and NCE at the same work, many times over.
//!
//! A repetition is a step that is not applied: all rows, `M` fresh samples, the gradient of the
//! loss at parameters where everything is known. The three objectives see the same samples, so what
//! differs between them is theirs.
//!
//! A bias of order `1/M` drowns in noise of order `1/sqrt(M)`. With `e = Ẑ/Z - 1`, whose mean is
//! exactly zero, `log Ẑ - e` has the same mean as `log Ẑ` and scatters by `1/M`; so does the
//! difference of an objective's gradient from SNL's, less `e E_p[dE]` for IS-MLE. These control
//! variates are used as long as `Ẑ` is good enough for its errors to be believed ([`TRUSTED`]);
//! beyond, estimates are plain means. That SNL's gradient, on which this rests, has no bias is
//! measured by itself, without them.

use std::sync::Arc;
use std::time::Instant;

use serde::{Deserialize, Serialize};
use snel_core::engine::Engine;
use snel_core::objective::Objective;
use snel_core::optim::Optim;
use snel_core::plan::Batching;
use snel_core::problem::Problem;
use snel_core::rows::{Matrix, Rows};
use snel_core::step::{StepFault, reduce_step, room_for};

use super::StudyError;
use super::target::{Proposal, Target, monomials};
use super::watch::{Sliced, Watcher};
use crate::compute::ComputeError;
use crate::estimate::{dot, mean, total_variance, variance};
use crate::evaluate::Estimate;
use crate::memory;
use crate::plot::grouped;

/// Variance of `Ẑ / Z` up to which its mean over repetitions is close to normal.
pub const TRUSTED: f64 = 0.05;

/// What rounding leaves of a gradient, relative to `E_p[dE]`: engines add in `f32`. Biases below it
/// cannot be seen, however many the repetitions.
const ROUNDING: f64 = f32::EPSILON as f64;

/// Makes the engine that is studied.
pub type Engines<'a> =
    dyn Fn(Arc<Problem>, Arc<dyn Rows>) -> Result<Box<dyn Engine>, ComputeError> + 'a;

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Quantity {
    /// Effective share of the samples.
    EssFraction,
    /// `E_q[w^2]` with `E_q[w] = 1`: one and the chi-square divergence.
    SecondMoment,
    /// Variance of `Ẑ / Z`.
    ZVariance,
    /// Mean of `log Ẑ - log Z`, nats.
    LogZBias,
    /// Variance of `log Ẑ`.
    LogZVariance,
    /// Mean of the bound less the log-likelihood, nats: SNL's at `b = log Z`, IS-MLE's upper one.
    BoundBias,
    /// Its variance.
    BoundVariance,
    /// Mean of the gradient less that of the likelihood, along `E_p[dE]`.
    GradientBias,
    /// Trace of the gradient's covariance.
    GradientVariance,
}

impl Quantity {
    /// Its name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::EssFraction => "ESS fraction",
            Self::SecondMoment => "second moment of the weights",
            Self::ZVariance => "variance of Ẑ/Z",
            Self::LogZBias => "bias of log Ẑ",
            Self::LogZVariance => "variance of log Ẑ",
            Self::BoundBias => "bias of the bound",
            Self::BoundVariance => "variance of the bound",
            Self::GradientBias => "bias of the gradient",
            Self::GradientVariance => "variance of the gradient",
        }
    }
}

/// A row of `study.csv`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// The model.
    pub target: Target,
    /// What samples came from.
    pub proposal: Proposal,
    /// Values of a point, `D`.
    pub dim: usize,
    /// Proposal samples of a gradient, `M`.
    pub samples: u64,
    /// The objective whose gradient or bound it is.
    pub method: Objective,
    /// What was measured.
    pub quantity: Quantity,
    /// Gradients that it was measured on.
    pub repetitions: u64,
    /// The estimate.
    pub estimate: f64,
    /// Its standard error.
    pub standard_error: f64,
    /// What theory says, where it says something.
    pub theory: Option<f64>,
    /// Seconds of one gradient with this method.
    pub seconds: f64,
    /// Largest resident memory of the process meanwhile, MiB, where the system tells.
    pub peak_memory_mib: Option<f64>,
}

impl Row {
    /// Estimate and error.
    pub fn estimate(&self) -> Estimate {
        Estimate { value: self.estimate, se: self.standard_error }
    }
}

/// What to measure.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cell<'a> {
    pub(crate) target: Target,
    pub(crate) proposal: Proposal,
    /// Values of a point.
    pub(crate) dim: usize,
    /// Proposal samples of a gradient.
    pub(crate) samples: u64,
    /// Gradients of each method.
    pub(crate) repetitions: u64,
    /// Keys the samples; cells of one seed share samples.
    pub(crate) seed: u32,
    /// Data rows, all in every gradient.
    pub(crate) rows: &'a Arc<Matrix>,
}

/// One repetition.
struct Draw {
    /// `Ẑ / Z`.
    ratio: f64,
    ess_fraction: f64,
    /// Without `b`.
    gradient: Vec<f64>,
}

/// What a method did in a cell.
struct Measured {
    draws: Vec<Draw>,
    seconds: f64,
    peak_memory_mib: Option<f64>,
}

impl Cell<'_> {
    /// Work of a whole cell, for progress: floating-point operations, about.
    pub(crate) fn work(&self) -> u64 {
        let points = self.samples + self.rows.len();
        self.repetitions * points * self.work_of_point() * Objective::ALL.len() as u64
    }

    /// For people.
    pub(crate) fn name(&self) -> String {
        format!(
            "{} target, {} proposal, D = {}, M = {}",
            self.target.name(),
            self.proposal.name(),
            self.dim,
            grouped(self.samples as usize)
        )
    }

    fn work_of_point(&self) -> u64 {
        let dim = self.dim as u64;
        // A monomial of energy and gradient each, and what does not depend on their number.
        3 * dim * (dim + 1) + 20 * dim + 100
    }

    /// Measures; the rows have no theory yet.
    pub(crate) fn measure(
        &self,
        engines: &Engines<'_>,
        watcher: &dyn Watcher,
    ) -> Result<Vec<Row>, StudyError> {
        let mut all = Vec::new();
        for method in Objective::ALL {
            all.push(self.method(method, engines, watcher)?);
        }
        let truth = self.truth();
        let mut rows = Vec::new();
        let snl = &all[0];
        for (method, measured) in Objective::ALL.into_iter().zip(&all) {
            for (quantity, estimate) in self.quantities(method, measured, snl, &truth) {
                rows.push(Row {
                    target: self.target,
                    proposal: self.proposal,
                    dim: self.dim,
                    samples: self.samples,
                    method,
                    quantity,
                    repetitions: self.repetitions,
                    estimate: estimate.value,
                    standard_error: estimate.se,
                    theory: None,
                    seconds: measured.seconds,
                    peak_memory_mib: measured.peak_memory_mib,
                });
            }
        }
        Ok(rows)
    }

    fn method(
        &self,
        method: Objective,
        engines: &Engines<'_>,
        watcher: &dyn Watcher,
    ) -> Result<Measured, StudyError> {
        memory::forget_peak();
        let density = self.proposal.density(self.target, self.dim);
        let model = self.target.model(self.dim, density);
        let problem = Arc::new(Problem::new(model, method, Optim::default(), self.seed));
        let mut engine = engines(problem.clone(), self.rows.clone())?;
        let mut state = engine.snapshot();
        state.parameters = self.target.parameters(self.dim);
        engine.restore(&state)?;
        // `Ẑ / Z` from the mean weight, which is relative to b.
        let offset = (f64::from(state.b()) - self.target.log_z(self.dim)).exp();
        let pull = self.target.mean_gradient(self.dim);
        let n = self.rows.len();
        let batching = Batching {
            batch: n,
            samples: self.samples,
            per_row: false,
            chunk: Batching::default_chunk(n, self.samples),
            total_rows: n,
            seed: self.seed,
        };
        let mut sliced = Sliced { watcher, work: self.work_of_point() };
        let mut partial = room_for(&problem);
        let mut gradient = vec![0.0; problem.layout.len()];
        let mut draws = Vec::new();
        let started = Instant::now();
        for _ in 0..self.repetitions {
            let reduced = reduce_step(&mut *engine, &mut sliced, &batching, &mut partial);
            let reduced = reduced.map_err(|fault| self.fault(method, fault))?;
            reduced.gradient(&mut gradient);
            if method != Objective::IsMle {
                // As it would be at `b = log Z`, of which the parameter is the nearest f32.
                let shift = 1.0 / offset - 1.0;
                gradient.iter_mut().zip(&pull).for_each(|(g, pull)| *g += shift * pull);
            }
            draws.push(Draw {
                ratio: reduced.statistics.mean_weight() * offset,
                ess_fraction: reduced.statistics.ess_fraction(),
                gradient: gradient[..problem.layout.b()].to_vec(),
            });
            engine.skip();
        }
        let seconds = started.elapsed().as_secs_f64() / self.repetitions as f64;
        Ok(Measured { draws, seconds, peak_memory_mib: memory::peak_mib() })
    }

    fn fault(&self, method: Objective, fault: StepFault) -> StudyError {
        match fault {
            StepFault::Collective(error) => error.into(),
            StepFault::Refused(source) => {
                StudyError::Refused { what: format!("{method:?}, {}", self.name()), source }
            }
        }
    }

    /// Gradient of the negative log-likelihood, and the direction of `E_p[dE]` with its length.
    fn truth(&self) -> Truth {
        let mean = self.target.mean_gradient(self.dim);
        let mut gradient: Vec<f64> = mean.iter().map(|m| -m).collect();
        let n = self.rows.len() as f64;
        for x in self.rows.values().chunks(self.dim) {
            let x: Vec<f64> = x.iter().map(|&x| f64::from(x)).collect();
            gradient.iter_mut().zip(monomials(&x)).for_each(|(g, m)| *g += m / n);
        }
        let length = dot(&mean, &mean).sqrt();
        let direction: Vec<f64> = mean.iter().map(|m| m / length).collect();
        Truth { along: dot(&gradient, &direction), direction, length }
    }

    fn quantities(
        &self,
        method: Objective,
        measured: &Measured,
        snl: &Measured,
        truth: &Truth,
    ) -> Vec<(Quantity, Estimate)> {
        use Quantity::{
            BoundBias, BoundVariance, EssFraction, GradientBias, GradientVariance, LogZBias,
            LogZVariance, SecondMoment, ZVariance,
        };
        let draws = &measured.draws;
        let each = |f: &dyn Fn(&Draw) -> f64| draws.iter().map(f).collect::<Vec<f64>>();
        let m = self.samples as f64;
        // Of `Ẑ / Z`, by the weights themselves: where they collapse, repetitions agree and are wrong.
        let spread = mean(&each(&|d| (1.0 / d.ess_fraction - 1.0) / m)).value;
        let trusted = spread < TRUSTED;
        let control = |d: &Draw| if trusted { d.ratio - 1.0 } else { 0.0 };
        let mut found = Vec::new();
        match method {
            Objective::Snl => {
                found.push((EssFraction, mean(&each(&|d| d.ess_fraction))));
                let square = |d: &Draw| d.ratio * d.ratio / d.ess_fraction;
                found.push((SecondMoment, mean(&each(&square))));
                found.push((ZVariance, variance(&each(&|d| d.ratio))));
                // At b = log Z the bound is the log-likelihood but for `1 - Ẑ / Z`.
                found.push((BoundBias, mean(&each(&|d| 1.0 - d.ratio))));
                found.push((BoundVariance, variance(&each(&|d| 1.0 - d.ratio))));
            }
            Objective::IsMle => {
                let log_z = each(&|d| d.ratio.ln() - control(d));
                let log_z = mean(&log_z);
                let spread = variance(&each(&|d| d.ratio.ln()));
                found.push((LogZBias, log_z));
                found.push((LogZVariance, spread));
                found.push((BoundBias, Estimate { value: -log_z.value, se: log_z.se }));
                found.push((BoundVariance, spread));
            }
            Objective::Nce | Objective::Mcmc(_) => {}
        }
        let along = |d: &Draw| dot(&d.gradient, &truth.direction);
        let controlled = trusted && method != Objective::Snl;
        let bias = |(d, s): (&Draw, &Draw)| {
            let plain = along(d) - truth.along;
            match method {
                _ if !controlled => plain,
                Objective::IsMle => along(d) - along(s) - control(d) * truth.length,
                _ => along(d) - along(s),
            }
        };
        let bias: Vec<f64> = draws.iter().zip(&snl.draws).map(bias).collect();
        let Estimate { value, se } = mean(&bias);
        found.push((GradientBias, Estimate { value, se: se.hypot(ROUNDING * truth.length) }));
        let gradients: Vec<Vec<f64>> = draws.iter().map(|d| d.gradient.clone()).collect();
        found.push((GradientVariance, total_variance(&gradients)));
        found
    }
}

/// The likelihood's gradient where it matters.
struct Truth {
    /// Its component in `direction`.
    along: f64,
    /// Unit vector along `E_p[dE]`, the pull of the normaliser.
    direction: Vec<f64>,
    /// Length of `E_p[dE]`.
    length: f64,
}
