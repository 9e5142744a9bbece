//! What one run has spent, and where that has brought it.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::CompareError;
use crate::config::{Config, ObjectiveKind, Split};
use crate::evaluate::Estimate;
use crate::file::FileError;
use crate::metrics::{Record, Spent, ValidationRecord};
use crate::run_folder::{RunFolder, keys_of_steps};
use crate::sink::read_json_lines;

/// A validation of a run, and what it had cost to get there.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Standing {
    /// Steps done when the budget was asked for.
    pub step: u64,
    /// Spent by then, over all resumptions.
    pub spent: Spent,
    /// Steps that the best model until then had done.
    pub best_step: u64,
    /// Its lower bound.
    pub lower: f64,
    /// Its upper bound.
    pub upper: f64,
    /// 95 % interval, by the Monte-Carlo errors.
    pub interval: [f64; 2],
}

/// The final evaluation of a run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Evaluated {
    /// `train`, `valid` or `test`.
    pub split: Split,
    /// Steps the model had done.
    pub step: u64,
    /// In standardised units; of a variational auto-encoder, SNELBO and the same with `log Ẑ`.
    pub standardised: Likelihood,
}

/// What is read of `eval.json`, of any kind of model.
#[derive(Deserialize)]
struct Report {
    split: Split,
    step: u64,
    #[serde(flatten)]
    of_kind: OfKind,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum OfKind {
    Standardised(Likelihood),
    Evaluation { snelbo: Estimate, elbo: Estimate, rows_se: Option<f64> },
}

impl From<Report> for Evaluated {
    fn from(report: Report) -> Self {
        let Report { split, step, of_kind } = report;
        let standardised = match of_kind {
            OfKind::Standardised(likelihood) => likelihood,
            OfKind::Evaluation { snelbo, elbo, rows_se } => {
                let interval = Estimate::between(&snelbo, &elbo).map(Some);
                Likelihood { interval, rows_se }
            }
        };
        Self { split, step, standardised }
    }
}

/// A likelihood in nats a row.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Likelihood {
    /// 95 % interval.
    pub interval: [Option<f64>; 2],
    /// Standard error over the rows.
    pub rows_se: Option<f64>,
}

pub(super) struct Account {
    pub(super) name: String,
    pub(super) settings: BTreeMap<String, String>,
    pub(super) evaluated: Option<Evaluated>,
    /// Its objective does not train `b`.
    pub(super) b_refitted: bool,
    /// There are validations without a ledger.
    pub(super) older: bool,
    /// After each validation; never empty.
    standings: Vec<Standing>,
}

impl Account {
    pub(super) fn read(path: &Path) -> Result<Self, CompareError> {
        let (folder, config) = RunFolder::open(path)?;
        let metrics = folder.metrics();
        let records = if metrics.exists() { read_json_lines(&metrics)? } else { Vec::new() };
        let (standings, older) = standings(&records);
        if standings.is_empty() {
            return Err(CompareError::NoLedger(path.to_path_buf()));
        }
        let evaluated = evaluated(&folder)?;
        Ok(Self {
            settings: settings(&config),
            b_refitted: config.objective.kind == ObjectiveKind::Mcmc,
            name: config.name,
            evaluated,
            older,
            standings,
        })
    }

    pub(super) fn now(&self) -> Standing {
        self.standings[self.standings.len() - 1]
    }

    /// The run as it stood after its last validation whose cost is `within` the budget.
    pub(super) fn best_within(&self, within: impl Fn(&Spent) -> bool) -> Option<Standing> {
        self.standings.iter().rev().find(|standing| within(&standing.spent)).copied()
    }
}

fn settings(config: &Config) -> BTreeMap<String, String> {
    let mut settings = keys_of_steps(config);
    settings.insert("train.steps".to_owned(), config.train.steps.to_string());
    settings
}

/// The standing after each validation with a ledger, and whether there are others.
fn standings(records: &[Record]) -> (Vec<Standing>, bool) {
    let mut standings: Vec<Standing> = Vec::new();
    let mut older = false;
    // The clock of a resumed run starts anew.
    let (mut before, mut clock) = (0.0, 0.0);
    for record in records {
        let Record::Validation(validation) = record else { continue };
        let ValidationRecord { step, lower, upper, interval, spent, .. } = *validation;
        let (Some(interval), Some(mut spent)) = (interval, spent) else {
            older = true;
            continue;
        };
        if spent.seconds < clock {
            before += clock;
        }
        clock = spent.seconds;
        spent.seconds += before;
        let here = Standing { step, spent, best_step: step, lower, upper, interval };
        let best = standings.last().filter(|last| last.lower >= lower).copied();
        standings.push(best.map_or(here, |best| Standing { step, spent, ..best }));
    }
    (standings, older)
}

fn evaluated(folder: &RunFolder) -> Result<Option<Evaluated>, CompareError> {
    let path = folder.evaluation();
    if !path.exists() {
        return Ok(None);
    }
    let bytes = std::fs::read(&path).map_err(FileError::at("read", &path))?;
    match serde_json::from_slice::<Report>(&bytes) {
        Ok(report) => Ok(Some(report.into())),
        Err(error) => Err(CompareError::Evaluation { path, why: error.to_string() }),
    }
}
