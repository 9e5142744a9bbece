//! stub
#![allow(missing_docs)]
use snel_core::engine::Engine;
use snel_core::problem::Model;
pub struct R {
    pub points: Vec<f32>,
    pub ess: f64,
    pub ess_fraction: f64,
    pub unique: u64,
    pub warnings: Vec<String>,
    pub pool: u64,
}
pub struct Langevin {
    pub steps: u32,
    pub step_size: Option<f64>,
}
pub struct Refined {
    pub acceptance: f64,
    pub step_size: f64,
}
#[derive(Debug, thiserror::Error)]
#[error("stub")]
pub struct SampleError;
impl SampleError {
    pub fn hint(&self) -> Option<String> {
        None
    }
}
pub fn default_pool(n: u64) -> u64 {
    (100 * n).max(100_000)
}
pub fn resample(_: &dyn Engine, _: usize, _: u32, _: u64, _: u64) -> Result<R, SampleError> {
    Err(SampleError)
}
pub fn refine(_: &Model, _: &[f32], _: u32, _: &mut [f32], _: &Langevin) -> Refined {
    Refined { acceptance: 0.0, step_size: 0.0 }
}
