//! `[proposal]`: the density that proposal samples are drawn from, fitted to training rows.
//!
//! The same keys describe a base density of its own, `[model.base]`.

use serde::{Deserialize, Serialize};

use super::check::{Check, MOST};

const DEFAULT_SCALE: f64 = 1.0;
const DEFAULT_DF: f64 = 5.0;
const DEFAULT_COMPONENTS: usize = 16;
const DEFAULT_MARGIN: f64 = 0.1;
const DEFAULT_NETWORK: [usize; 2] = [64, 64];
const DEFAULT_NETWORK_COMPONENTS: usize = 8;
const DEFAULT_DEVIATIONS: [f64; 3] = [0.1, 0.3, 1.0];

/// A density fitted to training rows. Keys that the kind does not use are unset; see
/// [`Proposal::shape`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Proposal {
    /// The family.
    pub kind: ProposalKind,
    /// Multiplies the fitted standard deviations. Above 0, default 1; all kinds but uniform.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scale: Option<f64>,
    /// Degrees of freedom. From 0.1, default 5; student only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub df: Option<f64>,
    /// Number of Gaussian components. Default 16, of an mdn 8; mixture and mdn only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub components: Option<usize>,
    /// Covariance of each component. Default full; mixture only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub covariance: Option<Covariance>,
    /// Share of a column's range that is added on both sides. Default 0.1; uniform only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub margin: Option<f64>,
    /// Units of each hidden layer; may be none. Default `[64, 64]`; mdn only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub widths: Option<Vec<usize>>,
    /// What trains the network. Default both; mdn only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loss: Option<MixtureLoss>,
    /// Steps in which the network is trained alone. Default 0; mdn only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pretrain: Option<u64>,
    /// Deviations of the noise, each a share of the targets' own. Default `[0.1, 0.3, 1]`; observed
    /// only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deviations: Option<Vec<f64>>,
    /// Weight of a wide Student-t component mixed in, so that no region is starved of samples.
    /// At least 0 and below 1.
    pub defensive: f64,
    /// Most rows used for the fit.
    pub fit_rows: usize,
}

impl Default for Proposal {
    fn default() -> Self {
        Self {
            kind: ProposalKind::Gaussian,
            scale: None,
            df: None,
            components: None,
            covariance: None,
            margin: None,
            widths: None,
            loss: None,
            pretrain: None,
            deviations: None,
            defensive: 0.0,
            fit_rows: 100_000,
        }
    }
}

/// Family of a proposal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProposalKind {
    /// Gaussian with a full covariance.
    Gaussian,
    /// Gaussian with independent columns.
    Diagonal,
    /// Multivariate Student-t with a full scale matrix.
    Student,
    /// Uniform on a box around the training rows.
    Uniform,
    /// Mixture of Gaussians.
    Mixture,
    /// Mixture density network: a mixture of Gaussians for every row of inputs.
    Mdn,
    /// Gaussian noise around the observed targets, in training.
    Observed,
}

/// What trains a mixture density network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MixtureLoss {
    /// The likelihood of the data.
    Likelihood,
    /// The divergence of the weighted samples from it.
    Kl,
    /// The mean of both.
    #[default]
    Both,
}

/// A mixture density network, defaults filled in.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "each field is the key of the same name in `Proposal`")]
pub struct Network {
    pub widths: Vec<usize>,
    pub components: usize,
    pub loss: MixtureLoss,
    pub pretrain: u64,
}

/// Covariance of a mixture's components.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Covariance {
    /// All entries.
    Full,
    /// Variances only.
    Diagonal,
}

/// A proposal's kind with exactly the settings that it uses.
#[derive(Clone, Copy, Debug, PartialEq)]
#[expect(missing_docs, reason = "each field is the key of the same name in `Proposal`")]
pub enum Shape {
    Gaussian {
        scale: f64,
    },
    Diagonal {
        scale: f64,
    },
    Student {
        scale: f64,
        df: f64,
    },
    Uniform {
        margin: f64,
    },
    Mixture {
        scale: f64,
        components: usize,
        covariance: Covariance,
    },
    /// Another density for every row: see [`Proposal::network`] and [`Proposal::deviations`].
    OfRow,
}

impl Proposal {
    /// The kind with its settings, defaults filled in.
    pub fn shape(&self) -> Shape {
        let scale = self.scale.unwrap_or(DEFAULT_SCALE);
        match self.kind {
            ProposalKind::Gaussian => Shape::Gaussian { scale },
            ProposalKind::Diagonal => Shape::Diagonal { scale },
            ProposalKind::Student => Shape::Student { scale, df: self.df.unwrap_or(DEFAULT_DF) },
            ProposalKind::Uniform => {
                Shape::Uniform { margin: self.margin.unwrap_or(DEFAULT_MARGIN) }
            }
            ProposalKind::Mixture => Shape::Mixture {
                scale,
                components: self.components.unwrap_or(DEFAULT_COMPONENTS),
                covariance: self.covariance.unwrap_or(Covariance::Full),
            },
            ProposalKind::Mdn | ProposalKind::Observed => Shape::OfRow,
        }
    }

    /// Whether it is another density for every row.
    pub fn is_of_row(&self) -> bool {
        self.shape() == Shape::OfRow
    }

    /// The settings of an mdn, defaults filled in.
    pub fn network(&self) -> Network {
        Network {
            widths: self.widths.clone().unwrap_or_else(|| DEFAULT_NETWORK.to_vec()),
            components: self.components.unwrap_or(DEFAULT_NETWORK_COMPONENTS),
            loss: self.loss.unwrap_or_default(),
            pretrain: self.pretrain.unwrap_or(0),
        }
    }

    /// Deviations of the noise around the observed targets.
    pub fn deviations(&self) -> Vec<f64> {
        self.deviations.clone().unwrap_or_else(|| DEFAULT_DEVIATIONS.to_vec())
    }

    /// Writes out the defaults that hang on the kind.
    pub(super) fn resolve(&mut self) {
        match self.shape() {
            Shape::Gaussian { scale } | Shape::Diagonal { scale } => self.scale = Some(scale),
            Shape::Student { scale, df } => (self.scale, self.df) = (Some(scale), Some(df)),
            Shape::Uniform { margin } => self.margin = Some(margin),
            Shape::Mixture { scale, components, covariance } => {
                self.scale = Some(scale);
                self.components = Some(components);
                self.covariance = Some(covariance);
            }
            Shape::OfRow if self.kind == ProposalKind::Mdn => {
                let Network { widths, components, loss, pretrain } = self.network();
                self.widths = Some(widths);
                self.components = Some(components);
                self.loss = Some(loss);
                self.pretrain = Some(pretrain);
            }
            Shape::OfRow => self.deviations = Some(self.deviations()),
        }
    }

    /// `group` is `proposal`, or `model.base` for a base density of its own.
    pub(super) fn check(&self, group: &str, check: &mut Check<'_>) {
        let key = |name: &str| format!("{group}.{name}");
        let within = |value: Option<f64>, lo, hi| value.is_none_or(|v| (lo..=hi).contains(&v));
        // Far outside these no sample of `f32` has a weight; the bounds are round, not sharp.
        check.that(within(self.scale, 1e-3, 1e3), &key("scale"), "a number from 0.001 to 1000");
        check.that(within(self.df, 0.1, 1e6), &key("df"), "a number from 0.1 to 1e6");
        check.count(&key("components"), self.components, 1..=65_536);
        check.that(within(self.margin, 0.0, 100.0), &key("margin"), "a number from 0 to 100");
        let weight = (0.0..1.0).contains(&self.defensive);
        check.that(weight, &key("defensive"), "a number from 0 and below 1");
        check.count(&key("fit_rows"), Some(self.fit_rows), 2..=1_000_000_000);
        if let Some(widths) = &self.widths {
            let sound = widths.len() <= 64 && widths.iter().all(|w| (1..=65_536).contains(w));
            let allowed = "at most 64 whole numbers, each from 1 to 65536";
            check.that(sound, &key("widths"), allowed);
        }
        check.count(&key("pretrain"), self.pretrain, 0..=MOST);
        if let Some(deviations) = &self.deviations {
            let sound = deviations.iter().all(|sd| (1e-3..=1e3).contains(sd));
            let some = (1..=64).contains(&deviations.len());
            check.that(sound && some, &key("deviations"), "1 to 64 numbers from 0.001 to 1000");
        }
        if check.clean(group) {
            self.check_kind(group, check);
        }
    }

    /// Rules between keys; they assume that each key alone could be read.
    fn check_kind(&self, group: &str, check: &mut Check<'_>) {
        use ProposalKind::{Mdn, Mixture, Observed, Student, Uniform};
        let kind = format!("{group}.kind");
        let mut only = |name: &str, used: bool, allowed: &str| {
            if !used {
                check.unused(&format!("{group}.{name}"), &kind, allowed);
            }
        };
        let scaled = !matches!(self.kind, Uniform | Mdn | Observed);
        only("scale", scaled, "allowed with every kind but \"uniform\", \"mdn\" and \"observed\"");
        only("margin", self.kind == Uniform, "allowed with kind = \"uniform\"");
        only("df", self.kind == Student, "allowed with kind = \"student\"");
        let mixes = matches!(self.kind, Mixture | Mdn);
        only("components", mixes, "allowed with kind = \"mixture\" or \"mdn\"");
        only("covariance", self.kind == Mixture, "allowed with kind = \"mixture\"");
        for name in ["widths", "loss", "pretrain"] {
            only(name, self.kind == Mdn, "allowed with kind = \"mdn\"");
        }
        only("deviations", self.kind == Observed, "allowed with kind = \"observed\"");
        let nothing = self.kind != Observed || self.defensive == 0.0;
        let allowed = "0, as the proposal is \"observed\"";
        check.that(nothing, &format!("{group}.defensive"), allowed);
        if self.kind == Mdn {
            check.count(&format!("{group}.components"), self.components, 1..=256);
        }
    }
}
