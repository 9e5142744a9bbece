//! The one TOML file that describes a run.
//!
//! [`Config::load`] reads the file, lays `--set KEY=VALUE` overrides over it, checks everything
//! and writes out every default, so that [`Config::to_toml`] is the whole truth about a run.
//!
//! Invariants
//! 1. A loaded config is resolved: parsing its `to_toml` gives an equal config, from any folder.
//! 2. An unknown key never passes, and a key without effect never passes.
//! 3. All faults are reported, not the first; only a syntax error hides what follows it.
//!
//! Fails with [`ConfigError`], whose faults hold key, place, what was found and what is allowed.
//!
//! Reading path: the groups (`data`, `model`, `proposal`, `objective`, `training`, `reporting`) are structs
//! with their defaults and rules; `load` runs the stages: `document` is the text as a tree with
//! places, `read` takes it to the structs (by way of `tree` and `refusal`), `check` collects
//! broken rules, `fault` and `location` make the messages.

mod check;
mod data;
mod document;
mod error;
mod fault;
mod latent;
mod load;
mod location;
mod model;
mod objective;
mod proposal;
mod read;
mod refusal;
mod reporting;
mod suggest;
#[cfg(test)]
mod tests;
mod training;
mod tree;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use data::{Binarise, Column, Data, Source, Toy};
pub use error::ConfigError;
pub use fault::{Fault, Location, Problem};
pub use latent::{Latent, Likelihood, Prior};
pub use model::{Activation, Base, Energy, Model, ModelKind};
pub use objective::{Chains, Kernel, Objective, ObjectiveKind, Start};
pub use proposal::{Covariance, MixtureLoss, Network, Proposal, ProposalKind, Shape};
pub use reporting::{Cluster, Eval, Output, Split};
pub use training::{Algorithm, Optim, Schedule, Train};

/// Everything that describes a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Name of the run; part of a path. Default: the file's name without its extension.
    pub name: String,
    /// Seed of all randomness.
    pub seed: u32,
    /// Where the rows come from.
    pub data: Data,
    /// The energy and its base density.
    pub model: Model,
    /// The density that samples are drawn from.
    pub proposal: Proposal,
    /// What is minimised.
    pub objective: Objective,
    /// How a step moves.
    pub optim: Optim,
    /// The loop.
    pub train: Train,
    /// The final evaluation.
    pub eval: Eval,
    /// Where the run is written.
    pub output: Output,
    /// A run of several workers.
    pub cluster: Cluster,
}

impl Config {
    /// The resolved config as TOML: every default written out, keys in a fixed order.
    ///
    /// Parses back to an equal config. Should a config made by hand hold what TOML cannot (a
    /// path that is not UTF-8), the text is a comment that says so, and names no data.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).unwrap_or_else(|error| format!("# not writable as TOML: {error}\n"))
    }

    /// The run folder; a relative one is meant from the working directory.
    pub fn run_folder(&self) -> PathBuf {
        let default = || PathBuf::from("runs").join(&self.name);
        self.output.dir.clone().unwrap_or_else(default)
    }
}
