//! The time of one training step, beside what the machine could do at best.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;
use snel_core::activation::Activation;
use snel_core::collective::{Alone, CollectiveError};
use snel_core::density::{Affine, Density, Draws, Scale};
use snel_core::energy::Energy;
use snel_core::engine::{DensityEngine, SampleSet};
use snel_core::objective::Objective;
use snel_core::optim::Optim;
use snel_core::philox::{Key, Stream};
use snel_core::plan::Batching;
use snel_core::problem::{Base, Model, Problem};
use snel_core::rows::{Matrix, Rows};
use snel_core::step::{advance, room_for};
use snel_cpu::{CpuEngine, CpuError, InstructionSet, Peak};
use snel_cuda::driver::memory_taken;

use crate::compute::{Compute, ComputeError, Device};
use crate::evaluate::log_weights;
use crate::memory;
use crate::pace::Pace;

/// Rows of the data that minibatches are taken from.
const ROWS: u64 = 65_536;
/// Samples that give `b` its first value.
const START_SAMPLES: u64 = 4096;
/// Time between two looks at the machine's peak.
const ROUND: Duration = Duration::from_millis(200);
/// Length of such a look.
const LOOK: Duration = Duration::from_millis(10);

/// Proposals that a step is timed with, all with the spread of the data times 1.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Proposal {
    /// Full covariance.
    Gaussian,
    /// Independent coordinates.
    Diagonal,
    /// Student-t with five degrees of freedom, full covariance.
    Student,
    /// A box of four standard deviations on either side.
    Uniform,
    /// Sixteen Gaussians and a Student-t, full covariances.
    Mixture,
}

impl Proposal {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Gaussian, Self::Diagonal, Self::Student, Self::Uniform, Self::Mixture];

    fn density(self, dim: usize) -> Density {
        const SPREAD: f64 = 1.2;
        let full = |mean: f64| {
            let mut lower = vec![0.0; dim * (dim + 1) / 2];
            (0..dim).for_each(|i| lower[i * (i + 1) / 2 + i] = SPREAD);
            Affine { mean: vec![mean; dim], scale: Scale::Lower(lower) }
        };
        let student = || Density::Student { df: 5.0, at: full(0.0) };
        match self {
            Self::Gaussian => Density::Gaussian { at: full(0.0) },
            Self::Diagonal => {
                let scale = Scale::Diagonal(vec![SPREAD; dim]);
                Density::Gaussian { at: Affine { mean: vec![0.0; dim], scale } }
            }
            Self::Student => student(),
            Self::Uniform => Density::Uniform { low: vec![-4.0; dim], high: vec![4.0; dim] },
            Self::Mixture => {
                let gaussian = |k: u32| Density::Gaussian { at: full(0.1 * f64::from(k)) };
                let components = (0..16).map(gaussian).chain([student()]).collect();
                Density::Mixture { weights: vec![1.0 / 17.0; 17], components }
            }
        }
    }
}

/// How long to measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Length {
    /// This many steps.
    Steps(u64),
    /// As many steps as fit, three at least.
    Time(Duration),
}

/// A step to be timed: SNL with a perceptron on standard normal data, without a base density, so
/// that `log q` is part of the work.
#[derive(Debug, Clone)]
pub struct StepBench {
    /// Values of a point.
    pub dim: usize,
    /// Units of a hidden layer.
    pub width: usize,
    /// Hidden layers.
    pub depth: usize,
    /// Proposal samples of a step.
    pub samples: u64,
    /// Data rows of a step.
    pub batch: u64,
    /// Non-linearity.
    pub activation: Activation,
    /// Proposal density.
    pub proposal: Proposal,
    /// Device and threads.
    pub compute: Compute,
    /// Instruction set of a CPU.
    pub instruction_set: InstructionSet,
    /// How long to measure.
    pub length: Length,
}

/// What was measured.
#[derive(Debug, Clone, Serialize)]
pub struct StepReport {
    /// Values of a point.
    pub dim: usize,
    /// Units of a hidden layer.
    pub width: usize,
    /// Hidden layers.
    pub depth: usize,
    /// Proposal samples of a step.
    pub samples: u64,
    /// Data rows of a step.
    pub batch: u64,
    /// Non-linearity.
    pub activation: Activation,
    /// Proposal density.
    pub proposal: Proposal,
    /// Threads.
    pub threads: usize,
    /// Device.
    pub device: String,
    /// Instruction set, or what the arithmetic of a GPU depends on.
    pub instruction_set: String,
    /// Parameters, `b` included.
    pub parameters: u64,
    /// Steps measured.
    pub steps: u64,
    /// Steps whose update was refused; they cost no less.
    pub refused: u64,
    /// Median time of a step. An engine that makes several at a time is timed by the batch: each of
    /// its steps counts as long as their mean.
    pub median_ms: f64,
    /// Shortest.
    pub min_ms: f64,
    /// Longest.
    pub max_ms: f64,
    /// First and third quartile.
    pub quartiles_ms: [f64; 2],
    /// `6 parameters (M + n) / median`, in `10^9` operations a second.
    pub gflops: f64,
    /// Multiply-adds on the CPU's registers, median of looks between the steps; none on a GPU.
    pub peak_gflops: Option<f64>,
    /// `gflops / peak_gflops`.
    pub fraction_of_peak: Option<f64>,
    /// Largest resident memory of this process so far, where the system tells.
    pub peak_memory_mib: Option<f64>,
    /// Bytes of the GPU's memory that are taken while the engine lives: by it, by the driver, and by
    /// whatever else runs there. None on a CPU.
    pub device_bytes: Option<u64>,
}

/// Why nothing was measured.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// No threads.
    #[error(transparent)]
    Threads(#[from] CpuError),
    /// No engine.
    #[error(transparent)]
    Compute(#[from] ComputeError),
    /// A step failed for another reason than its weights.
    #[error("the step failed")]
    Step(#[from] CollectiveError),
}

impl StepBench {
    /// Measures.
    ///
    /// # Errors
    /// [`BenchError`].
    pub fn run(&self) -> Result<StepReport, BenchError> {
        let problem = Arc::new(self.problem());
        let rows = Arc::new(standard_normal(self.dim));
        let (mut engine, device) = self.engine(problem.clone(), rows)?;
        let start = SampleSet { stream: Stream::StartB, step: 0 };
        let (weights, _) = log_weights(&*engine, self.dim, start, START_SAMPLES);
        engine.set_b(weights.log_mean() as f32);

        let batching = Batching {
            batch: self.batch,
            samples: self.samples,
            per_row: false,
            chunk: Batching::default_chunk(self.batch, self.samples),
            total_rows: ROWS,
            seed: problem.seed,
        };
        let mut partial = room_for(&problem);
        let mut refused = 0;
        let (mut pace, mut outcomes) = (Pace::default(), Vec::new());
        // Makes at most `most` steps as a trainer does; how many, and milliseconds of each.
        let mut make = |most: u64| {
            let (started, asked) = (Instant::now(), pace.steps().min(most));
            advance(&mut *engine, &mut Alone, &batching, asked, &mut partial, &mut outcomes)?;
            let time = started.elapsed();
            pace.took(time);
            refused += outcomes.iter().filter(|outcome| outcome.result.is_err()).count() as u64;
            Ok::<_, CollectiveError>((
                outcomes.len(),
                time.as_secs_f64() * 1e3 / outcomes.len() as f64,
            ))
        };
        let on_cpu = device == Device::Cpu;
        let peak = on_cpu.then(|| Peak::new(self.compute.threads, self.instruction_set));
        let mut peak = peak.transpose()?;
        let mut look = || peak.as_mut().map(|peak| peak.measure(LOOK));
        make(1)?; // the first one touches all memory
        let (mut times, mut peaks) = (Vec::new(), Vec::from_iter(look()));
        let (started, mut round) = (Instant::now(), Instant::now());
        // Steps still to be made, at most.
        let left = |done: usize| match self.length {
            Length::Steps(steps) => steps.saturating_sub(done as u64),
            Length::Time(time) if done < 3 || started.elapsed() < time => u64::MAX,
            Length::Time(_) => 0,
        };
        while left(times.len()) > 0 {
            let (made, time) = make(left(times.len()))?;
            times.extend(std::iter::repeat_n(time, made));
            if round.elapsed() > ROUND {
                peaks.extend(look());
                round = Instant::now();
            }
        }
        let mut report = self.report(&problem, times, peaks, refused);
        report.device = device.to_string();
        if let Device::Cuda(index) = device {
            report.instruction_set = engine.fingerprint().arithmetic;
            report.device_bytes = memory_taken(index).ok();
        }
        Ok(report)
    }

    /// The engine, and the device it is on.
    fn engine(
        &self,
        problem: Arc<Problem>,
        rows: Arc<dyn Rows>,
    ) -> Result<(Box<dyn DensityEngine>, Device), BenchError> {
        if let Some((index, engine)) = self.compute.on_gpu(&problem, &rows)? {
            return Ok((engine, Device::Cuda(index)));
        }
        let (threads, set) = (self.compute.threads, self.instruction_set);
        let engine = CpuEngine::with_instruction_set(problem, rows, threads, set)?;
        Ok((Box::new(engine), Device::Cpu))
    }

    fn problem(&self) -> Problem {
        let energy = Energy::Mlp {
            dim: self.dim,
            widths: vec![self.width; self.depth],
            activation: self.activation,
            residual: false,
        };
        let model = Model { energy, base: Base::None, proposal: self.proposal.density(self.dim) };
        let optim = Optim { clip_norm: Some(10.0), ..Optim::default() };
        Problem::new(model, Objective::Snl, optim, 0)
    }

    fn report(
        &self,
        problem: &Problem,
        mut times: Vec<f64>,
        mut peaks: Vec<f64>,
        refused: u64,
    ) -> StepReport {
        times.sort_by(f64::total_cmp);
        peaks.sort_by(f64::total_cmp);
        let parameters = problem.layout.len() as u64;
        let median_ms = times[times.len() / 2];
        let operations = 6.0 * parameters as f64 * (self.samples + self.batch) as f64;
        let gflops = operations / median_ms / 1e6;
        let peak_gflops = peaks.get(peaks.len() / 2).copied();
        StepReport {
            dim: self.dim,
            width: self.width,
            depth: self.depth,
            samples: self.samples,
            batch: self.batch,
            activation: self.activation,
            proposal: self.proposal,
            threads: self.compute.threads,
            device: self.compute.device.to_string(),
            instruction_set: self.instruction_set.to_string(),
            parameters,
            steps: times.len() as u64,
            refused,
            median_ms,
            min_ms: times[0],
            max_ms: times[times.len() - 1],
            quartiles_ms: [times[times.len() / 4], times[times.len() * 3 / 4]],
            gflops,
            peak_gflops,
            fraction_of_peak: peak_gflops.map(|peak| gflops / peak),
            peak_memory_mib: memory::peak_mib(),
            device_bytes: None,
        }
    }
}

fn standard_normal(dim: usize) -> Matrix {
    let mut values = vec![0.0; ROWS as usize * dim];
    Draws::new(Key::new(0, Stream::Toy), 0, 0).normals(&mut values);
    let values = values.into_iter().map(|z| z as f32).collect();
    Matrix::new(values, dim).unwrap_or_else(|| Matrix::empty(dim))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compute::Precision;

    #[test]
    fn every_proposal_is_measured() {
        for proposal in Proposal::ALL {
            let bench = StepBench {
                dim: 3,
                width: 8,
                depth: 2,
                samples: 300,
                batch: 50,
                activation: Activation::Tanh,
                proposal,
                compute: Compute {
                    device: Device::Cpu,
                    precision: Precision::Bf16x3,
                    threads: 2,
                    say: |_| {},
                },
                instruction_set: InstructionSet::best(),
                length: Length::Steps(4),
            };
            let report = bench.run().unwrap();
            assert_eq!((report.steps, report.refused), (4, 0), "{proposal:?}");
            assert!(report.min_ms <= report.median_ms && report.median_ms <= report.max_ms);
            assert!(report.gflops > 0.0 && report.peak_gflops.unwrap() > 0.0);
            assert_eq!(report.device_bytes, None);
        }
    }
}
