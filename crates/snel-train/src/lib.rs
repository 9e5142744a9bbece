//! Trainer, checkpoints, run folder, evaluation, metrics, plots, report.

pub mod plot;
pub mod report;
pub mod sink;
