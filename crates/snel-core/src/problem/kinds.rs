//! Which kind of model a file holds: each has a field that no other has, and what is wrong with the
//! rest is said of that kind.

use serde::de::{DeserializeOwned, Error};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::AnyModel;

impl<'de> Deserialize<'de> for AnyModel {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        let has = |field: &str| value.get(field).is_some();
        if has("encoder") {
            read(value, "vae").map(Self::Vae)
        } else if has("targets") {
            read(value, "conditional").map(Self::Conditional)
        } else {
            read(value, "density").map(Self::Density)
        }
    }
}

fn read<T: DeserializeOwned, E: Error>(value: Value, kind: &str) -> Result<T, E> {
    T::deserialize(value).map_err(|error| E::custom(format!("as a {kind} model, {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is wrong is named, and the kind that it was taken for.
    #[test]
    fn a_damaged_model_says_what_is_wrong_with_it() {
        for (text, words) in [
            (r#"{"encoder":[3],"latent":2}"#, ["as a vae model", "latent"]),
            (
                r#"{"targets":1,"inputs":1,"activation":"swish"}"#,
                ["as a conditional model", "swish"],
            ),
            (r#"{"energy":{"kind":"mlp"}}"#, ["as a density model", "dim"]),
            ("{}", ["as a density model", "missing field"]),
        ] {
            let error = serde_json::from_str::<AnyModel>(text).unwrap_err().to_string();
            assert!(words.iter().all(|word| error.contains(word)), "{text}: {error}");
        }
    }
}
