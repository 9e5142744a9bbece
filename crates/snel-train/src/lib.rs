//! Trainer, checkpoints, run folder, evaluation, metrics, plots, report.

#![forbid(unsafe_code)]

pub mod bench;
pub mod checkpoint;
pub mod compare;
pub mod compute;
pub mod conditional;
pub mod config;
pub mod container;
pub mod cost;
pub mod divergence;
mod estimate;
pub mod eval_report;
pub mod evaluate;
pub mod file;
pub mod finish;
pub mod frechet;
pub mod in_process;
mod memory;
pub mod metrics;
pub mod model_file;
mod pace;
pub mod pictures;
pub mod plot;
pub mod report;
pub mod run;
pub mod run_folder;
pub mod run_report;
pub mod sample;
pub mod score;
pub mod setup;
pub mod sink;
pub mod store;
pub mod study;
pub mod summary;
pub mod trainee;
pub mod trainer;
pub mod vae;
pub mod watch;
