//! `snel eval`.

use snel_train::finish::evaluate_run;
use snel_train::run::{engine_of, load_model};
use snel_train::run_folder::RunFolder;
use snel_train::setup::load_data;

use super::summary;
use crate::args::EvalArgs;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::json;

pub(crate) fn run(args: &EvalArgs) -> Result<Exit, Failure> {
    let (_, mut config) = RunFolder::open(&args.run)?;
    let model = load_model(&args.run)?;
    if let Some(samples) = args.samples {
        config.eval.samples = samples;
    }
    if let Some(split) = args.split {
        config.eval.split = split.into();
    }
    let dataset = load_data(&config, &std::env::temp_dir())?;
    let engine = engine_of(&model, &args.compute.settings())?;
    // The run's own evaluation, in `eval.json`, stays as it is.
    let report = evaluate_run(&config, &dataset, &model, &engine)?;
    if args.json {
        json(&report);
    } else {
        summary::print(&report);
    }
    Ok(Exit::Done)
}
