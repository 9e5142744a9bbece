//! `[model]`: the kind of model, the energy function and the base density that it tilts.

use std::path::PathBuf;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::check::Check;
use super::latent::{Latent, Likelihood, Prior};
use super::proposal::Proposal;

const DEFAULT_DEPTH: usize = 3;
const DEFAULT_WIDTH: usize = 128;
const DEFAULT_FEATURES: [usize; 2] = [64, 64];
const DEFAULT_LOG_NORMALISER: [usize; 1] = [32];
const MOST_LAYERS: usize = 64;
const MOST_UNITS: usize = 65_536;

/// The energy `E(x)` and the base density `d(x)`. Keys that the energy does not use are unset;
/// see [`Model::hidden_widths`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Model {
    /// Whether columns are modelled together, or some of them given the others.
    pub kind: ModelKind,
    /// The family of energies.
    pub energy: Energy,
    /// Hidden layers. Default 3; mlp only, instead of `widths`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub depth: Option<usize>,
    /// Units of every hidden layer. Default 128; mlp only, instead of `widths`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub width: Option<usize>,
    /// Units of each hidden layer, first to last; mlp only, instead of `depth` and `width`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub widths: Option<Vec<usize>>,
    /// Function after each hidden layer. Default silu; mlp only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub activation: Option<Activation>,
    /// Add a hidden layer's input to its output. Default false; mlp only, needs equal widths.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub residual: Option<bool>,
    /// Units of each layer that makes features of the inputs; may be none. Default `[64, 64]`;
    /// conditional only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub features: Option<Vec<usize>>,
    /// Units of each hidden layer from the features to b(x); may be none. Default `[32]`; conditional
    /// only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_normaliser: Option<Vec<usize>>,
    /// Values of z. Default 16; vae only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latent: Option<usize>,
    /// Units of each hidden layer from a row to q(z|x); may be none. Default `[400, 400]`; vae only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encoder: Option<Vec<usize>>,
    /// Units of each hidden layer from z to p(x|z); may be none. Default `[400, 400]`; vae only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decoder: Option<Vec<usize>>,
    /// The family of p(x|z). Default bernoulli; vae only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub likelihood: Option<Likelihood>,
    /// Standard deviation of every value under p(x|z). Default: it is learned; gaussian likelihood
    /// only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deviation: Option<f64>,
    /// Whether the prior of z has an energy. Default energy; vae only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prior: Option<Prior>,
    /// Gaussians of a learned base density of z. Default: the base is the standard normal; vae only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub components: Option<usize>,
    /// Run folder or model file whose encoder, decoder and base density this run starts from; vae
    /// only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start: Option<PathBuf>,
    /// Leave what came from `start` as it is, so that only the energy and b are trained. Default
    /// true; goes with `start`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub freeze: Option<bool>,
    /// The density that the energy tilts. The prior of a vae has a base of its own, see `components`,
    /// and samples are drawn from it: there this stays "proposal".
    pub base: Base,
}

impl Default for Model {
    fn default() -> Self {
        Self {
            kind: ModelKind::Density,
            energy: Energy::Mlp,
            depth: None,
            width: None,
            widths: None,
            activation: None,
            residual: None,
            features: None,
            log_normaliser: None,
            latent: None,
            encoder: None,
            decoder: None,
            likelihood: None,
            deviation: None,
            prior: None,
            components: None,
            start: None,
            freeze: None,
            base: Base::Proposal,
        }
    }
}

/// What is modelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ModelKind {
    /// All columns together, `p(x)`.
    Density,
    /// The columns `data.targets` given the others, `p(y|x)`.
    Conditional,
    /// All columns together by way of z: a variational auto-encoder.
    Vae,
}

/// Family of energies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Energy {
    /// Multilayer perceptron with one output.
    Mlp,
    /// Quadratic form plus linear term: a Gaussian, for checks against closed forms.
    Quadratic,
}

/// Function after each hidden layer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the names are the functions' own")]
pub enum Activation {
    #[default]
    Silu,
    Relu,
    Tanh,
    Gelu,
    Softplus,
}

/// The base density `d(x)`: `"none"`, `"proposal"`, or a table like `[proposal]`.
#[derive(Clone, Debug, PartialEq)]
pub enum Base {
    /// `d(x) = 1`.
    None,
    /// The proposal.
    Proposal,
    /// A density of its own, fitted to the training rows.
    Own(Proposal),
}

impl Serialize for Base {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::None => serializer.serialize_str("none"),
            Self::Proposal => serializer.serialize_str("proposal"),
            Self::Own(density) => density.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Base {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Base;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("\"none\", \"proposal\" or a table like [proposal]")
            }
            fn visit_str<E: de::Error>(self, name: &str) -> Result<Base, E> {
                match name {
                    "none" => Ok(Base::None),
                    "proposal" => Ok(Base::Proposal),
                    _ => Err(E::unknown_variant(name, &["none", "proposal"])),
                }
            }
            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Base, A::Error> {
                Proposal::deserialize(de::value::MapAccessDeserializer::new(map)).map(Base::Own)
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

impl Model {
    /// Units of each hidden layer, first to last; empty for a quadratic energy.
    pub fn hidden_widths(&self) -> Vec<usize> {
        match (self.energy, &self.widths) {
            (Energy::Quadratic, _) => Vec::new(),
            (Energy::Mlp, Some(widths)) => widths.clone(),
            (Energy::Mlp, None) => {
                let depth = self.depth.unwrap_or(DEFAULT_DEPTH);
                vec![self.width.unwrap_or(DEFAULT_WIDTH); depth]
            }
        }
    }

    /// Units of each layer that makes features.
    pub fn feature_widths(&self) -> Vec<usize> {
        self.features.clone().unwrap_or_else(|| DEFAULT_FEATURES.to_vec())
    }

    /// Units of each hidden layer from the features to b(x).
    pub fn log_normaliser_widths(&self) -> Vec<usize> {
        self.log_normaliser.clone().unwrap_or_else(|| DEFAULT_LOG_NORMALISER.to_vec())
    }

    /// Function after each hidden layer; silu if unset.
    pub fn activation(&self) -> Activation {
        self.activation.unwrap_or_default()
    }

    /// Whether hidden layers add their input to their output.
    pub fn residual(&self) -> bool {
        self.residual.unwrap_or(false)
    }

    /// The keys of a vae, defaults filled in.
    pub fn latents(&self) -> Latent {
        Latent::of(self)
    }

    /// Whether there is an energy at all.
    fn has_energy(&self) -> bool {
        self.kind != ModelKind::Vae || self.latents().prior == Prior::Energy
    }

    /// Writes out the defaults that hang on the energy and the base.
    pub(super) fn resolve(&mut self) {
        if self.energy == Energy::Mlp && self.has_energy() {
            if self.widths.is_none() {
                self.depth.get_or_insert(DEFAULT_DEPTH);
                self.width.get_or_insert(DEFAULT_WIDTH);
            }
            if self.kind != ModelKind::Conditional {
                self.residual.get_or_insert(false);
            }
        }
        if self.energy == Energy::Mlp || self.kind == ModelKind::Vae {
            self.activation.get_or_insert_default();
        }
        if self.kind == ModelKind::Vae {
            self.latents().write_out(self);
        }
        if self.kind == ModelKind::Conditional {
            self.features = Some(self.feature_widths());
            self.log_normaliser = Some(self.log_normaliser_widths());
        }
        if let Base::Own(density) = &mut self.base {
            density.resolve();
        }
    }

    pub(super) fn check(&self, check: &mut Check<'_>) {
        check.count("model.depth", self.depth, 1..=MOST_LAYERS as u64);
        check.count("model.width", self.width, 1..=MOST_UNITS as u64);
        if let Some(widths) = &self.widths {
            let layers = (1..=MOST_LAYERS).contains(&widths.len());
            let units = widths.iter().all(|w| (1..=MOST_UNITS).contains(w));
            let allowed = format!("1 to {MOST_LAYERS} whole numbers, each from 1 to {MOST_UNITS}");
            check.that(layers && units, "model.widths", &allowed);
        }
        for (key, widths) in [
            ("model.features", &self.features),
            ("model.log_normaliser", &self.log_normaliser),
            ("model.encoder", &self.encoder),
            ("model.decoder", &self.decoder),
        ] {
            let sound = |widths: &Vec<usize>| {
                widths.len() <= MOST_LAYERS && widths.iter().all(|w| (1..=MOST_UNITS).contains(w))
            };
            let allowed =
                format!("at most {MOST_LAYERS} whole numbers, each from 1 to {MOST_UNITS}");
            check.that(widths.as_ref().is_none_or(sound), key, &allowed);
        }
        Latent::check_ranges(self, check);
        if let Base::Own(density) = &self.base {
            density.check("model.base", check);
            let allowed = "a kind that does not depend on the row";
            check.that(!density.is_of_row(), "model.base.kind", allowed);
        }
        if check.clean("model") {
            self.check_kind(check);
            self.check_energy(check);
        }
    }

    fn check_kind(&self, check: &mut Check<'_>) {
        Latent::check_keys(self, check);
        if self.kind != ModelKind::Conditional {
            for key in ["model.features", "model.log_normaliser"] {
                check.unused(key, "model.kind", "allowed with kind = \"conditional\"");
            }
            return;
        }
        let allowed = "\"mlp\", as the model is conditional";
        check.that(self.energy == Energy::Mlp, "model.energy", allowed);
        check.unused("model.residual", "model.kind", "allowed with kind = \"density\" or \"vae\"");
    }

    /// Rules between keys; they assume that each key alone could be read.
    fn check_energy(&self, check: &mut Check<'_>) {
        if !self.has_energy() {
            for name in ["depth", "width", "widths", "residual"] {
                let key = format!("model.{name}");
                check.unused(&key, "model.prior", "allowed with prior = \"energy\"");
            }
            return;
        }
        if self.energy == Energy::Quadratic {
            for name in ["depth", "width", "widths", "activation", "residual"] {
                // Encoder and decoder have one, whatever the energy is.
                if name != "activation" || self.kind != ModelKind::Vae {
                    let key = format!("model.{name}");
                    check.unused(&key, "model.energy", "allowed with energy = \"mlp\"");
                }
            }
            return;
        }
        if let Some(widths) = &self.widths {
            check.unused(
                "model.depth",
                "model.widths",
                "allowed: `widths`, or `depth` and `width`",
            );
            check.unused(
                "model.width",
                "model.widths",
                "allowed: `widths`, or `depth` and `width`",
            );
            let equal = widths.windows(2).all(|pair| pair[0] == pair[1]);
            let allowed = "equal widths, as `residual` is true";
            check.that(equal || !self.residual(), "model.widths", allowed);
        }
    }
}
