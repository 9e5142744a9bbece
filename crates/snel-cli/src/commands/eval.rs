//! `snel eval`.

use snel_core::problem::AnyModel;
use snel_train::compute::AnyEngine;
use snel_train::eval_report::{annealed_report, rows_of};
use snel_train::finish::{AnyReport, evaluate_run};
use snel_train::run::{RunError, engine_of, load_model};
use snel_train::run_folder::RunFolder;
use snel_train::sample::{Annealing, anneal};
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
    let annealed = match (args.anneal, &model.header.model) {
        (None, _) => None,
        (Some(temperatures), AnyModel::Density(shape)) => {
            let (chains, threads) = (args.chains, args.compute.threads());
            let how = Annealing { temperatures, chains, threads };
            Some(anneal(shape, &model.parameters, config.seed, &how)?)
        }
        (Some(_), other) => return Err(RunError::Kind { found: other.kind() }.into()),
    };
    let dataset = load_data(&config, &std::env::temp_dir())?;
    let engine = engine_of(&model, &args.compute.settings())?;
    // The run's own evaluation, in `eval.json`, stays as it is.
    let mut report = evaluate_run(&config, &dataset, &model, &engine)?;
    if let (AnyReport::Density(report), AnyEngine::Density(engine), Some(annealed)) =
        (&mut report, &engine, &annealed)
    {
        let rows = rows_of(&dataset, config.eval.split);
        report.annealed = Some(annealed_report(rows, &model, &**engine, annealed)?);
    }
    if args.json {
        json(&report);
    } else {
        summary::print(&report);
    }
    Ok(Exit::Done)
}
