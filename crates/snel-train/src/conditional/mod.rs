//! Conditional models: likelihood, calibration, prediction, pictures.
//!
//! Everything about `y` at an `x` comes from `M` proposal samples with their weights, which belong
//! to that `x` alone: bounds of `log p(y|x)` (`evaluate`), and the distribution function of each
//! target (`distribution`). Where `y` has one value, quadrature checks the normaliser
//! (`quadrature`).

mod distribution;
mod evaluate;
mod page;
mod pictures;
mod predict;
mod quadrature;
mod report;
mod rows;

pub use distribution::Distribution;
pub use evaluate::{
    ConditionalEvaluation, Coverage, TargetEvaluation, evaluate, first_b, validate,
};
pub use page::page;
pub use pictures::pictures;
pub use predict::{PredictError, PredictOptions, PredictSummary, predict_file};
pub use quadrature::{Quadrature, Truth, quadrature};
pub use report::{ConditionalReport, evaluate_run};

#[cfg(test)]
mod tests;
