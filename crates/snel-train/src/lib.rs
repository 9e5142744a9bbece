//! Trainer, checkpoints, run folder, evaluation, metrics, plots, report.

pub mod plot;
