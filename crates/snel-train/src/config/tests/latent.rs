//! Variational auto-encoders: their defaults, and what does not go with them.

use super::faults;
use crate::config::{Config, Likelihood, Prior, Problem};

const IMAGES: &str = "data = { path = 'a.idx', scale = 255, binarise = 'fixed' }\n\
                      model.kind = 'vae'\n";

fn parse(overrides: &[&str]) -> Config {
    let overrides: Vec<String> = overrides.iter().map(ToString::to_string).collect();
    Config::parse(IMAGES, "x.toml", &overrides).unwrap()
}

#[test]
fn defaults_are_those_of_its_kind() {
    let config = parse(&[]);
    let latents = config.model.latents();
    assert_eq!((latents.latent, &latents.encoder[..]), (16, &[400, 400][..]));
    assert_eq!((latents.likelihood, latents.prior), (Likelihood::Bernoulli, Prior::Energy));
    assert!(!latents.freeze && !config.data.standardise);
    assert_eq!((config.train.samples, config.train.posterior_samples), (512, Some(1)));
    assert_eq!(config.eval.posterior_samples, Some(100));
    let gaussian = Config::parse(
        "data.path = 'a.csv'",
        "x.toml",
        &["model={ kind = 'vae', likelihood = 'gaussian' }".to_owned()],
    );
    assert!(gaussian.unwrap().data.standardise);
    assert!(parse(&["model.start=runs/a"]).model.latents().freeze);
}

#[test]
fn resolved_configs_survive_writing_and_parsing() {
    for config in [
        parse(&[]),
        parse(&["model={ kind = 'vae', prior = 'base', components = 10, encoder = [] }"]),
        parse(&["model={ kind = 'vae', energy = 'quadratic', activation = 'relu' }"]),
        parse(&["objective={ kind = 'mcmc', kernel = 'ula', posterior_steps = 40 }"]),
        parse(&["model.start=runs/a", "model.freeze=false", "train.posterior_samples=5"]),
        parse(&["data={ train = 'a.idx', valid_rows = 10, test = 'b.idx' }"]),
        parse(&[
            "data={ toy = 'rings' }",
            "model={ kind = 'vae', likelihood = 'gaussian', deviation = 0.3, residual = true }",
        ]),
    ] {
        let written = config.to_toml();
        let again = Config::parse(&written, "y.toml", &[]);
        assert_eq!(again.map_err(|e| e.to_string()), Ok(config), "{written}");
    }
}

/// `KEY=VALUE` that is the one fault.
#[test]
fn what_does_not_go_together_is_refused() {
    let toy = "data.toy = 'rings'";
    let chains = &format!("{IMAGES}objective.kind = 'mcmc'\n");
    for (text, set) in [
        (IMAGES, "model.deviation=0.3"),
        (IMAGES, "model.freeze=true"),
        (IMAGES, "model.base=none"),
        (IMAGES, "model.features=[3]"),
        (IMAGES, "model.latent=0"),
        (IMAGES, "model.encoder=[0]"),
        (IMAGES, "objective.kind=nce"),
        (IMAGES, "objective.kind=is-mle"),
        (IMAGES, "objective.posterior_steps=3"),
        (IMAGES, "objective={ kind = 'mcmc', posterior_step_size = 0 }"),
        (IMAGES, "objective={ kind = 'mcmc', start = 'data' }"),
        (chains, "model={ kind = 'vae', prior = 'base' }"),
        (IMAGES, "proposal.kind=student"),
        (IMAGES, "data.standardise=true"),
        (IMAGES, "train.posterior_samples=0"),
        (IMAGES, "model={ kind = 'vae', prior = 'base', width = 3 }"),
        (IMAGES, "model={ kind = 'vae', prior = 'base', start = 'a' }"),
        (IMAGES, "model={ kind = 'vae', likelihood = 'gaussian' }"),
        (IMAGES, "data={ train = 'a.idx', valid = 'c.idx', valid_rows = 10, test = 'b.idx' }"),
        (toy, "data={ toy = 'rings', scale = 2, standardise = true }"),
        (toy, "data.binarise='fixed'"),
        (toy, "data.valid_rows=10"),
        (toy, "model.latent=2"),
        (toy, "model.start='a'"),
        (toy, "train.posterior_samples=2"),
        (toy, "optim.energy_lr=1e-3"),
        (IMAGES, "optim.energy_lr=0"),
        (toy, "eval.posterior_samples=2"),
    ] {
        let found = faults(text, &[set]);
        assert_eq!(found.len(), 1, "{set}: {found:?}");
        assert!(!matches!(found[0].problem, Problem::Syntax { .. }), "{set}");
    }
}
