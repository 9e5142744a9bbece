//! Trainer, checkpoints, run folder, evaluation, metrics, plots, report.

pub mod checkpoint;
pub mod config;
pub mod container;
pub mod divergence;
pub mod evaluate;
pub mod file;
pub mod metrics;
pub mod model_file;
pub mod plot;
pub mod report;
pub mod run;
pub mod run_folder;
pub mod sample;
pub mod setup;
pub mod sink;
pub mod trainer;
