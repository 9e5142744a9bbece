//! The report of a run of a variational auto-encoder.

use super::report::VaeReport;
use crate::config::Config;
use crate::evaluate::{Estimate, Z_95};
use crate::model_file::ModelFile;
use crate::pictures::Picture;
use crate::plot::grouped;
use crate::report::{Headline, Report, Table, html};
use crate::run_report::{model_facts, name_of_b};

/// Says in plain words what the two bounds are.
const HOW_TO_READ: &str = "The log-likelihood of a variational auto-encoder cannot be computed \
    exactly: what is given are numbers that lie below it on average over the draws that they are \
    made of. SNELBO is the bound with one mean over samples of z; the importance-weighted bound uses more samples of z for \
    each row and is tighter. The interval is that of the Monte-Carlo error.";

/// The page as text. `source` says where the data came from, `command` what made the run.
pub fn page(
    config: &Config,
    report: &VaeReport,
    model: &ModelFile,
    source: &str,
    pictures: Vec<Picture>,
    command: &str,
) -> String {
    let e = &report.evaluation;
    let split = format!("{:?}", report.split).to_lowercase();
    let range = |v: Estimate| {
        let [low, high] = [-Z_95, Z_95].map(|z| v.value + z * v.se);
        format!("{low:.4} to {high:.4} nats a row")
    };
    let about = format!(
        "The standard error of the mean over {} rows is {:.3} nats.",
        grouped(e.rows as usize),
        e.rows_se
    );
    let row = |name: &str, value: String| vec![name.to_owned(), value];
    let with_error = |v: Estimate| format!("{:.4} ± {:.4}", v.value, v.se);
    let table = |title: &str, caption: &str, rows: Vec<Vec<String>>| Table {
        title: title.to_owned(),
        caption: caption.to_owned(),
        columns: ["quantity", "value"].map(str::to_owned).to_vec(),
        rows,
    };
    let mut bounds = vec![
        row("SNELBO, at b", with_error(e.snelbo)),
        row("ELBO, by log Ẑ (no bound)", with_error(e.elbo)),
        row("importance-weighted bound, at b", with_error(e.importance)),
        row("log-likelihood estimate, by log Ẑ (no bound)", with_error(e.log_likelihood)),
        row("reconstruction, mean log p(x|z)", format!("{:.4}", e.reconstruction)),
        row("divergence, mean KL(q(z|x) ‖ d)", format!("{:.4}", e.divergence)),
        row("energy, mean E(z)", format!("{:.4}", e.energy)),
        row("samples of z for each row", grouped(e.posterior_samples as usize)),
        row("effective ones, mean", format!("{:.1}", e.posterior_ess)),
        row("effective ones, fewest", format!("{:.1}", e.least_posterior_ess)),
    ];
    if let Some(log_det) = report.log_det {
        let original = |v: Estimate| with_error(Estimate { value: v.value + log_det, ..v });
        bounds.push(row("SNELBO, original units", original(e.snelbo)));
        bounds.push(row("importance-weighted bound, original units", original(e.importance)));
    }
    let normaliser = vec![
        row("log Z", with_error(e.log_z)),
        row(name_of_b(report.b_refitted), format!("{:.5}", e.b)),
        row("b − log Z", with_error(e.b_minus_log_z)),
        row("samples of the base density", grouped(e.weights.samples as usize)),
        row("effective ones", format!("{:.2} %", 100.0 * e.weights.ess_fraction)),
    ];
    html(&Report {
        title: config.name.clone(),
        facts: model_facts(config, model, source),
        headlines: vec![
            Headline {
                name: format!("SNELBO of the {split} rows"),
                interval: range(e.snelbo),
                explanation: vec![HOW_TO_READ.to_owned(), about],
            },
            Headline {
                name: format!("Importance-weighted bound of the {split} rows"),
                interval: range(e.importance),
                explanation: Vec::new(),
            },
        ],
        warnings: e.warnings.clone(),
        tables: vec![
            table("Bounds and their parts", "Standard errors after ±; nats a row.", bounds),
            table("Normaliser of the prior", "Standard errors after ±.", normaliser),
        ],
        figures: pictures.into_iter().map(|p| p.figure).collect(),
        config: config.to_toml(),
        command: command.to_owned(),
    })
}
