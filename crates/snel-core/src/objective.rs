//! Objectives: pairs of scalar functions.
//!
//! The gradient of every objective is a cotangent-weighted sum of energy gradients,
//! `Σ_rows c_data ∇E + Σ_samples c_sample ∇E`, and the gradient of `b` is the sum of the
//! cotangents: `b` behaves as one more bias. With the weight `w = exp(log d - E - log q - b)` of a
//! point and `ν = M/n`:
//!
//! | objective | row, times `n` | sample, times `M` | source |
//! |---|---|---|---|
//! | SNL | `1` | `-w` | Senetaire et al., arXiv 2503.07021, eq. 15 |
//! | IS-MLE | `1` | `-w`, divided by its own mean after the reduction | their eq. 6 |
//! | NCE | `ν / (ν + w)` | `-ν w / (ν + w)` | Gutmann, Hyvärinen 2010 |
//! | MCMC | `1` | `-1`, at the states of chains instead of proposal samples | [`crate::mcmc`] |
//!
//! The cotangents of MCMC sum to zero: it says nothing about `b`, which is left as it is.

use serde::{Deserialize, Serialize};

use crate::mcmc::Mcmc;

/// A weight above `exp` of this is an overflow: it is counted and the step is refused. It leaves
/// an `f32` gradient room for 2,000 times an energy gradient of 10.
pub const WEIGHT_LIMIT: f64 = 80.0;

/// What is minimised.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Objective {
    /// Self-normalised likelihood: an unbiased lower bound, tight at `b = log Z`.
    Snl,
    /// Importance-sampled maximum likelihood: a biased gradient. `b` is a running reference that
    /// keeps weights in range; it follows the SNL gradient.
    IsMle,
    /// Noise-contrastive estimation against the proposal.
    Nce,
    /// Maximum likelihood with the states of Markov chains; not of conditional models.
    Mcmc(Mcmc),
}

impl Objective {
    /// Every objective that weighs proposal samples, for tests that must cover all of them.
    pub const ALL: [Self; 3] = [Self::Snl, Self::IsMle, Self::Nce];

    /// Rows and samples must be summed apart, because the samples' sum is divided afterwards.
    pub fn separates_samples(self) -> bool {
        self == Self::IsMle
    }

    /// Its name, as users write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Snl => "snl",
            Self::IsMle => "is-mle",
            Self::Nce => "nce",
            Self::Mcmc(_) => "mcmc",
        }
    }

    /// The settings of the chains, if it has any.
    pub fn mcmc(self) -> Option<Mcmc> {
        if let Self::Mcmc(mcmc) = self { Some(mcmc) } else { None }
    }

    /// `b` is trained. Otherwise it is `log Ẑ` wherever it is needed.
    pub fn trains_b(self) -> bool {
        self.mcmc().is_none()
    }

    /// The cotangent of a data row needs `log q` there.
    pub fn needs_proposal_at_rows(self) -> bool {
        self == Self::Nce
    }

    /// `n dL/dE` at a data row of weight `weight`, which may be infinite. `ratio` is `M / n`.
    #[inline]
    pub fn row_cotangent(self, weight: f64, ratio: f64) -> f64 {
        match self {
            Self::Snl | Self::IsMle | Self::Mcmc(_) => 1.0,
            Self::Nce => ratio / (ratio + weight),
        }
    }

    /// `M dL/dE` at the state of a chain, or at a proposal sample of finite weight `weight`. `ratio` is `M / n`.
    #[inline]
    pub fn sample_cotangent(self, weight: f64, ratio: f64) -> f64 {
        match self {
            Self::Snl | Self::IsMle => -weight,
            Self::Mcmc(_) => -1.0,
            // The loss is a mean over rows: a sample counts 1/n, which is (M/n) / M.
            Self::Nce => -ratio * weight / (ratio + weight),
        }
    }
}
