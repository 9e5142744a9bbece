//! One file a command.

pub(crate) mod bench;
pub(crate) mod compare;
pub(crate) mod completions;
pub(crate) mod coordinator;
pub(crate) mod doctor;
pub(crate) mod eval;
pub(crate) mod frechet;
pub(crate) mod inspect;
pub(crate) mod launch;
pub(crate) mod plan;
pub(crate) mod plot;
pub(crate) mod predict;
mod render;
pub(crate) mod run;
pub(crate) mod sample;
pub(crate) mod score;
pub(crate) mod study;
mod summary;
pub(crate) mod train;
pub(crate) mod worker;
