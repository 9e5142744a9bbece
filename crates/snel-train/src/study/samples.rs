//! `snel study samples`: bias and variance as the number of samples grows.
//!
//! A standard normal in four dimensions under a Gaussian proposal 1.3 times as wide, `M` from 100
//! on, in decades. Theory knows everything here, so the sweep ends with verdicts: the variance of
//! `Ẑ` and of the gradients falls as `1/M`, the bias of `log Ẑ` and of IS-MLE's gradient as `1/M`,
//! each with the right factor, NCE's distance from the likelihood is what it must be, and SNL's
//! gradient has no bias at any `M`.

mod findings;

use std::sync::Arc;

use serde::Serialize;
use snel_core::objective::Objective;

use super::check::Check;
use super::measure::{Cell, Quantity, Row};
use super::sweep::Sweep;
use super::target::{Proposal, Target};
use super::{Extent, StudyError, fit};
use crate::evaluate::Estimate;

pub(super) use findings::method_name;
pub use findings::{EXPLANATION, findings};

/// What only this study has.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
struct Settings {
    target: Target,
    proposal: Proposal,
    dim: usize,
    /// Data rows, all in every gradient.
    rows: usize,
    /// Repetitions: `samples_per_cell / M`, within these limits.
    most_repetitions: u64,
    least_repetitions: u64,
    samples_per_cell: u64,
}

impl Settings {
    fn new(extent: Extent) -> Self {
        let (most_repetitions, least_repetitions, samples_per_cell) = match extent {
            Extent::Quick => (1500, 100, 2_000_000),
            Extent::Usual | Extent::Deep => (4000, 24, 50_000_000),
        };
        Self {
            target: Target::Gaussian,
            proposal: Proposal::Wide,
            dim: 4,
            rows: 256,
            most_repetitions,
            least_repetitions,
            samples_per_cell,
        }
    }

    fn repetitions(&self, samples: u64) -> u64 {
        (self.samples_per_cell / samples).clamp(self.least_repetitions, self.most_repetitions)
    }
}

/// The numbers of samples.
fn sizes(extent: Extent) -> Vec<u64> {
    let decades = |last| (2..=last).map(|k| 10u64.pow(k)).collect();
    match extent {
        Extent::Quick => vec![100, 200, 400, 800, 1600, 3200],
        Extent::Usual => decades(7),
        Extent::Deep => decades(9),
    }
}

/// Measures what is not measured yet; all rows of the table.
///
/// # Errors
/// [`StudyError`]; what was measured before is in the table.
pub fn run(sweep: &Sweep<'_>, extent: Extent) -> Result<Vec<Row>, StudyError> {
    let settings = Settings::new(extent);
    let mut table = sweep.table("samples", settings)?;
    let Settings { target, proposal, dim, rows, .. } = settings;
    let rows = Arc::new(target.rows(dim, rows, sweep.seed));
    let cell = |samples: u64| Cell {
        target,
        proposal,
        dim,
        samples,
        repetitions: settings.repetitions(samples),
        // Samples of their own for each M: the points of a fit are independent.
        seed: sweep.seed.wrapping_add(samples as u32),
        rows: &rows,
    };
    let cells: Vec<Cell<'_>> = sizes(extent).into_iter().map(cell).collect();
    sweep.run(&cells, &mut table)?;
    let mut rows = table.rows().to_vec();
    rows.sort_by_key(|row| row.samples);
    Ok(rows)
}

/// The predictions and how they fared.
pub fn checks(rows: &[Row]) -> Vec<Check> {
    use Objective::{IsMle, Nce, Snl};
    use Quantity::{BoundBias, GradientBias, GradientVariance, LogZBias, ZVariance};
    let falls = |method, quantity, what: &str| {
        let line = fit::power(&points(rows, method, quantity));
        Check::new(format!("{what} falls as 1/M"), "exponent", -1.0, line.map(|l| l.slope))
    };
    let size = |method, quantity, what: &str| {
        Check::new(
            format!("{what} has the size it must have"),
            RATIO,
            1.0,
            ratio(rows, method, quantity),
        )
    };
    vec![
        falls(Snl, ZVariance, "the variance of Ẑ"),
        size(Snl, ZVariance, "the variance of Ẑ"),
        falls(IsMle, LogZBias, "the bias of log Ẑ, and so of the upper bound,"),
        size(IsMle, LogZBias, "the bias of log Ẑ"),
        unbiased(rows, Snl, BoundBias, "SNL's bound at b = log Z has no bias at any M"),
        unbiased(rows, Snl, GradientBias, "SNL's gradient has no bias at any M"),
        falls(Snl, GradientVariance, "the variance of SNL's gradient"),
        size(Snl, GradientVariance, "the variance of SNL's gradient"),
        falls(IsMle, GradientBias, "the bias of IS-MLE's gradient"),
        size(IsMle, GradientBias, "the bias of IS-MLE's gradient"),
        size(Nce, GradientBias, "the distance of NCE's gradient from the likelihood's"),
    ]
}

/// What is compared when a size is.
pub(super) const RATIO: &str = "measured over theory";

/// `M` and estimate of a quantity.
pub(super) fn points(rows: &[Row], method: Objective, quantity: Quantity) -> Vec<(f64, Estimate)> {
    of(rows, method, quantity).map(|row| (row.samples as f64, row.estimate())).collect()
}

/// The rows of a quantity.
pub(super) fn of(
    rows: &[Row],
    method: Objective,
    quantity: Quantity,
) -> impl Iterator<Item = &Row> {
    rows.iter().filter(move |row| (row.method, row.quantity) == (method, quantity))
}

/// Measured over theory, over all rows of a quantity.
pub(super) fn ratio(rows: &[Row], method: Objective, quantity: Quantity) -> Option<Estimate> {
    let ratio = |row: &Row| {
        let theory = row.theory.filter(|&theory| theory != 0.0)?;
        let value = row.estimate / theory;
        Some(Estimate { value, se: row.standard_error / theory.abs() })
    };
    fit::pooled(&of(rows, method, quantity).filter_map(ratio).collect::<Vec<_>>())
}

/// That the mean of a quantity is zero: its squares, in units of their own errors, are 1 on average.
///
/// With `R` repetitions these are squares of Student variates of `k = R - 1` degrees of freedom,
/// with mean `k / (k - 2)` and second moment `3 k^2 / ((k - 2) (k - 4))`.
pub(super) fn unbiased(rows: &[Row], method: Objective, quantity: Quantity, claim: &str) -> Check {
    let (mut sum, mut variance, mut n) = (0.0, 0.0, 0.0);
    for row in of(rows, method, quantity) {
        let k = row.repetitions as f64 - 1.0;
        sum += (row.estimate / row.standard_error).powi(2) * (k - 2.0) / k;
        variance += 3.0 * (k - 2.0) / (k - 4.0) - 1.0;
        n += 1.0;
    }
    let measured = (n > 0.0).then(|| Estimate { value: sum / n, se: f64::sqrt(variance) / n });
    Check::new(claim, "mean square of bias over standard error", 1.0, measured)
}
