//! After training: evaluation, pictures, report, all in the run folder.

use snel_core::engine::Engine;
use snel_data::Dataset;

use crate::config::Config;
use crate::eval_report::{EvalReport, evaluate_run};
use crate::file::{FileError, write_atomically};
use crate::model_file::ModelFile;
use crate::pictures::{pictures, save};
use crate::run::RunError;
use crate::run_folder::RunFolder;
use crate::run_report::page;
use crate::sink::read_json_lines;

/// Evaluates as the config says and writes `eval.json`.
///
/// # Errors
/// [`RunError`].
pub fn evaluate_and_save(
    folder: &RunFolder,
    config: &Config,
    dataset: &Dataset,
    model: &ModelFile,
    engine: &dyn Engine,
) -> Result<EvalReport, RunError> {
    let report = evaluate_run(config, dataset, model, engine)?;
    let path = folder.evaluation();
    let json = serde_json::to_string_pretty(&report)
        .map_err(|e| FileError::at("write", &path)(e.into()))?;
    write_atomically(&path, json.as_bytes())?;
    Ok(report)
}

/// Draws the pictures and, if the config asks for it, writes the report.
///
/// # Errors
/// [`RunError`].
pub fn illustrate(
    folder: &RunFolder,
    config: &Config,
    dataset: &Dataset,
    model: &ModelFile,
    engine: &dyn Engine,
    eval: &EvalReport,
    command: &str,
) -> Result<(), RunError> {
    let metrics = folder.metrics();
    let records = if metrics.exists() { read_json_lines(&metrics)? } else { Vec::new() };
    let pictures = pictures(&records, eval, dataset, model, engine)?;
    save(&pictures, &folder.plots())?;
    if config.output.report {
        let page = page(config, eval, model, &dataset.source, pictures, command);
        write_atomically(&folder.report(), page.as_bytes())?;
    }
    Ok(())
}
