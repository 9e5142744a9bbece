//! Conditional models: their defaults, and what does not go with them.

use super::faults;
use crate::config::{Config, MixtureLoss, ModelKind, Problem};

const TOY: &str = "[data]\ntoy = \"patchwork\"\n[model]\nkind = \"conditional\"\n";

fn parse(overrides: &[&str]) -> Config {
    let overrides: Vec<String> = overrides.iter().map(ToString::to_string).collect();
    Config::parse(TOY, "x.toml", &overrides).unwrap()
}

#[test]
fn samples_are_those_of_a_row() {
    let config = parse(&[]);
    assert_eq!(config.model.kind, ModelKind::Conditional);
    let counts = (config.train.samples, config.train.valid_samples, config.eval.samples);
    assert_eq!(counts, (64, 256, 4096));
    assert_eq!(config.model.features, Some(vec![64, 64]));
    assert_eq!(config.model.log_normaliser, Some(vec![32]));
    let config = parse(&["train.samples=7", "eval.samples=9"]);
    assert_eq!((config.train.samples, config.eval.samples), (7, 9));
}

#[test]
fn resolved_configs_survive_writing_and_parsing() {
    let mdn = parse(&["proposal={ kind = 'mdn', defensive = 0.1, widths = [] }"]);
    let network = mdn.proposal.network();
    assert_eq!((network.components, network.loss), (8, MixtureLoss::Both));
    let file = Config::parse(
        "data = { path = 'a.csv', targets = ['y', 3] }\nmodel.kind = 'conditional'",
        "x.toml",
        &[],
    );
    for config in [
        parse(&[]),
        mdn,
        parse(&["proposal.kind=observed", "model.base=none"]),
        parse(&[
            "model={ kind = 'conditional', features = [], log_normaliser = [], widths = [3] }",
        ]),
        file.unwrap(),
    ] {
        let written = config.to_toml();
        let again = Config::parse(&written, "y.toml", &[]);
        assert_eq!(again.map_err(|e| e.to_string()), Ok(config), "{written}");
    }
}

/// `KEY=VALUE` that is the one fault.
#[test]
fn what_does_not_go_together_is_refused() {
    for (text, set) in [
        (TOY, "model.energy=quadratic"),
        (TOY, "model.residual=true"),
        (TOY, "model.features=[0]"),
        (TOY, "model.base.kind=mdn"),
        (TOY, "data.toy=rings"),
        (TOY, "data.targets=[1]"),
        (TOY, "proposal.kind=observed"),
        (TOY, "proposal.widths=[3]"),
        (TOY, "proposal={ kind = 'mdn', scale = 2 }"),
        (TOY, "proposal={ kind = 'mdn', components = 257 }"),
        (TOY, "proposal={ kind = 'mdn', loss = 'mle' }"),
        ("data.path = 'a.csv'", "model.kind=conditional"),
        ("data.path = 'a.csv'", "data.targets=['y']"),
        ("data.path = 'a.csv'", "model.features=[3]"),
        ("data.path = 'a.csv'", "proposal.kind=mdn"),
    ] {
        let found = faults(text, &[set]);
        assert_eq!(found.len(), 1, "{set}: {found:?}");
        assert!(!matches!(found[0].problem, Problem::Syntax { .. }), "{set}");
    }
}
