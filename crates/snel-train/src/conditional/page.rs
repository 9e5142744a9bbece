//! The report of a run of a conditional model.

use super::report::ConditionalReport;
use crate::config::Config;
use crate::model_file::ModelFile;
use crate::pictures::Picture;
use crate::plot::grouped;
use crate::report::{Report, Table, html};
use crate::run_report::{about_rows, headlines, model_facts, yardsticks};

/// The page as text. `source` says where the data came from, `command` what made the run.
pub fn page(
    config: &Config,
    eval: &ConditionalReport,
    model: &ModelFile,
    source: &str,
    pictures: Vec<Picture>,
    command: &str,
) -> String {
    let e = &eval.standardised;
    let split = format!("{:?}", eval.split).to_lowercase();
    let headlines = headlines(
        &format!("the targets of the {split} rows"),
        [e.interval, eval.original.interval],
        about_rows(e.rows, e.rows_se),
        eval.log_det,
    );
    let number = |v: f64| format!("{v:.4}");
    let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
    let yardsticks = yardsticks(e.lower.value, eval.original.lower, &eval.yardsticks);
    let predictions = Table {
        title: "Predictions".to_owned(),
        caption: "Errors in the units of the file; coverage of the central interval of nine \
                  tenths should be 0.9."
            .to_owned(),
        columns: names(&["target", "RMSE of the mean", "CRPS", "coverage of 0.9"]),
        rows: e
            .targets
            .iter()
            .map(|t| {
                let nine = t.within_nine_tenths();
                vec![t.name.clone(), number(t.rmse), number(t.crps), number(nine)]
            })
            .collect(),
    };
    let row = |name: &str, value: String| vec![name.to_owned(), value];
    let with_error = |v: crate::evaluate::Estimate| format!("{:.5} ± {:.5}", v.value, v.se);
    let mut rows = vec![
        row("lower bound (SNL)", with_error(e.lower)),
        row("upper bound (importance sampling)", with_error(e.upper)),
        row("b(x) − log Z(x), root mean square", number(e.b_error)),
        row("samples of each row", grouped(e.samples as usize)),
        row("effective samples, mean", format!("{:.2} %", 100.0 * e.ess_fraction)),
        row("effective samples, fewest", format!("{:.0}", e.least_ess)),
    ];
    if let Some(q) = &eval.quadrature {
        rows.push(row("rows checked by quadrature", q.rows.to_string()));
        rows.push(row("their log-likelihood by quadrature", number(q.log_likelihood)));
        rows.push(row("largest error of log Ẑ(x) there", number(q.largest_log_z_error)));
        if let Some(divergence) = q.divergence {
            rows.push(row("divergence from the true density there", number(divergence)));
        }
    }
    let normaliser = Table {
        title: "Normaliser and weights".to_owned(),
        caption: "Standard errors after ±; standardised units.".to_owned(),
        columns: names(&["quantity", "value"]),
        rows,
    };
    html(&Report {
        title: config.name.clone(),
        facts: model_facts(config, model, source),
        headlines,
        warnings: e.warnings.clone(),
        tables: vec![yardsticks, predictions, normaliser],
        figures: pictures.into_iter().map(|p| p.figure).collect(),
        config: config.to_toml(),
        command: command.to_owned(),
    })
}
