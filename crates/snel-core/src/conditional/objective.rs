//! Cotangents of one row and its samples.
//!
//! With `w = exp(log d - E - log q - b(x))`, `w_0` at the observed `y`, and `S` the sum of `w` over
//! the `M` samples, times `n`:
//!
//! | objective | row | sample | source |
//! |---|---|---|---|
//! | SNL | `1` | `-w / M` | Senetaire et al., arXiv 2503.07021 |
//! | IS-MLE | `1` | `-w / S` | their eq. 6, for every `x` |
//! | NCE | `S / (w_0 + S)` | `-w / (w_0 + S)` | ranking of `y` among the samples: Ma, Collins 2018; Gustafsson et al. 2020 |
//!
//! The cotangent of `b(x)` is `1 - S / M` for all: for SNL it is the loss's own and goes on into the
//! features; for the others `b(x)` is a running reference, and follows without touching them.

use crate::objective::Objective;

/// The weights of a row that its cotangents depend on.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct RowWeights {
    /// `w_0`, which may be infinite; only NCE asks for it.
    pub observed: f64,
    /// `S`, over usable weights.
    pub sum: f64,
    /// `M`.
    pub samples: f64,
}

impl RowWeights {
    /// `n dL/dE` at the observed `y`.
    pub fn row_cotangent(&self, objective: Objective) -> f64 {
        match objective {
            Objective::Snl | Objective::IsMle | Objective::Mcmc(_) => 1.0,
            Objective::Nce => share(self.sum, self.observed + self.sum),
        }
    }

    /// `n dL/dE` at a sample of weight `weight`. For SNL, `sum` may be unknown yet.
    pub fn sample_cotangent(&self, objective: Objective, weight: f64) -> f64 {
        match objective {
            Objective::Snl => -weight / self.samples,
            // Not offered: conditional models have no chains.
            Objective::Mcmc(_) => -1.0 / self.samples,
            Objective::IsMle => -share(weight, self.sum),
            Objective::Nce => -share(weight, self.observed + self.sum),
        }
    }

    /// `n dL/db(x)`.
    pub fn normaliser_cotangent(&self) -> f64 {
        1.0 - self.sum / self.samples
    }
}

impl Objective {
    /// The cotangents of a row's samples need the sum of all its weights.
    pub fn needs_row_sum(self) -> bool {
        self != Self::Snl
    }

    /// The gradient of `b(x)` goes on into the features.
    pub fn normaliser_moves_features(self) -> bool {
        self == Self::Snl
    }
}

/// `part / whole`; nothing is no part of nothing.
fn share(part: f64, whole: f64) -> f64 {
    if part > 0.0 { part / whole } else { 0.0 }
}
