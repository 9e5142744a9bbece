//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use snel_cluster::coordinator::FAILURE_BUDGET_MS;
use snel_cluster::security;
use snel_core::activation::Activation;
use snel_cpu::InstructionSet;
use snel_train::bench::Proposal;
use snel_train::compute::{Device, Precision};
use snel_train::config::{Cluster, Split};
use snel_train::study::Extent;

use crate::output::err;

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
    /// Train with a coordinator and several worker processes on this machine
    Launch(LaunchArgs),
    /// Serve runs to workers and users
    Coordinator(CoordinatorArgs),
    /// Work for a coordinator
    Worker(WorkerArgs),
    /// Submit runs to a coordinator, watch and steer them
    #[command(subcommand)]
    Run(RunCommand),
    /// List the workers of a coordinator
    WorkerList(WorkerListArgs),
    /// Evaluate a trained model: an interval for its log-likelihood
    Eval(EvalArgs),
    /// Compare runs at equal budget: evaluations of the energy, of its gradient, seconds
    Compare(CompareArgs),
    /// Measure how far what variational auto-encoders give is from test rows, by a small classifier
    Frechet(FrechetArgs),
    /// Write the log-density of every row of a file
    Score(ScoreArgs),
    /// Predict the targets of every row of a file, with a conditional model
    Predict(PredictArgs),
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
    /// Study how the method scales: sweeps that leave study.csv, pictures and a page
    #[command(subcommand)]
    Study(StudyCommand),
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
    /// Device to compute on: cpu, cuda:N (a GPU by its number) or auto (a GPU if one can be used)
    #[arg(long, value_name = "DEVICE", default_value_t = Device::Cpu)]
    pub(crate) device: Device,
    /// Products on a GPU: fp32, tf32, bf16x3 (energies almost as in fp32, gradients in bf16) or bf16
    /// (the fastest; for energies of small spread)
    #[arg(long, value_name = "PRECISION", default_value_t = Precision::Bf16x3)]
    pub(crate) precision: Precision,
}

impl Compute {
    /// For the engine. What it has to say goes to stderr.
    pub(crate) fn settings(&self) -> snel_train::compute::Compute {
        let (device, precision, threads) = (self.device, self.precision, self.threads());
        snel_train::compute::Compute { device, precision, threads, say: err }
    }

    pub(crate) fn threads(&self) -> usize {
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
pub(crate) struct LaunchArgs {
    #[command(flatten)]
    pub(crate) train: TrainArgs,
    /// Worker processes [default: one for each core, of one thread each]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub(crate) workers: Option<u32>,
    /// A worker for each of these GPUs: `all`, or numbers with commas between them
    #[arg(long, value_name = "GPUS", conflicts_with_all = ["workers", "device"])]
    pub(crate) gpus: Option<Gpus>,
    /// Sum between these GPUs by NCCL instead of through the coordinator
    #[arg(long, requires = "gpus")]
    pub(crate) nccl: bool,
}

/// GPUs of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Gpus {
    All,
    Some(Vec<u32>),
}

impl FromStr for Gpus {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "all" {
            return Ok(Self::All);
        }
        let numbers: Result<Vec<u32>, _> = text.split(',').map(str::parse).collect();
        numbers.map(Self::Some).map_err(|_| "use all, or numbers as in 0,1,3".to_owned())
    }
}

/// Certificates and token.
#[derive(Debug, Clone, Args)]
pub(crate) struct SecurityArgs {
    /// Bearer token, in a file; workers and users must have the coordinator's
    #[arg(long, value_name = "FILE", env = "SNEL_TOKEN_FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// Own certificate (PEM)
    #[arg(long, value_name = "FILE", env = "SNEL_TLS_CERT")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// Its key (PEM)
    #[arg(long, value_name = "FILE", env = "SNEL_TLS_KEY")]
    pub(crate) tls_key: Option<PathBuf>,
}

impl SecurityArgs {
    pub(crate) fn settings(&self) -> security::Settings {
        let Self { token_file, tls_cert, tls_key } = self.clone();
        security::Settings { token_file, tls_cert, tls_key, ..security::Settings::default() }
    }
}

#[derive(Debug, Args)]
pub(crate) struct CoordinatorArgs {
    /// Folder of the runs
    #[arg(long, value_name = "DIR", default_value = "runs")]
    pub(crate) dir: PathBuf,
    /// Where to listen; port 0 takes a free one. The address is printed on stdout
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:7070")]
    pub(crate) listen: SocketAddr,
    /// Serve the live page, /metrics, /live and /ready there, as on 127.0.0.1:7071. The address is
    /// the second line on stdout
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) http: Option<SocketAddr>,
    /// A worker that is silent for so long counts as lost, milliseconds; a run may ask for longer
    /// (`cluster.failure_budget_ms`)
    #[arg(long, value_name = "MS", default_value_t = FAILURE_BUDGET_MS,
        value_parser = clap::value_parser!(u64).range(Cluster::FAILURE_BUDGETS_MS))]
    pub(crate) failure_budget_ms: u64,
    /// Take up this run only
    #[arg(long, value_name = "RUN", hide = true)]
    pub(crate) only: Option<String>,
    #[command(flatten)]
    pub(crate) security: SecurityArgs,
    /// Authority that signed the certificates of clients (PEM); with it they need one
    #[arg(long, value_name = "FILE", env = "SNEL_TLS_CLIENT_CA")]
    pub(crate) tls_client_ca: Option<PathBuf>,
    /// End when stdin does
    #[arg(long, hide = true)]
    pub(crate) with_parent: bool,
}

/// How to reach a coordinator.
#[derive(Debug, Args)]
pub(crate) struct ClientArgs {
    /// The coordinator's URL
    #[arg(
        long,
        value_name = "URL",
        env = "SNEL_COORDINATOR",
        default_value = "http://127.0.0.1:7070"
    )]
    pub(crate) coordinator: String,
    #[command(flatten)]
    pub(crate) security: SecurityArgs,
    /// Authority that signed the coordinator's certificate (PEM)
    #[arg(long, value_name = "FILE", env = "SNEL_TLS_CA")]
    pub(crate) tls_ca: Option<PathBuf>,
}

impl ClientArgs {
    pub(crate) fn settings(&self) -> security::Settings {
        security::Settings { tls_ca: self.tls_ca.clone(), ..self.security.settings() }
    }
}

#[derive(Debug, Args)]
pub(crate) struct WorkerArgs {
    #[command(flatten)]
    pub(crate) client: ClientArgs,
    /// Name, unique among the workers [default: host and process number]
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    #[command(flatten)]
    pub(crate) compute: Compute,
    /// The GPU to compute on, as in `--device cuda:INDEX`
    #[arg(long, value_name = "INDEX", conflicts_with = "device")]
    pub(crate) gpu: Option<u32>,
    /// Sum with other workers' GPUs by NCCL. It was tested without GPUs only
    #[arg(long)]
    pub(crate) nccl: bool,
    #[command(flatten)]
    pub(crate) end: WorkerEndArgs,
    /// Say nothing but errors
    #[arg(long)]
    pub(crate) quiet: bool,
}

/// When a worker ends, and how.
#[derive(Debug, Args)]
pub(crate) struct WorkerEndArgs {
    /// End if the coordinator cannot be reached for so long, seconds [default: never]
    #[arg(long, value_name = "S")]
    pub(crate) give_up_s: Option<u64>,
    /// End with 75 (try again) instead of 0 if a signal has made it leave: a Kubernetes Job puts another
    /// in its place only then
    #[arg(long)]
    pub(crate) again_on_signal: bool,
    /// End when stdin does
    #[arg(long, hide = true)]
    pub(crate) with_parent: bool,
}

#[derive(Debug, Args)]
pub(crate) struct WorkerListArgs {
    #[command(flatten)]
    pub(crate) client: ClientArgs,
    /// Print one JSON document on stdout instead of a table
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum RunCommand {
    /// Queue a run; it starts as soon as a worker is free
    Submit(SubmitArgs),
    /// List all runs
    List(WorkerListArgs),
    /// Show a run
    Show(NamedRun),
    /// Follow a run until it ends
    Watch(NamedRun),
    /// Hold a run between two steps; its workers keep their state
    Pause(NamedRun),
    /// Go on with a run that was paused
    Resume(NamedRun),
    /// End a run after a checkpoint; `submit --resume` goes on with it
    Cancel(NamedRun),
    /// Change the number of workers of a run
    Scale(ScaleArgs),
    /// Copy a file of a run, by default its model
    Fetch(FetchArgs),
    /// Let a worker finish its step and leave
    Drain(DrainArgs),
}

#[derive(Debug, Args)]
pub(crate) struct SubmitArgs {
    /// Config of the run (TOML); files in it are read by the workers
    pub(crate) config: PathBuf,
    /// Name of the run [default: that of the config]
    #[arg(long, value_name = "RUN")]
    pub(crate) name: Option<String>,
    /// Override a key of the config, as in `--set optim.lr=3e-4`; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) overrides: Vec<String>,
    /// Workers wanted; 0 for all there are
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) workers: u32,
    /// Go on with a run that has ended
    #[arg(long)]
    pub(crate) resume: bool,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
    /// Print one JSON document on stdout instead of a summary
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct NamedRun {
    /// Name of the run
    pub(crate) run: String,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
    /// Print JSON on stdout instead of a summary
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ScaleArgs {
    #[command(flatten)]
    pub(crate) run: NamedRun,
    /// Workers wanted; 0 for all there are
    #[arg(long, value_name = "N")]
    pub(crate) workers: u32,
}

#[derive(Debug, Args)]
pub(crate) struct FetchArgs {
    #[command(flatten)]
    pub(crate) run: NamedRun,
    /// Path in the run folder
    #[arg(long, value_name = "PATH", default_value = "model.safetensors")]
    pub(crate) file: String,
    /// Where it goes
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct DrainArgs {
    /// Name of the worker
    pub(crate) worker: String,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Args)]
pub(crate) struct CompareArgs {
    /// Run folders
    #[arg(required = true, value_name = "RUN")]
    pub(crate) runs: Vec<PathBuf>,
    /// Print one JSON document on stdout instead of tables
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct FrechetArgs {
    /// Run folders, all of the same data
    #[arg(required = true, value_name = "RUN")]
    pub(crate) runs: Vec<PathBuf>,
    /// Labels of the rows of `data.train`, one a row: whole numbers from 0
    #[arg(long, value_name = "FILE")]
    pub(crate) labels: PathBuf,
    /// Draws of a set [default: as many as there are test rows]
    #[arg(short, value_name = "N", value_parser = clap::value_parser!(u64).range(2..=10_000_000))]
    pub(crate) n: Option<u64>,
    /// Sets of draws of each run, for the error
    #[arg(long, value_name = "K", default_value_t = 5,
        value_parser = clap::value_parser!(u32).range(2..=1000))]
    pub(crate) sets: u32,
    #[command(flatten)]
    pub(crate) compute: Compute,
    /// Print one JSON document on stdout instead of a table
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
    /// Evaluate by annealed importance sampling too, with so many temperatures: for models whose
    /// proposal has few effective samples
    #[arg(long, value_name = "K", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) anneal: Option<u32>,
    /// Chains of the annealing
    #[arg(long, value_name = "N", default_value_t = 1000, requires = "anneal",
        value_parser = clap::value_parser!(u64).range(2..=1 << 32))]
    pub(crate) chains: u64,
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
pub(crate) struct PredictArgs {
    /// Run folder, or model file
    pub(crate) run: PathBuf,
    /// Rows to predict: a file with the model's inputs
    #[arg(long, value_name = "FILE")]
    pub(crate) data: PathBuf,
    /// Where the predictions go: .csv, .npy or .parquet
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
    /// Proposal samples of each row
    #[arg(long, value_name = "M", default_value_t = 4096,
        value_parser = clap::value_parser!(u64).range(2..=1 << 24))]
    pub(crate) samples: u64,
    /// Levels of the quantiles, with commas between them
    #[arg(long, value_name = "LEVELS", value_delimiter = ',', value_parser = share,
        default_values_t = [0.05, 0.25, 0.75, 0.95])]
    pub(crate) quantiles: Vec<f64>,
    /// Probability of the shortest interval
    #[arg(long, value_name = "P", value_parser = share, default_value_t = 0.9)]
    pub(crate) interval: f64,
    /// Also write the density on a grid, a line for each row and node: .csv, .npy or .parquet
    #[arg(long, value_name = "FILE")]
    pub(crate) density: Option<PathBuf>,
    /// Nodes of that grid
    #[arg(long, value_name = "N", requires = "density", default_value_t = 200,
        value_parser = clap::value_parser!(u32).range(2..=1_000_000))]
    pub(crate) nodes: u32,
    #[command(flatten)]
    pub(crate) compute: Compute,
    /// Print one JSON document on stdout instead of a summary
    #[arg(long)]
    pub(crate) json: bool,
}

/// A number between 0 and 1.
fn share(text: &str) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if number > 0.0 && number < 1.0 {
        Ok(number)
    } else {
        Err("must be above 0 and below 1".to_owned())
    }
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
    /// Of a vae: means of p(x|z) instead of draws from it, for each drawn z
    #[arg(long)]
    pub(crate) means: bool,
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
    /// Print what runs it elsewhere instead: a Kustomize overlay, or a command line of Slurm
    #[arg(long, value_enum, value_name = "WHERE", conflicts_with = "json")]
    pub(crate) render: Option<Render>,
    /// Workers there, of --threads each
    #[arg(long, value_name = "N", default_value_t = 2, requires = "render",
        value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub(crate) workers: u32,
    /// Speed of a worker, GFLOP/s, as `snel bench step` tells it; for the time limit of a Slurm job
    #[arg(long, value_name = "GFLOPS", requires = "render", value_parser = speed)]
    pub(crate) gflops: Option<f64>,
    /// Print one JSON document on stdout instead of a summary
    #[arg(long)]
    pub(crate) json: bool,
}

/// Where runs can be taken to.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Render {
    Kubernetes,
    Slurm,
}

fn speed(text: &str) -> Result<f64, String> {
    let speed = text.parse().ok().filter(|speed: &f64| speed.is_finite() && *speed > 0.0);
    speed.ok_or_else(|| "use a number above 0".to_owned())
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

#[derive(Debug, Subcommand)]
pub(crate) enum StudyCommand {
    /// Bias and variance as the number of proposal samples grows, against theory
    Samples(SweepArgs),
    /// Where importance sampling gives out as dimensions grow, for several proposals
    Dimension(SweepArgs),
    /// A training step on more threads and more processes, up to --threads of them, and a model of
    /// larger clusters
    Workers(StudyArgs),
}

#[derive(Debug, Args)]
pub(crate) struct SweepArgs {
    /// Seed of rows and samples
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u32,
    #[command(flatten)]
    pub(crate) study: StudyArgs,
}

#[derive(Debug, Args)]
pub(crate) struct StudyArgs {
    /// Folder of the study; one that was begun there goes on [default: studies/STUDY]
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Go on to sizes that take hours
    #[arg(long)]
    pub(crate) deep: bool,
    /// Take seconds, to see that it works
    #[arg(long, conflicts_with = "deep")]
    pub(crate) quick: bool,
    #[command(flatten)]
    pub(crate) compute: Compute,
    /// Print one JSON document on stdout instead of a summary
    #[arg(long)]
    pub(crate) json: bool,
}

impl StudyArgs {
    pub(crate) fn extent(&self) -> Extent {
        match (self.quick, self.deep) {
            (true, _) => Extent::Quick,
            (_, true) => Extent::Deep,
            _ => Extent::Usual,
        }
    }
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
