//! The table: means and standard errors over seeds, and differences of runs of equal seeds.

use snel_train::conditional::ConditionalReport;

use crate::runs::mean_text;
use crate::sets::{METHODS, Method, Set};

/// One run on its test rows, original units; log-likelihoods in nats a row.
#[derive(Clone, Copy)]
pub(crate) struct Score {
    lower: f64,
    upper: f64,
    /// Of the proposal, which is the base that the energy tilts.
    base: f64,
    rmse: f64,
    /// Share of rows within the central interval of nine tenths.
    within: f64,
}

impl Score {
    /// None if there is no target.
    pub(crate) fn new(report: &ConditionalReport) -> Option<Self> {
        let target = report.standardised.targets.first()?;
        let (lower, upper) = (report.original.lower, report.original.upper);
        let base = report.standardised.proposal + report.log_det;
        let (rmse, within) = (target.rmse, target.within_nine_tenths());
        Some(Self { lower, upper, base, rmse, within })
    }
}

/// Names of the columns.
pub(crate) fn head() {
    println!(
        "| table | model | splits | log-likelihood | upper bound | its base | energy over it | \
         splits ahead | RMSE | within 90 % |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|");
}

/// The rows of one data set; `scores` are those of [`METHODS`], by seed, none if a run diverged.
pub(crate) fn rows(set: &Set, scores: &[Vec<Option<Score>>]) {
    let energy = &scores[0];
    for (method, scores) in METHODS.into_iter().zip(scores) {
        let all = || scores.iter().flatten();
        let over: Vec<f64> = energy
            .iter()
            .zip(scores)
            .filter_map(|(e, s)| Some(e.as_ref()?.lower - s.as_ref()?.lower))
            .collect();
        let (bounds, over) = if method == Method::Energy {
            let bounds =
                [mean_text(all().map(|s| s.upper), 3), mean_text(all().map(|s| s.base), 3)];
            (bounds, [String::new(), String::new()])
        } else {
            let ahead = over.iter().filter(|d| **d > 0.0).count();
            let ahead = format!("{ahead} of {}", over.len());
            ([String::new(), String::new()], [mean_text(over.into_iter(), 3), ahead])
        };
        println!(
            "| {} | {} | {} | {} | {} | {} | {} | {} |",
            set.name,
            method.name(),
            all().count(),
            mean_text(all().map(|s| s.lower), 3),
            bounds.join(" | "),
            over.join(" | "),
            mean_text(all().map(|s| s.rmse), 3),
            mean_text(all().map(|s| s.within), 3),
        );
    }
}
