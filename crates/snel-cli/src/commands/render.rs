//! `snel plan --render`: a run's numbers for the files of `deploy/`.

use std::path::Path;

use snel_train::config::Config;
use snel_train::cost::Cost;

use crate::args::{PlanArgs, Render};

/// What the program itself takes, and room for what the estimate leaves out.
const ROOM: u64 = 512 << 20;

/// The overlay, or the command line, that runs `config` at `place`.
pub(super) fn text(place: Render, args: &PlanArgs, config: &Config, cost: &Cost) -> String {
    match place {
        Render::Kubernetes => kubernetes(args, config, cost),
        Render::Slurm => slurm(args, cost),
    }
}

/// A kustomization for a folder two below the sources of Snel, with the config in it.
fn kubernetes(args: &PlanArgs, config: &Config, cost: &Cost) -> String {
    let folder = config.run_folder();
    let name = object_name(&folder.file_name().unwrap_or_default().to_string_lossy());
    let file = args.config.file_name().unwrap_or_default().to_string_lossy();
    let file = serde_json::Value::from(format!("run.toml={file}"));
    let workers = args.workers;
    let mebibytes = mebibytes(cost);
    let threads = cost.threads;
    format!(
        "# kustomization.yaml, with the config beside it; paths in that are those of the workers
resources: [../../deploy/kubernetes/overlays/cpu]
configMapGenerator:
  - {{name: snel-run, namespace: snel, behavior: replace, files: [{file}]}}
generatorOptions: {{disableNameSuffixHash: true}}
patches:
  - target: {{kind: JobSet}}
    options: {{allowNameChange: true}}
    patch: |
      - {{op: replace, path: /metadata/name, value: {name}}}
      - {{op: replace, path: /spec/replicatedJobs/1/template/spec/completions, value: {workers}}}
      - {{op: replace, path: /spec/replicatedJobs/1/template/spec/parallelism, value: {workers}}}
      - op: replace
        path: /spec/replicatedJobs/1/template/spec/template/spec/containers/0/resources
        value:
          requests: {{cpu: \"{threads}\", memory: {mebibytes}Mi}}
          limits: {{cpu: \"{threads}\", memory: {mebibytes}Mi}}"
    )
}

/// A call of `sbatch` in the folder of Snel's sources.
fn slurm(args: &PlanArgs, cost: &Cost) -> String {
    let (workers, threads) = (args.workers, cost.threads);
    let memory = mebibytes(cost).div_ceil(threads as u64);
    let time = args.gflops.map_or(String::new(), |gflops| time_limit(cost, workers, gflops));
    let config = quoted(&args.config);
    format!(
        "sbatch --ntasks={workers} --cpus-per-task={threads} --mem-per-cpu={memory}M{time} \
         deploy/slurm/cpu.sbatch {config}"
    )
}

/// Of a worker, in steps of 64.
fn mebibytes(cost: &Cost) -> u64 {
    (cost.memory_bytes + ROOM).div_ceil(64 << 20) * 64
}

/// Twice what the run's products take, and ten minutes. A job that was cut off goes on all the same.
fn time_limit(cost: &Cost, workers: u32, gflops: f64) -> String {
    let work = cost.flop_per_step * cost.steps as f64;
    let minutes = (2.0 * work / (1e9 * gflops * f64::from(workers)) / 60.0).ceil() as u64 + 10;
    format!(" --time={}:{:02}:00", minutes / 60, minutes % 60)
}

/// The name of a Kubernetes object (RFC 1123): small letters, digits and hyphens within. 40 characters
/// leave room for what is added for jobs and pods.
fn object_name(run: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let name: String = run.chars().take(40).map(plain).collect();
    let name = name.trim_matches('-');
    if name.is_empty() { "run".to_owned() } else { name.to_owned() }
}

/// A path as a shell takes it.
fn quoted(path: &Path) -> String {
    let path = path.display().to_string();
    let usual = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    if path.chars().all(usual) { path } else { format!("'{}'", path.replace('\'', "'\\''")) }
}
