//! `snel plot`.

use std::path::PathBuf;

use serde::Serialize;
use snel_train::finish::{evaluate_and_save, illustrate};
use snel_train::run::{engine_of, load_model};
use snel_train::run_folder::RunFolder;
use snel_train::setup::load_data;

use crate::args::PlotArgs;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{json, out};

/// The JSON document of the pictures.
#[derive(Serialize)]
struct Document {
    plots: PathBuf,
    report: Option<PathBuf>,
}

pub(crate) fn run(args: &PlotArgs) -> Result<Exit, Failure> {
    let (folder, config) = RunFolder::open(&args.run)?;
    let model = load_model(&args.run)?;
    let dataset = load_data(&config, &std::env::temp_dir())?;
    let engine = engine_of(&model, &args.compute.settings())?;
    let eval = evaluate_and_save(&folder, &config, &dataset, &model, &engine)?;
    let command = format!("snel plot {}", args.run.display());
    illustrate(&folder, &config, &dataset, &model, &engine, &eval, &command)?;
    if args.json {
        let report = config.output.report.then(|| folder.report());
        json(&Document { plots: folder.plots(), report });
        return Ok(Exit::Done);
    }
    out(&format!("{}  pictures as SVG and PNG", folder.plots().display()));
    if config.output.report {
        out(&format!("{}  report", folder.report().display()));
    }
    Ok(Exit::Done)
}
