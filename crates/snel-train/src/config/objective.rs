//! `[objective]`: what is minimised, and the chains of those that have them.

use serde::{Deserialize, Serialize};

use super::check::{Check, MOST};

const DEFAULT_MOVES: u32 = 20;
/// Posteriors of images are narrow.
const DEFAULT_POSTERIOR_STEP_SIZE: f64 = 0.1;
const DEFAULT_LEAPFROG: u32 = 5;
const DEFAULT_REINIT: f64 = 0.05;
/// More moves than any step has time for; their draws are numbered in 32 bits.
const MOST_MOVES: u64 = 100_000;
const MOST_LEAPFROG: u64 = 10_000;
/// Points of a chunk of persistent chains: their values are counted in 32 bits.
const MOST_CHUNK: usize = 1 << 16;
/// The keys that only chains have.
const OF_CHAINS: [&str; 11] = [
    "start",
    "kernel",
    "steps",
    "step_size",
    "leapfrog",
    "noise",
    "adapt",
    "buffer",
    "reinit",
    "posterior_steps",
    "posterior_step_size",
];

/// What is minimised. Keys that the kind, the kernel or the start do not use are unset.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Objective {
    /// The objective's name.
    pub kind: ObjectiveKind,
    /// Where chains start in each step. Default persistent; mcmc only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start: Option<Start>,
    /// How chains move. Default mala; mcmc only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kernel: Option<Kernel>,
    /// Moves of each chain in a step. Default 20; mcmc only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub steps: Option<u32>,
    /// Standard deviation of the noise of a move, in the model's units; of hmc the leapfrog step.
    /// Above 0, at most 1000; default 0.1 for ula, 0.5 for mala, 0.3 for hmc; mcmc only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step_size: Option<f64>,
    /// Leapfrog steps of a move. Default 5; hmc only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub leapfrog: Option<u32>,
    /// Factor of the noise. From 0, at most 10, default 1; ula only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub noise: Option<f64>,
    /// Adapt the step size to the acceptance. Default true; mala and hmc only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub adapt: Option<bool>,
    /// Chains kept, a multiple of `train.samples`. Default `train.samples`; persistent only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub buffer: Option<u64>,
    /// Probability that a chain starts anew at the proposal. From 0 to 1, default 0.05; persistent only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reinit: Option<f64>,
    /// Moves of the chain of each posterior in a step. Default 20; mcmc of a vae only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub posterior_steps: Option<u32>,
    /// `step_size` of these chains, which is not adapted. Above 0, at most 1000; default 0.1; mcmc of a vae
    /// only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub posterior_step_size: Option<f64>,
}

impl Default for Objective {
    fn default() -> Self {
        Self {
            kind: ObjectiveKind::Snl,
            start: None,
            kernel: None,
            steps: None,
            step_size: None,
            leapfrog: None,
            noise: None,
            adapt: None,
            buffer: None,
            reinit: None,
            posterior_steps: None,
            posterior_step_size: None,
        }
    }
}

/// The objectives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ObjectiveKind {
    /// Self-normalised likelihood.
    Snl,
    /// Maximum likelihood with an importance-sampled normaliser.
    IsMle,
    /// Noise-contrastive estimation (Gutmann & Hyvärinen 2010).
    Nce,
    /// Maximum likelihood with the states of Markov chains.
    Mcmc,
}

/// Where chains start in each step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Start {
    /// At proposal samples.
    Proposal,
    /// At the rows of the minibatch: contrastive divergence (Hinton 2002).
    Data,
    /// Where they were left (Tieleman 2008).
    Persistent,
}

/// How chains move.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kernel {
    /// Unadjusted Langevin.
    Ula,
    /// Metropolis-adjusted Langevin.
    Mala,
    /// Hamiltonian Monte Carlo.
    Hmc,
}

/// The settings of chains, defaults filled in.
#[derive(Clone, Copy, Debug, PartialEq)]
#[expect(missing_docs, reason = "each field is the key of the same name in `Objective`")]
pub struct Chains {
    pub start: Start,
    pub kernel: Kernel,
    pub steps: u32,
    pub step_size: f64,
    pub leapfrog: u32,
    pub noise: f64,
    pub adapt: bool,
    pub buffer: u64,
    pub reinit: f64,
}

impl Objective {
    /// The chains of mcmc; `samples` is `train.samples`.
    pub fn chains(&self, samples: u64) -> Chains {
        let kernel = self.kernel.unwrap_or(Kernel::Mala);
        let usual = match kernel {
            Kernel::Ula => 0.1,
            Kernel::Mala => 0.5,
            Kernel::Hmc => 0.3,
        };
        Chains {
            start: self.start.unwrap_or(Start::Persistent),
            kernel,
            steps: self.steps.unwrap_or(DEFAULT_MOVES),
            step_size: self.step_size.unwrap_or(usual),
            leapfrog: self.leapfrog.unwrap_or(DEFAULT_LEAPFROG),
            noise: self.noise.unwrap_or(1.0),
            adapt: kernel != Kernel::Ula && self.adapt.unwrap_or(true),
            buffer: self.buffer.unwrap_or(samples),
            reinit: self.reinit.unwrap_or(DEFAULT_REINIT),
        }
    }

    /// Moves and step size of the chains of posteriors.
    pub fn posterior(&self) -> (u32, f64) {
        (
            self.posterior_steps.unwrap_or(DEFAULT_MOVES),
            self.posterior_step_size.unwrap_or(DEFAULT_POSTERIOR_STEP_SIZE),
        )
    }

    /// Writes out the defaults that hang on other keys.
    pub(super) fn resolve(&mut self, samples: u64) {
        if self.kind != ObjectiveKind::Mcmc {
            return;
        }
        let Chains { start, kernel, steps, step_size, leapfrog, noise, adapt, buffer, reinit } =
            self.chains(samples);
        self.start = Some(start);
        self.kernel = Some(kernel);
        self.steps = Some(steps);
        self.step_size = Some(step_size);
        self.leapfrog = (kernel == Kernel::Hmc).then_some(leapfrog);
        self.noise = (kernel == Kernel::Ula).then_some(noise);
        self.adapt = (kernel != Kernel::Ula).then_some(adapt);
        self.buffer = (start == Start::Persistent).then_some(buffer);
        self.reinit = (start == Start::Persistent).then_some(reinit);
    }

    pub(super) fn check(&self, check: &mut Check<'_>) {
        check.count("objective.steps", self.steps, 1..=MOST_MOVES);
        check.count("objective.leapfrog", self.leapfrog, 1..=MOST_LEAPFROG);
        check.count("objective.buffer", self.buffer, 1..=MOST);
        check.count("objective.posterior_steps", self.posterior_steps, 1..=MOST_MOVES);
        let size = |v: Option<f64>| v.is_none_or(|v| v > 0.0 && v <= 1e3);
        let allowed = "a number above 0, at most 1000";
        check.that(size(self.step_size), "objective.step_size", allowed);
        check.that(size(self.posterior_step_size), "objective.posterior_step_size", allowed);
        let noise = self.noise.is_none_or(|v| (0.0..=10.0).contains(&v));
        check.that(noise, "objective.noise", "a number from 0 to 10");
        let reinit = self.reinit.is_none_or(|v| (0.0..=1.0).contains(&v));
        check.that(reinit, "objective.reinit", "a number from 0 to 1");
        if !check.clean("objective") {
            return;
        }
        if self.kind != ObjectiveKind::Mcmc {
            for key in OF_CHAINS.map(|name| format!("objective.{name}")) {
                check.unused(&key, "objective.kind", "allowed with kind = \"mcmc\"");
            }
            return;
        }
        let Chains { start, kernel, .. } = self.chains(1);
        if kernel != Kernel::Hmc {
            let allowed = "allowed with kernel = \"hmc\"";
            check.unused("objective.leapfrog", "objective.kernel", allowed);
        }
        if kernel == Kernel::Ula {
            let allowed = "allowed with kernel = \"mala\" or \"hmc\"";
            check.unused("objective.adapt", "objective.kernel", allowed);
        } else {
            let allowed = "allowed with kernel = \"ula\"";
            check.unused("objective.noise", "objective.kernel", allowed);
        }
        if start != Start::Persistent {
            for key in ["objective.buffer", "objective.reinit"] {
                let allowed = "allowed with start = \"persistent\"";
                check.unused(key, "objective.start", allowed);
            }
        }
    }

    /// Rules between chains and the steps of the run, once both are sound.
    pub(super) fn check_chains(&self, samples: u64, chunk: Option<usize>, check: &mut Check<'_>) {
        let Chains { start, buffer, .. } = self.chains(samples);
        if self.kind != ObjectiveKind::Mcmc || start != Start::Persistent {
            return;
        }
        let allowed = format!("a multiple of `train.samples`, which is {samples}");
        check.that(buffer.is_multiple_of(samples), "objective.buffer", &allowed);
        let allowed = format!("at most {MOST_CHUNK}, as chains persist");
        check.that(chunk.is_none_or(|chunk| chunk <= MOST_CHUNK), "train.chunk", &allowed);
    }
}
