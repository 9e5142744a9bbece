//! After training: evaluation, pictures, report, all in the run folder. For models of any kind.

use serde::Serialize;
use snel_data::Dataset;

use crate::compute::AnyEngine;
use crate::conditional::{self, ConditionalReport};
use crate::config::Config;
use crate::eval_report::{self, EvalReport};
use crate::file::{FileError, write_atomically};
use crate::model_file::ModelFile;
use crate::pictures::{pictures, save};
use crate::run::RunError;
use crate::run_folder::RunFolder;
use crate::run_report;
use crate::sink::read_json_lines;
use crate::vae::{self, VaeReport};

/// The final evaluation of a run.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum AnyReport {
    /// Of a density model.
    Density(Box<EvalReport>),
    /// Of a conditional one.
    Conditional(Box<ConditionalReport>),
    /// Of a variational auto-encoder.
    Vae(Box<VaeReport>),
}

/// Evaluates as the config says.
///
/// # Errors
/// [`RunError`] if rows cannot be read.
pub fn evaluate_run(
    config: &Config,
    dataset: &Dataset,
    model: &ModelFile,
    engine: &AnyEngine,
) -> Result<AnyReport, RunError> {
    Ok(match engine {
        AnyEngine::Density(engine) => AnyReport::Density(Box::new(eval_report::evaluate_run(
            config, dataset, model, &**engine,
        )?)),
        AnyEngine::Conditional(engine) => AnyReport::Conditional(Box::new(
            conditional::evaluate_run(config, dataset, model, &**engine)?,
        )),
        AnyEngine::Vae(engine) => {
            AnyReport::Vae(Box::new(vae::evaluate_run(config, dataset, model, &**engine)?))
        }
    })
}

/// Evaluates as the config says and writes `eval.json`.
///
/// # Errors
/// [`RunError`].
pub fn evaluate_and_save(
    folder: &RunFolder,
    config: &Config,
    dataset: &Dataset,
    model: &ModelFile,
    engine: &AnyEngine,
) -> Result<AnyReport, RunError> {
    let report = evaluate_run(config, dataset, model, engine)?;
    let path = folder.evaluation();
    let json = serde_json::to_string_pretty(&report)
        .map_err(|e| FileError::at("write", &path)(e.into()))?;
    write_atomically(&path, json.as_bytes())?;
    Ok(report)
}

/// Draws the pictures and, if the config asks for it, writes the report. `eval` is of the kind of
/// model that `engine` computes; were it not, nothing would be drawn.
///
/// # Errors
/// [`RunError`].
pub fn illustrate(
    folder: &RunFolder,
    config: &Config,
    dataset: &Dataset,
    model: &ModelFile,
    engine: &AnyEngine,
    eval: &AnyReport,
    command: &str,
) -> Result<(), RunError> {
    let metrics = folder.metrics();
    let records = if metrics.exists() { read_json_lines(&metrics)? } else { Vec::new() };
    let source = &dataset.source;
    let page = match (engine, eval) {
        (AnyEngine::Density(engine), AnyReport::Density(eval)) => {
            let pictures = pictures(&records, eval, dataset, model, &**engine)?;
            save(&pictures, &folder.plots())?;
            run_report::page(config, eval, model, source, pictures, command)
        }
        (AnyEngine::Conditional(engine), AnyReport::Conditional(eval)) => {
            let pictures = conditional::pictures(&records, eval, dataset, model, &**engine)?;
            save(&pictures, &folder.plots())?;
            conditional::page(config, eval, model, source, pictures, command)
        }
        (AnyEngine::Vae(engine), AnyReport::Vae(eval)) => {
            let pictures = vae::pictures(&records, dataset, model, &**engine)?;
            save(&pictures, &folder.plots())?;
            vae::page(config, eval, model, source, pictures, command)
        }
        _ => return Ok(()),
    };
    if config.output.report {
        write_atomically(&folder.report(), page.as_bytes())?;
    }
    Ok(())
}
