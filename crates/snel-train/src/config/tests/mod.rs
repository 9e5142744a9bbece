//! Messages word for word, every rule at its edge, the round trip, and hostile texts.

mod chains;
mod conditional;
mod fuzz;
mod latent;
mod load;
mod messages;
mod round_trip;
mod rules;
mod words;

use super::{Config, ConfigError, Fault};

/// The faults of a text under overrides; none if it is accepted.
fn faults(text: &str, overrides: &[&str]) -> Vec<Fault> {
    let overrides: Vec<String> = overrides.iter().map(ToString::to_string).collect();
    match Config::parse(text, "power.toml", &overrides) {
        Ok(_) => Vec::new(),
        Err(ConfigError::Invalid { faults, .. }) => faults,
        Err(other) => panic!("parsing reads no file, yet: {other}"),
    }
}
