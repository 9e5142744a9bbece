//! An evaluation as a few lines for people.

use snel_train::conditional::ConditionalReport;
use snel_train::eval_report::{AnnealedReport, EvalReport, Yardstick};
use snel_train::evaluate::Estimate;
use snel_train::finish::AnyReport;
use snel_train::vae::VaeReport;

use crate::output::{count, err, out, table};

/// Prints what a reader asks first; warnings go to stderr.
pub(crate) fn print(report: &AnyReport) {
    match report {
        AnyReport::Density(report) => print_density(report),
        AnyReport::Conditional(report) => print_conditional(report),
        AnyReport::Vae(report) => print_vae(report),
    }
}

fn print_density(report: &EvalReport) {
    let e = &report.standardised;
    let split = format!("{:?}", report.split).to_lowercase();
    out(&format!("log-likelihood of {} {split} rows, nats a row, 95 % interval", count(e.rows)));
    table(&[
        ("  standardised units", range(e.interval)),
        ("  original units", range(report.original.interval)),
    ]);
    out("");
    let refitted =
        if report.b_refitted { " (b refitted: the objective does not train it)" } else { "" };
    table(&[
        ("lower bound (SNL)", format!("{:.5} ± {:.5}", e.lower.value, e.lower.se)),
        ("upper bound (importance sampling)", format!("{:.5} ± {:.5}", e.upper.value, e.upper.se)),
        ("log Z", format!("{:.5} ± {:.5}", e.log_z.value, e.log_z.se)),
        (
            "b - log Z",
            format!("{:+.5} ± {:.5}{refitted}", e.b_minus_log_z.value, e.b_minus_log_z.se),
        ),
        (
            "effective samples",
            format!(
                "{:.0} of {} ({:.2} %), largest share {:.4} %",
                e.weights.ess,
                count(e.weights.samples),
                100.0 * e.weights.ess_fraction,
                100.0 * e.weights.largest_share
            ),
        ),
        ("standard error over rows", rows_se(e.rows_se)),
    ]);
    if let Some(annealed) = &report.annealed {
        print_annealed(annealed);
    }
    print_rest(&report.yardsticks, &e.warnings);
}

fn print_conditional(report: &ConditionalReport) {
    let e = &report.standardised;
    let split = format!("{:?}", report.split).to_lowercase();
    out(&format!(
        "log-likelihood of the targets of {} {split} rows, nats a row, 95 % interval",
        count(e.rows)
    ));
    table(&[
        ("  standardised units", range(e.interval)),
        ("  original units", range(report.original.interval)),
    ]);
    out("");
    let mut rows = vec![
        ("lower bound (SNL)", format!("{:.5} ± {:.5}", e.lower.value, e.lower.se)),
        ("upper bound (importance sampling)", format!("{:.5} ± {:.5}", e.upper.value, e.upper.se)),
    ];
    if let Some(q) = &report.quadrature {
        let value = format!("{:.5} on {} rows", q.log_likelihood, q.rows);
        rows.push(("by quadrature", value));
        rows.extend(q.divergence.map(|d| ("divergence from the truth", format!("{d:.5}"))));
    }
    rows.extend([
        ("b(x) - log Z(x), root mean square", format!("{:.4}", e.b_error)),
        (
            "effective samples",
            format!(
                "{:.2} % of {} a row, fewest {:.0}",
                100.0 * e.ess_fraction,
                count(e.samples),
                e.least_ess
            ),
        ),
        ("standard error over rows", rows_se(e.rows_se)),
    ]);
    table(&rows);
    out("");
    for target in &e.targets {
        let nine = 100.0 * target.within_nine_tenths();
        out(&format!(
            "{}  RMSE {:.5}, CRPS {:.5}, {nine:.1} % within the central 90 %",
            target.name, target.rmse, target.crps
        ));
    }
    print_rest(&report.yardsticks, &e.warnings);
}

fn print_vae(report: &VaeReport) {
    let e = &report.evaluation;
    let split = format!("{:?}", report.split).to_lowercase();
    let with_error = |v: Estimate| format!("{:.4} ± {:.4}", v.value, v.se);
    out(&format!(
        "below the log-likelihood of {} {split} rows in expectation, nats a row",
        count(e.rows)
    ));
    let bound = format!("importance-weighted bound, {} samples", count(e.posterior_samples));
    table(&[("SNELBO", with_error(e.snelbo)), (&bound, with_error(e.importance))]);
    out("");
    table(&[
        ("reconstruction", format!("{:.4}", e.reconstruction)),
        ("divergence of q(z|x) from the base", format!("{:.4}", e.divergence)),
        ("energy", format!("{:.4}", e.energy)),
        ("log Z of the prior", with_error(e.log_z)),
        ("b - log Z", format!("{:+.5} ± {:.5}", e.b_minus_log_z.value, e.b_minus_log_z.se)),
        (
            "effective samples of the prior",
            format!("{:.2} % of {}", 100.0 * e.weights.ess_fraction, count(e.weights.samples)),
        ),
        (
            "effective samples of a row",
            format!("{:.1}, fewest {:.1}", e.posterior_ess, e.least_posterior_ess),
        ),
        ("standard error over rows", rows_se(e.rows_se)),
    ]);
    out("");
    out("for comparison, with log Z in the place of b: no bounds");
    table(&[("ELBO", with_error(e.elbo)), ("log-likelihood", with_error(e.log_likelihood))]);
    for warning in &e.warnings {
        err(&format!("warning: {warning}"));
    }
}

fn print_rest(yardsticks: &[Yardstick], warnings: &[String]) {
    out("");
    let rows: Vec<(&str, String)> =
        yardsticks.iter().map(|y| (y.name.as_str(), format!("{:.4}", y.standardised))).collect();
    out("for comparison, standardised units");
    table(&rows);
    for warning in warnings {
        err(&format!("warning: {warning}"));
    }
}

fn print_annealed(annealed: &AnnealedReport) {
    let e = &annealed.standardised;
    let (chains, temperatures) = (count(e.weights.samples), count(annealed.temperatures.into()));
    out("");
    out(&format!("by annealed importance sampling, {chains} chains, {temperatures} temperatures"));
    table(&[
        ("  standardised units", range(e.interval)),
        ("  original units", range(annealed.original.interval)),
        ("  log Z, to the model", format!("{:.5} ± {:.5}", e.log_z.value, e.log_z.se)),
        (
            "  log Z, back from it",
            format!("{:.5} ± {:.5}", annealed.back.log_z.value, annealed.back.log_z.se),
        ),
        ("  effective chains", format!("{:.0}, {:.0}", e.weights.ess, annealed.back.ess)),
        ("  energies", count(annealed.energies)),
    ]);
    for warning in &e.warnings {
        err(&format!("warning: annealing: {warning}"));
    }
}

fn range([low, high]: [f64; 2]) -> String {
    format!("{low:.4} to {high:.4}")
}

fn rows_se(se: f64) -> String {
    if se.is_finite() { format!("{se:.4}") } else { "unknown: one row".to_owned() }
}
