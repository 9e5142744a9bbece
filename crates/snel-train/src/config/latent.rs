//! The keys of `model.kind = "vae"`: networks from rows to z and back, and the prior of z.

use serde::{Deserialize, Serialize};

use super::check::Check;
use super::model::{Base, Model, ModelKind};
use super::objective::Start;
use super::{Binarise, Config, ObjectiveKind, Proposal};

const DEFAULT_LATENT: usize = 16;
const DEFAULT_WIDTHS: [usize; 2] = [400, 400];
/// Samples of z cost little beside rows, which go through encoder and decoder.
const DEFAULT_SAMPLES: u64 = 512;
/// An energy that learns faster than the encoder digs holes where the base has no samples, and the
/// encoder then moves its rows there.
const DEFAULT_ENERGY_LR_RATIO: f64 = 0.05;
const DEFAULT_POSTERIOR_SAMPLES: u64 = 1;
const DEFAULT_EVAL_POSTERIOR_SAMPLES: u64 = 100;

/// Family of p(x|z).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Likelihood {
    /// Values of 0 or 1; between them, the probability of a 1.
    #[default]
    Bernoulli,
    /// Values with one standard deviation for all.
    Gaussian,
}

/// The prior of z.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Prior {
    /// An energy tilts the base density.
    #[default]
    Energy,
    /// The base density alone: a plain variational auto-encoder.
    Base,
}

/// The keys of a vae, defaults filled in.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "each field is the key of the same name in `Model`")]
pub struct Latent {
    pub latent: usize,
    pub encoder: Vec<usize>,
    pub decoder: Vec<usize>,
    pub likelihood: Likelihood,
    pub prior: Prior,
    pub freeze: bool,
}

impl Latent {
    pub(super) fn of(model: &Model) -> Self {
        let widths =
            |widths: &Option<Vec<usize>>| widths.clone().unwrap_or_else(|| DEFAULT_WIDTHS.to_vec());
        Self {
            latent: model.latent.unwrap_or(DEFAULT_LATENT),
            encoder: widths(&model.encoder),
            decoder: widths(&model.decoder),
            likelihood: model.likelihood.unwrap_or_default(),
            prior: model.prior.unwrap_or_default(),
            freeze: model.freeze.unwrap_or(model.start.is_some()),
        }
    }

    /// Writes the defaults out.
    pub(super) fn write_out(self, model: &mut Model) {
        let Self { latent, encoder, decoder, likelihood, prior, freeze } = self;
        model.latent = Some(latent);
        model.encoder = Some(encoder);
        model.decoder = Some(decoder);
        model.likelihood = Some(likelihood);
        model.prior = Some(prior);
        if model.start.is_some() {
            model.freeze = Some(freeze);
        }
    }

    pub(super) fn check_ranges(model: &Model, check: &mut Check<'_>) {
        check.count("model.latent", model.latent, 1..=65_536);
        check.count("model.components", model.components, 1..=1024);
        let sound = model.deviation.is_none_or(|sd| (1e-6..=1e6).contains(&sd));
        check.that(sound, "model.deviation", "a number from 1e-6 to 1e6");
    }

    /// Rules between keys of `[model]`; they assume that each key alone could be read.
    pub(super) fn check_keys(model: &Model, check: &mut Check<'_>) {
        if model.kind != ModelKind::Vae {
            for name in [
                "latent",
                "encoder",
                "decoder",
                "likelihood",
                "deviation",
                "prior",
                "components",
                "start",
                "freeze",
            ] {
                let key = format!("model.{name}");
                check.unused(&key, "model.kind", "allowed with kind = \"vae\"");
            }
            return;
        }
        let latent = Self::of(model);
        if latent.likelihood != Likelihood::Gaussian {
            let allowed = "allowed with likelihood = \"gaussian\"";
            check.unused("model.deviation", "model.likelihood", allowed);
        }
        if model.start.is_none() {
            let holds = !latent.freeze;
            check.that(holds, "model.freeze", "false, as there is no `start`");
        }
        let trains = latent.prior == Prior::Energy || !latent.freeze;
        check.that(trains, "model.prior", "\"energy\", as nothing else would be trained");
        let allowed = "\"proposal\": the prior of a vae has a base of its own, see `components`";
        check.that(model.base == Base::Proposal, "model.base", allowed);
    }
}

/// Defaults of other groups that hang on the kind; `written` says whether a key was.
pub(super) fn vae_defaults(config: &mut Config, written: impl Fn(&str) -> bool) {
    let bernoulli = config.model.latents().likelihood == Likelihood::Bernoulli;
    if bernoulli && !written("data.standardise") {
        config.data.standardise = false;
    }
    if !written("train.samples") {
        config.train.samples = DEFAULT_SAMPLES;
    }
    let energy_lr = DEFAULT_ENERGY_LR_RATIO * config.optim.lr;
    config.optim.energy_lr.get_or_insert(energy_lr);
    config.train.posterior_samples.get_or_insert(DEFAULT_POSTERIOR_SAMPLES);
    config.eval.posterior_samples.get_or_insert(DEFAULT_EVAL_POSTERIOR_SAMPLES);
    if config.objective.kind == ObjectiveKind::Mcmc {
        let (steps, step_size) = config.objective.posterior();
        config.objective.posterior_steps = Some(steps);
        config.objective.posterior_step_size = Some(step_size);
    }
}

/// Rules between the keys of a vae and other groups.
pub(super) fn vae_rules(config: &Config, check: &mut Check<'_>) {
    let Config { data, model, proposal, objective, .. } = config;
    if model.kind != ModelKind::Vae {
        for key in [
            "data.binarise",
            "optim.energy_lr",
            "train.posterior_samples",
            "eval.posterior_samples",
            "objective.posterior_steps",
            "objective.posterior_step_size",
        ] {
            check.unused(key, "model.kind", "allowed with kind = \"vae\"");
        }
        return;
    }
    if model.latents().likelihood == Likelihood::Bernoulli {
        let allowed = "false, as a bernoulli likelihood takes values from 0 to 1";
        check.that(!data.standardise || data.scale.is_some(), "data.standardise", allowed);
    } else {
        let allowed = "left out: a gaussian likelihood takes values of any size";
        check.that(data.binarise != Some(Binarise::Fixed), "data.binarise", allowed);
    }
    let allowed = "\"snl\" or \"mcmc\": with the others the bound of a vae would not be below its \
                   likelihood";
    let sound = matches!(objective.kind, ObjectiveKind::Snl | ObjectiveKind::Mcmc);
    check.that(sound, "objective.kind", allowed);
    if objective.kind == ObjectiveKind::Mcmc {
        let allowed = "\"proposal\" or \"persistent\": chains of z have no data rows";
        check.that(objective.start != Some(Start::Data), "objective.start", allowed);
        let allowed = "\"energy\", as chains move in it";
        check.that(model.latents().prior == Prior::Energy, "model.prior", allowed);
    }
    let resolved = |mut proposal: Proposal| {
        proposal.resolve();
        proposal
    };
    let allowed = "left out, as samples of z are drawn from its base density";
    let default = resolved(proposal.clone()) == resolved(Proposal::default());
    check.that(default, "proposal.kind", allowed);
}
