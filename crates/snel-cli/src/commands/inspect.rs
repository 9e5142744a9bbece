//! `snel inspect`.

use std::path::Path;

use serde::Serialize;
use snel_data::{ReadOptions, open};
use snel_train::checkpoint::Checkpoint;
use snel_train::model_file::ModelFile;
use snel_train::run::load_model;
use snel_train::run_report::{networks, proposal};
use snel_train::summary::{ColumnSummary, summarise};

use crate::args::InspectArgs;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{cell, count, json, names, out, table};

pub(crate) fn run(args: &InspectArgs) -> Result<Exit, Failure> {
    let path = &args.file;
    if path.is_dir() {
        show_model(&load_model(path)?, args.json);
    } else if path.extension().is_some_and(|e| e == "safetensors") {
        // A file is one or the other; if neither, the model's error tells more.
        match (ModelFile::load(path), Checkpoint::load(path)) {
            (Ok(model), _) => show_model(&model, args.json),
            (Err(_), Ok(checkpoint)) => show_checkpoint(&checkpoint, args.json),
            (Err(error), Err(_)) => return Err(error.into()),
        }
    } else {
        show_data(path, args.json)?;
    }
    Ok(Exit::Done)
}

fn show_model(model: &ModelFile, as_json: bool) {
    let header = &model.header;
    if as_json {
        return json(header);
    }
    table(&[
        ("model", header.format.clone()),
        ("energy", networks(&header.model)),
        ("parameters", count(model.parameters.len() as u64)),
        ("b", format!("{:.6}", model.b())),
        ("proposal", proposal(&header.model)),
        ("columns", names(&header.columns)),
        ("step", count(header.step)),
        ("seed", header.seed.to_string()),
        ("arithmetic", header.fingerprint.clone()),
    ]);
}

fn show_checkpoint(checkpoint: &Checkpoint, as_json: bool) {
    #[derive(Serialize)]
    struct Document<'a> {
        step: u64,
        updates: u64,
        parameters: usize,
        b: f32,
        best: Option<f64>,
        best_step: u64,
        refused: u64,
        fingerprint: &'a str,
    }
    let Checkpoint { state, progress, fingerprint, .. } = checkpoint;
    if as_json {
        return json(&Document {
            step: state.step,
            updates: state.updates,
            parameters: state.parameters.len(),
            b: state.b(),
            best: progress.best,
            best_step: progress.best_step,
            refused: progress.refused,
            fingerprint,
        });
    }
    let best = progress.best.map_or("none yet".to_owned(), |best| {
        format!("{best:.5} at step {}", count(progress.best_step))
    });
    table(&[
        ("checkpoint of step", count(state.step)),
        ("updates", count(state.updates)),
        ("parameters", count(state.parameters.len() as u64)),
        ("b", format!("{:.6}", state.b())),
        ("best validation bound", best),
        ("refused steps", count(progress.refused)),
        ("arithmetic", fingerprint.clone()),
    ]);
}

fn show_data(path: &Path, as_json: bool) -> Result<(), Failure> {
    let source = open(path, &ReadOptions::default())?;
    let (rows, columns) = summarise(source)?;
    if as_json {
        #[derive(Serialize)]
        struct Document<'a> {
            rows: u64,
            columns: &'a [ColumnSummary],
        }
        json(&Document { rows, columns: &columns });
        return Ok(());
    }
    out(&format!("{} rows of {} columns", count(rows), columns.len()));
    let width = columns.iter().map(|c| c.name.chars().count()).max().unwrap_or(0).max(6);
    out(&format!(
        "{:width$}  {:>12}  {:>12}  {:>12}  {:>12}",
        "column", "mean", "sd", "min", "max"
    ));
    for c in &columns {
        out(&format!(
            "{:width$}  {}  {}  {}  {}",
            c.name,
            cell(c.mean),
            cell(c.sd),
            cell(c.min),
            cell(c.max)
        ));
    }
    Ok(())
}
