//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use snel_core::activation::Activation;
use snel_cpu::InstructionSet;
use snel_train::bench::Proposal;
use snel_train::config::Split;

/// Trains energy-based models by the self-normalised likelihood, and uses them.
#[derive(Debug, Parser)]
#[command(name = "snel", version, max_term_width = 100)]
#[command(
    after_help = "Exit codes: 0 done, 2 bad usage or config, 65 bad data, 70 the computation \
    failed, 75 try again, 130 interrupted after a checkpoint."
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Train a model as a config says, evaluate it and write a report
    Train(TrainArgs),
    /// Evaluate a trained model: an interval for its log-likelihood
    Eval(EvalArgs),
    /// Write the log-density of every row of a file
    Score(ScoreArgs),
    /// Draw points from a trained model
    Sample(SampleArgs),
    /// Draw the pictures and the report of a run again
    Plot(PlotArgs),
    /// Show what is in a model, a checkpoint or a data file
    Inspect(InspectArgs),
    /// Check a config and its data and tell the cost of the run, without training
    Plan(PlanArgs),
    /// Measure how fast this machine trains
    Bench {
        #[command(subcommand)]
        what: Bench,
    },
    /// Tell what this machine has for Snel to use
    Doctor(DoctorArgs),
    /// Print a completion script for a shell
    Completions(CompletionsArgs),
}

/// Where to compute.
#[derive(Debug, Args)]
pub(crate) struct Compute {
    /// Threads; results do not depend on them [default: all cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) threads: Option<u16>,
    /// Device to compute on
    #[arg(long, value_enum, default_value_t = Device::Auto)]
    pub(crate) device: Device,
}

/// Devices of this build.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Device {
    /// The best one there is: the CPU, in this build
    Auto,
    /// The CPU
    Cpu,
}

impl Compute {
    pub(crate) fn threads(&self) -> usize {
        let (Device::Auto | Device::Cpu) = self.device;
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        self.threads.map_or_else(cores, usize::from)
    }
}

#[derive(Debug, Args)]
pub(crate) struct TrainArgs {
    /// Config of the run (TOML)
    pub(crate) config: PathBuf,
    /// Run folder [default: `output.dir` of the config, or runs/NAME]
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Override a key of the config, as in `--set optim.lr=3e-4`; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) overrides: Vec<String>,
    /// Go on with the run in the run folder
    #[arg(long)]
    pub(crate) resume: bool,
    #[command(flatten)]
    pub(crate) compute: Compute,
    /// Print one JSON document on stdout instead of a summary
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct EvalArgs {
    /// Run folder
    pub(crate) run: PathBuf,
    /// Rows to evaluate on [default: `eval.split` of the run]
    #[arg(long, value_enum)]
    pub(crate) split: Option<SplitArg>,
    /// Fresh proposal samples [default: `eval.samples` of the run]
    #[arg(long, value_name = "M", value_parser = clap::value_parser!(u64).range(2..))]
    pub(crate) samples: Option<u64>,
    #[command(flatten)]
    pub(crate) compute: Compute,
    /// Print one JSON document on stdout instead of a summary
    #[arg(long)]
    pub(crate) json: bool,
}

/// A part of the data.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum SplitArg {
    Train,
    Valid,
    Test,
}

impl From<SplitArg> for Split {
    fn from(split: SplitArg) -> Self {
        match split {
            SplitArg::Train => Self::Train,
            SplitArg::Valid => Self::Valid,
            SplitArg::Test => Self::Test,
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct ScoreArgs {
    /// Run folder, or model file
    pub(crate) run: PathBuf,
    /// Rows to score: a file with the model's columns
    #[arg(long, value_name = "FILE")]
    pub(crate) data: PathBuf,
    /// Where the log-densities go: .csv, .npy or .parquet; FILE.json beside it tells about log Z
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
    /// Proposal samples for the interval of log Z
    #[arg(long, value_name = "M", default_value_t = 1_000_000,
        value_parser = clap::value_parser!(u64).range(2..))]
    pub(crate) samples: u64,
    #[command(flatten)]
    pub(crate) compute: Compute,
    /// Print one JSON document on stdout instead of a summary
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct SampleArgs {
    /// Run folder, or model file
    pub(crate) run: PathBuf,
    /// Points to draw
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) n: u64,
    /// Where they go, in original units: .csv, .npy or .parquet
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
    /// Seed of the draw
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u32,
    /// Proposal samples to choose from [default: 100 for each point, at least 100 000]
    #[arg(long, value_name = "M", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) pool: Option<u64>,
    /// Steps of Metropolis-adjusted Langevin dynamics on the chosen points
    #[arg(long, value_name = "STEPS", default_value_t = 0)]
    pub(crate) langevin: u32,
    /// Step size of the Langevin dynamics [default: adapted in the first half of the steps]
    #[arg(long, value_name = "EPSILON", requires = "langevin", allow_negative_numbers = true)]
    pub(crate) step_size: Option<f64>,
    #[command(flatten)]
    pub(crate) compute: Compute,
    /// Print one JSON document on stdout instead of a summary
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct PlotArgs {
    /// Run folder
    pub(crate) run: PathBuf,
    #[command(flatten)]
    pub(crate) compute: Compute,
    /// Print one JSON document on stdout instead of a summary
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct InspectArgs {
    /// Run folder, model, checkpoint (.safetensors) or data file
    pub(crate) file: PathBuf,
    /// Print one JSON document on stdout instead of a summary
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct PlanArgs {
    /// Config of the run (TOML)
    pub(crate) config: PathBuf,
    /// Override a key of the config, as in `--set optim.lr=3e-4`; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) overrides: Vec<String>,
    #[command(flatten)]
    pub(crate) compute: Compute,
    /// Print one JSON document on stdout instead of a summary
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    /// Print one JSON document on stdout instead of a summary
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Bench {
    /// Time one training step: data, samples, gradient, reduction, update
    Step(BenchStepArgs),
}

#[derive(Debug, Args)]
pub(crate) struct BenchStepArgs {
    /// Values of a point, D
    #[arg(long, value_name = "D", default_value_t = 8, value_parser = size())]
    pub(crate) dim: u64,
    /// Units of a hidden layer
    #[arg(long, value_name = "W", default_value_t = 128, value_parser = size())]
    pub(crate) width: u64,
    /// Hidden layers
    #[arg(long, value_name = "H", default_value_t = 3,
        value_parser = clap::value_parser!(u64).range(..=1024))]
    pub(crate) depth: u64,
    /// Proposal samples of a step
    #[arg(long, value_name = "M", default_value_t = 65_536,
        value_parser = clap::value_parser!(u64).range(1..=1 << 40))]
    pub(crate) samples: u64,
    /// Data rows of a step
    #[arg(long, value_name = "n", default_value_t = 4096,
        value_parser = clap::value_parser!(u64).range(1..=1 << 40))]
    pub(crate) batch: u64,
    /// Non-linearity: silu, relu, tanh, gelu or softplus
    #[arg(long, default_value = "silu", value_parser = activation)]
    pub(crate) activation: Activation,
    /// Proposal density: gaussian (full covariance), diagonal, student, uniform or mixture
    #[arg(long, default_value = "gaussian", value_parser = proposal)]
    pub(crate) proposal: Proposal,
    /// Instruction set, one of those that `snel doctor` lists [default: the first of them]
    #[arg(long, value_name = "SET", value_parser = instruction_set)]
    pub(crate) instruction_set: Option<InstructionSet>,
    /// Seconds to measure for, at least
    #[arg(long, value_name = "S", default_value_t = 3)]
    pub(crate) seconds: u64,
    /// Measure exactly this many steps instead
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) steps: Option<u64>,
    #[command(flatten)]
    pub(crate) compute: Compute,
    /// Print one JSON document on stdout instead of a summary
    #[arg(long)]
    pub(crate) json: bool,
}

fn size() -> clap::builder::RangedU64ValueParser {
    clap::value_parser!(u64).range(1..=1 << 16)
}

fn activation(name: &str) -> Result<Activation, String> {
    let found = Activation::ALL.into_iter().find(|a| format!("{a:?}").eq_ignore_ascii_case(name));
    found.ok_or_else(|| "use silu, relu, tanh, gelu or softplus".to_owned())
}

fn proposal(name: &str) -> Result<Proposal, String> {
    let found = Proposal::ALL.into_iter().find(|p| format!("{p:?}").eq_ignore_ascii_case(name));
    found.ok_or_else(|| "use gaussian, diagonal, student, uniform or mixture".to_owned())
}

fn instruction_set(name: &str) -> Result<InstructionSet, String> {
    let present = InstructionSet::present();
    let names = present.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let found = present.into_iter().find(|set| set.to_string() == name);
    found.ok_or_else(|| format!("this machine has {names}"))
}

#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// Shell
    pub(crate) shell: Shell,
}
