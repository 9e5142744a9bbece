//! Trains conditional models on the toy regressions by every objective, and prints how far each is
//! from the true conditional density: `cargo run --release -p snel-train --example regression --
//! FOLDER`. Runs that are in the folder already are only read.

#![allow(clippy::print_stdout, clippy::print_stderr)] // it reports

use std::error::Error;
use std::path::Path;

use snel_train::config::Config;

mod runs;
use runs::mean_text;

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
const SEEDS: u32 = 20;

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
                    results.push(result(&config, &Path::new(&folder).join(name))?);
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
                    mean_text(results.iter().flatten().map(|r| r.0), 4),
                    if objective == "snl" {
                        String::new()
                    } else {
                        mean_text(over.into_iter().flatten(), 4)
                    },
                    mean_text(results.iter().flatten().map(|r| r.1), 4),
                );
            }
        }
    }
    Ok(())
}

/// None if the run diverged.
fn result(config: &Config, out: &Path) -> std::result::Result<Option<Result>, Box<dyn Error>> {
    let Some(report) = runs::report(config, out)? else { return Ok(None) };
    let bounds = &report.standardised;
    let quadrature = report.quadrature.ok_or("there is more than one target")?;
    let divergence = quadrature.divergence.ok_or("the true density is not known")?;
    Ok(Some((divergence, bounds.upper.value - bounds.lower.value)))
}
