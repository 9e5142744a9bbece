//! Trains conditional models on the toy regressions by every objective, and prints how far each is
//! from the true conditional density: `cargo run --release -p snel-train --example regression --
//! FOLDER`. Runs that are in the folder already are evaluated, not trained again.

#![allow(clippy::print_stdout, clippy::print_stderr)] // it reports

use std::error::Error;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use snel_train::compute::{AnyEngine, Compute, Device, Precision};
use snel_train::conditional::evaluate_run;
use snel_train::config::Config;
use snel_train::run::{RunError, TrainOptions, engine_of, load_model, train};
use snel_train::setup::load_data;
use snel_train::trainer::TrainError;

/// The same for every run but for toy, samples, objective and seed.
const CONFIG: &str = r#"
[data]
toy = "sine_lognormal"
rows = 4000
split = [0.5, 0.25, 0.25]

[model]
kind = "conditional"
features = [50, 50]
widths = [50, 50]
log_normaliser = [32]

[proposal]
kind = "gaussian"

[optim]
lr = 0.003

[train]
steps = 3000
batch = 32
valid_every = 500

[output]
tensorboard = false
report = false
"#;
const SEEDS: u32 = 5;

/// Divergence from the truth, and gap of the bounds: nats a row, standardised units.
type Result = (f64, f64);

fn main() -> std::result::Result<(), Box<dyn Error>> {
    let folder = std::env::args().nth(1).unwrap_or_else(|| "target/regression".to_owned());
    println!("| toy | M | objective | runs | divergence | over SNL's | gap of the bounds |");
    println!("|---|---|---|---|---|---|---|");
    for toy in ["sine_lognormal", "patchwork"] {
        for samples in [8, 32] {
            let mut snl = Vec::new();
            for objective in ["snl", "is-mle", "nce"] {
                let mut results = Vec::new();
                for seed in 1..=SEEDS {
                    let name = format!("{toy}-{samples}-{objective}-{seed}");
                    eprintln!("{name}");
                    let overrides = [
                        format!("data.toy={toy}"),
                        format!("train.samples={samples}"),
                        format!("objective.kind={objective}"),
                        format!("seed={seed}"),
                    ];
                    let config = Config::parse(CONFIG, "regression.toml", &overrides)?;
                    results.push(run(&config, &Path::new(&folder).join(name))?);
                }
                if objective == "snl" {
                    snl.clone_from(&results);
                }
                // Differences of runs of equal seeds: data, split and first weights are the same.
                let over: Vec<Option<f64>> = results
                    .iter()
                    .zip(&snl)
                    .map(|(r, s)| Some(r.as_ref()?.0 - s.as_ref()?.0))
                    .collect();
                println!(
                    "| {toy} | {samples} | {objective} | {} of {SEEDS} | {} | {} | {} |",
                    results.iter().flatten().count(),
                    mean(results.iter().flatten().map(|r| r.0)),
                    if objective == "snl" {
                        String::new()
                    } else {
                        mean(over.into_iter().flatten())
                    },
                    mean(results.iter().flatten().map(|r| r.1)),
                );
            }
        }
    }
    Ok(())
}

/// None if the run diverged.
fn run(config: &Config, out: &Path) -> std::result::Result<Option<Result>, Box<dyn Error>> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let say = |text: &str| eprintln!("{text}");
    let compute = Compute { device: Device::Cpu, precision: Precision::Bf16x3, threads, say };
    if !out.exists() {
        let stop = AtomicBool::new(false);
        match train(config, &TrainOptions { out, resume: false, compute, stop: &stop }, Vec::new())
        {
            Err(RunError::Train(error @ TrainError::Diverged { .. })) => eprintln!("{error}"),
            done => drop(done?),
        }
    }
    if !out.join("model.safetensors").exists() {
        return Ok(None);
    }
    let model = load_model(out)?;
    let dataset = load_data(config, &std::env::temp_dir())?;
    let AnyEngine::Conditional(engine) = engine_of(&model, &compute)? else {
        return Err("the model is not conditional".into());
    };
    let report = evaluate_run(config, &dataset, &model, &*engine)?;
    let bounds = &report.standardised;
    let quadrature = report.quadrature.ok_or("there is more than one target")?;
    let divergence = quadrature.divergence.ok_or("the true density is not known")?;
    Ok(Some((divergence, bounds.upper.value - bounds.lower.value)))
}

/// Mean and standard error, of two values at least.
fn mean(values: impl Iterator<Item = f64>) -> String {
    let values: Vec<f64> = values.collect();
    if values.len() < 2 {
        return "none".to_owned();
    }
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0);
    format!("{mean:.4} ± {:.4}", (variance / n).sqrt())
}
