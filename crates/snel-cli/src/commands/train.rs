//! `snel train`.

use std::path::Path;
use std::sync::atomic::Ordering;

use serde::Serialize;
use snel_train::compute::Device;
use snel_train::config::Config;
use snel_train::finish::{AnyReport, evaluate_and_save, illustrate};
use snel_train::run::{TrainOptions, Trained, engine_of, train};
use snel_train::trainer::Outcome;

use super::summary;
use crate::args::TrainArgs;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::interrupt::stop_flag;
use crate::output::{err, json, out};
use crate::progress::Progress;

/// The JSON document of a run.
#[derive(Serialize)]
struct Document<'a> {
    outcome: &'static str,
    step: u64,
    run: &'a Path,
    evaluation: Option<&'a AnyReport>,
}

pub(crate) fn run(args: &TrainArgs) -> Result<Exit, Failure> {
    let config = Config::load(&args.config, &args.overrides)?;
    let out_dir = args.out.clone().unwrap_or_else(|| config.run_folder());
    let stop = stop_flag();
    let options = TrainOptions {
        out: &out_dir,
        resume: args.resume,
        compute: args.compute.settings(),
        stop: &stop,
    };
    let progress = Progress::new(config.train.steps, args.json);
    let trained = train(&config, &options, vec![Box::new(progress)])?;
    if let Outcome::Interrupted { step } = trained.outcome {
        return Ok(interrupted(args, "snel train", step, &out_dir));
    }
    // All that took long is on disk: from here on a signal ends the program at once.
    stop.store(true, Ordering::Relaxed);
    finish_and_report(&config, &trained, args, "snel train", &out_dir)
}

/// Tells of a run that was stopped before its end, and how to go on with it by `verb`.
pub(super) fn interrupted(args: &TrainArgs, verb: &str, step: u64, out_dir: &Path) -> Exit {
    err(&format!("stopped at step {step}; a checkpoint is in {}", out_dir.display()));
    err(&format!("hint: go on with `{} --resume`", command(args, verb)));
    if args.json {
        json(&Document { outcome: "interrupted", step, run: out_dir, evaluation: None });
    }
    Exit::Interrupted
}

/// Evaluates, draws and reports a run that `verb` has trained.
pub(super) fn finish_and_report(
    config: &Config,
    trained: &Trained,
    args: &TrainArgs,
    verb: &str,
    out_dir: &Path,
) -> Result<Exit, Failure> {
    let evaluation = finish(config, trained, args, verb)?;
    report(args, trained, &evaluation, out_dir);
    Ok(Exit::Done)
}

fn finish(
    config: &Config,
    trained: &Trained,
    args: &TrainArgs,
    verb: &str,
) -> Result<AnyReport, Failure> {
    let Trained { folder, setup, model, .. } = trained;
    let engine = engine_of(model, &args.compute.settings())?;
    if !args.json {
        err("evaluating and drawing");
    }
    let report = evaluate_and_save(folder, config, &setup.dataset, model, &engine)?;
    illustrate(folder, config, &setup.dataset, model, &engine, &report, &command(args, verb))?;
    Ok(report)
}

fn report(args: &TrainArgs, trained: &Trained, evaluation: &AnyReport, out_dir: &Path) {
    let step = trained.chosen_step;
    let early = trained.outcome == Outcome::StoppedEarly;
    let outcome = if early { "stopped early" } else { "finished" };
    if args.json {
        json(&Document { outcome, step, run: out_dir, evaluation: Some(evaluation) });
        return;
    }
    out(&format!("{outcome}; the model of step {step} is the best on the validation rows"));
    out("");
    summary::print(evaluation);
    out("");
    out(&format!("{}  report, model, metrics and pictures", out_dir.display()));
}

/// The command line as the user would type it again.
fn command(args: &TrainArgs, verb: &str) -> String {
    let mut words = vec![verb.to_owned(), args.config.display().to_string()];
    if let Some(out) = &args.out {
        words.push(format!("--out {}", out.display()));
    }
    if args.compute.device != Device::default() {
        words.push(format!("--device {}", args.compute.device));
        words.push(format!("--precision {}", args.compute.precision));
    }
    words.extend(args.overrides.iter().map(|set| format!("--set '{set}'")));
    words.join(" ")
}
