//! The `snel` binary: arguments, progress and messages. What it does is in `snel-train`.
//!
//! A command is one file in `commands/` with one function, from its arguments to a `Failure` or
//! an exit code. Reports go to stdout, everything else to stderr.

#![forbid(unsafe_code)]

mod args;
mod cluster_failure;
mod commands;
mod exit;
mod failure;
mod interrupt;
mod output;
mod progress;
mod study_progress;

use clap::Parser;

use crate::args::{Bench, Cli, Command};
use crate::exit::Exit;

fn main() -> std::process::ExitCode {
    let Cli { command } = Cli::parse();
    let result = match command {
        Command::Train(args) => commands::train::run(&args),
        Command::Launch(args) => commands::launch::run(&args),
        Command::Coordinator(args) => commands::coordinator::run(&args),
        Command::Worker(args) => commands::worker::run(&args),
        Command::Run(command) => commands::run::run(&command),
        Command::WorkerList(args) => commands::run::workers(&args),
        Command::Eval(args) => commands::eval::run(&args),
        Command::Compare(args) => commands::compare::run(&args),
        Command::Frechet(args) => commands::frechet::run(&args),
        Command::Score(args) => commands::score::run(&args),
        Command::Predict(args) => commands::predict::run(&args),
        Command::Sample(args) => commands::sample::run(&args),
        Command::Plot(args) => commands::plot::run(&args),
        Command::Inspect(args) => commands::inspect::run(&args),
        Command::Plan(args) => commands::plan::run(&args),
        Command::Bench { what: Bench::Step(args) } => commands::bench::step(&args),
        Command::Study(study) => commands::study::run(&study),
        Command::Doctor(args) => Ok(commands::doctor::run(&args)),
        Command::Completions(args) => Ok(commands::completions::run(&args)),
    };
    let exit = result.unwrap_or_else(|failure| {
        output::err(&failure.render());
        failure.exit
    });
    exit.into()
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}
