//! Runs of conditional models that a table is made of: trained and evaluated unless they are there.
//!
//! Invariants
//! 1. A run that has its `eval.json` is only read, and refused if it was made with other settings.
//! 2. A run that was interrupted goes on from its last checkpoint, or begins again without one; one
//!    that diverged diverges again, with the same bits.

use std::error::Error;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use snel_train::compute::{Compute, Device, Precision};
use snel_train::conditional::ConditionalReport;
use snel_train::config::Config;
use snel_train::finish::{AnyReport, evaluate_and_save};
use snel_train::run::{RunError, TrainOptions, engine_of, train};
use snel_train::run_folder::RunFolder;
use snel_train::trainer::TrainError;

/// The evaluation of the run in `out`; none if it diverged.
pub(crate) fn report(
    config: &Config,
    out: &Path,
) -> Result<Option<ConditionalReport>, Box<dyn Error>> {
    if let Ok((folder, made_with)) = RunFolder::open(out)
        && folder.evaluation().exists()
    {
        let path = folder.evaluation();
        if made_with != *config {
            let hint = "take another folder, or remove it";
            return Err(format!("{} was made with other settings: {hint}", out.display()).into());
        }
        let text = std::fs::read_to_string(&path)?;
        let found = serde_json::from_str(&text).map_err(|e| format!("{}: {e}", path.display()))?;
        return Ok(Some(found));
    }
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let say = |text: &str| eprintln!("{text}");
    let compute = Compute { device: Device::Cpu, precision: Precision::Bf16x3, threads, say };
    let (resume, stop) = (out.exists(), AtomicBool::new(false));
    let options = TrainOptions { out, resume, compute, stop: &stop };
    let trained = match train(config, &options, Vec::new()) {
        Err(RunError::Train(error @ TrainError::Diverged { .. })) => {
            eprintln!("{error}");
            return Ok(None);
        }
        done => done?,
    };
    let engine = engine_of(&trained.model, &compute)?;
    let dataset = &trained.setup.dataset;
    match evaluate_and_save(&trained.folder, config, dataset, &trained.model, &engine)? {
        AnyReport::Conditional(found) => Ok(Some(*found)),
        AnyReport::Density(_) | AnyReport::Vae(_) => {
            Err(format!("{} is of a density model", out.display()).into())
        }
    }
}

/// Mean and its standard error, of two values at least.
fn mean(values: impl Iterator<Item = f64>) -> Option<[f64; 2]> {
    let values: Vec<f64> = values.collect();
    if values.len() < 2 {
        return None;
    }
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0);
    Some([mean, (variance / n).sqrt()])
}

/// [`mean`] as `mean ± standard error`.
pub(crate) fn mean_text(values: impl Iterator<Item = f64>, digits: usize) -> String {
    mean(values)
        .map_or_else(|| "none".to_owned(), |[m, se]| format!("{m:.digits$} ± {se:.digits$}"))
}
