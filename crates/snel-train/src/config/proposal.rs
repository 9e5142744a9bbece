//! `[proposal]`: the density that proposal samples are drawn from, fitted to training rows.
//!
//! The same keys describe a base density of its own, `[model.base]`.

use serde::{Deserialize, Serialize};

use super::check::Check;

const DEFAULT_SCALE: f64 = 1.0;
const DEFAULT_DF: f64 = 5.0;
const DEFAULT_COMPONENTS: usize = 16;
const DEFAULT_MARGIN: f64 = 0.1;

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
    /// Number of Gaussian components. Default 16; mixture only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub components: Option<usize>,
    /// Covariance of each component. Default full; mixture only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub covariance: Option<Covariance>,
    /// Share of a column's range that is added on both sides. Default 0.1; uniform only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub margin: Option<f64>,
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
    Gaussian { scale: f64 },
    Diagonal { scale: f64 },
    Student { scale: f64, df: f64 },
    Uniform { margin: f64 },
    Mixture { scale: f64, components: usize, covariance: Covariance },
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
        }
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
        if check.clean(group) {
            use ProposalKind::{Mixture, Student, Uniform};
            let kind = key("kind");
            if self.kind == Uniform {
                check.unused(&key("scale"), &kind, "allowed with every kind but \"uniform\"");
            } else {
                check.unused(&key("margin"), &kind, "allowed with kind = \"uniform\"");
            }
            if self.kind != Student {
                check.unused(&key("df"), &kind, "allowed with kind = \"student\"");
            }
            if self.kind != Mixture {
                check.unused(&key("components"), &kind, "allowed with kind = \"mixture\"");
                check.unused(&key("covariance"), &kind, "allowed with kind = \"mixture\"");
            }
        }
    }
}
