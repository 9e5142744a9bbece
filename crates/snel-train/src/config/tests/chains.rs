//! The keys of chains: their defaults, and what does not go together.

use super::faults;
use crate::config::{Config, Kernel, Problem, Start};

const TOY: &str = "[data]\ntoy = \"rings\"\n";

fn parse(overrides: &[&str]) -> Config {
    let overrides: Vec<String> = overrides.iter().map(ToString::to_string).collect();
    Config::parse(TOY, "x.toml", &overrides).unwrap()
}

#[test]
fn defaults_are_written_out() {
    let objective = parse(&["objective.kind=mcmc"]).objective;
    assert_eq!((objective.start, objective.kernel), (Some(Start::Persistent), Some(Kernel::Mala)));
    assert_eq!((objective.steps, objective.step_size), (Some(20), Some(0.5)));
    assert_eq!((objective.adapt, objective.leapfrog, objective.noise), (Some(true), None, None));
    assert_eq!((objective.buffer, objective.reinit), (Some(1024), Some(0.05)));
    let objective =
        parse(&["objective={ kind = 'mcmc', start = 'data', kernel = 'ula' }"]).objective;
    assert_eq!((objective.adapt, objective.noise, objective.buffer), (None, Some(1.0), None));
}

#[test]
fn resolved_configs_survive_writing_and_parsing() {
    for set in [
        "objective={ kind = 'mcmc', buffer = 10240, reinit = 0 }",
        "objective={ kind = 'mcmc', kernel = 'hmc', leapfrog = 3, adapt = false }",
        "objective={ kind = 'mcmc', start = 'proposal', kernel = 'ula', noise = 0.01 }",
    ] {
        let config = parse(&[set]);
        let written = config.to_toml();
        let again = Config::parse(&written, "y.toml", &[]);
        assert_eq!(again.map_err(|e| e.to_string()), Ok(config), "{written}");
    }
}

/// `KEY=VALUE` that is the one fault, at that key.
#[test]
fn what_does_not_go_together_is_refused() {
    let regression = "[data]\ntoy = \"patchwork\"\n[model]\nkind = \"conditional\"\n";
    let boxed = "[data]\ntoy = \"rings\"\n[proposal]\nkind = \"uniform\"\n";
    for (text, set, key) in [
        (TOY, "objective.steps=5", "objective.steps"),
        (TOY, "objective={ kind = 'nce', start = 'data' }", "objective.start"),
        (TOY, "objective={ kind = 'mcmc', steps = 0 }", "objective.steps"),
        (TOY, "objective={ kind = 'mcmc', step_size = 0 }", "objective.step_size"),
        (TOY, "objective={ kind = 'mcmc', kernel = 'gibbs' }", "objective.kernel"),
        (TOY, "objective={ kind = 'mcmc', leapfrog = 2 }", "objective.leapfrog"),
        (TOY, "objective={ kind = 'mcmc', noise = 0.5 }", "objective.noise"),
        (TOY, "objective={ kind = 'mcmc', kernel = 'ula', adapt = true }", "objective.adapt"),
        (TOY, "objective={ kind = 'mcmc', start = 'data', buffer = 1024 }", "objective.buffer"),
        (TOY, "objective={ kind = 'mcmc', start = 'data', reinit = 0.1 }", "objective.reinit"),
        (TOY, "objective={ kind = 'mcmc', reinit = 2 }", "objective.reinit"),
        (TOY, "objective={ kind = 'mcmc', buffer = 1500 }", "objective.buffer"),
        (regression, "objective.kind=mcmc", "objective.kind"),
        (TOY, "objective={ kind = 'mcmc', posterior_steps = 3 }", "objective.posterior_steps"),
        (boxed, "objective={ kind = 'mcmc', kernel = 'ula' }", "objective.kernel"),
    ] {
        let found = faults(text, &[set]);
        let keys: Vec<&str> = found.iter().map(|fault| fault.key.as_str()).collect();
        assert_eq!(keys, [key], "{set}: {found:?}");
        assert!(!matches!(found[0].problem, Problem::Syntax { .. }), "{set}");
    }
}
