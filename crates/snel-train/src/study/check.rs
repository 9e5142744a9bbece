//! A prediction beside what was measured, and whether they agree.

use serde::Serialize;

use crate::evaluate::Estimate;

/// Standard errors within which a measurement agrees: a sound one is outside once in a thousand
/// times.
pub const LIMIT: f64 = 3.29;

/// A prediction and its test.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Check {
    /// What is predicted, a sentence.
    pub claim: String,
    /// The number that was looked at.
    pub number: &'static str,
    /// What it must be.
    pub expected: f64,
    /// What it is.
    pub measured: Estimate,
    /// Whether they agree within [`LIMIT`] standard errors. No measurement does not agree.
    pub holds: bool,
}

impl Check {
    /// Compares.
    pub(crate) fn new(
        claim: impl Into<String>,
        number: &'static str,
        expected: f64,
        measured: Option<Estimate>,
    ) -> Self {
        let measured = measured.unwrap_or(Estimate { value: f64::NAN, se: f64::NAN });
        let holds = (measured.value - expected).abs() <= LIMIT * measured.se;
        Self { claim: claim.into(), number, expected, measured, holds }
    }

    /// The verdict, a line.
    pub fn verdict(&self) -> String {
        let Self { claim, number, expected, measured: Estimate { value, se }, holds } = self;
        let word = if *holds { "holds" } else { "FAILS" };
        format!("{word}: {claim}; {number} {value:.4} ± {se:.4}, theory {expected:.4}")
    }
}
