//! Runs side by side at equal budget, whatever their objectives.
//!
//! A run's ledger says what its steps had cost at each validation ([`crate::metrics::Spent`]). At a
//! budget, a run is where its best validation until then was: what it would have left, had it been
//! stopped there. The budgets compared at are the largest that every run has spent, so no run is
//! extrapolated.
//!
//! Invariants
//! 1. Likelihoods are intervals, in nats a row in standardised units, of the validation rows; those of
//!    the final evaluation stand apart.
//! 2. Runs on other rows are not silently compared: [`Comparison::warnings`].

mod account;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde::Serialize;

use crate::file::FileError;
use crate::metrics::Spent;
use crate::run_folder::RunFolderError;

use account::Account;
pub use account::{Evaluated, Standing};

/// Why runs cannot be compared.
#[derive(Debug, thiserror::Error)]
pub enum CompareError {
    /// A run folder.
    #[error(transparent)]
    Folder(#[from] RunFolderError),
    /// A file in it.
    #[error(transparent)]
    File(#[from] FileError),
    /// No validation with a ledger.
    #[error(
        "{} has no validation that says what its steps had cost: it has not come so far, or an older \
         version made it", .0.display()
    )]
    NoLedger(PathBuf),
    /// `eval.json` is damaged.
    #[error("{} is no evaluation: {why}", path.display())]
    Evaluation {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
}

/// What a budget counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Currency {
    /// Evaluations of the energy.
    Energies,
    /// Evaluations of its gradient.
    Gradients,
    /// Seconds of steps, on the machines that the runs had.
    Seconds,
}

impl Currency {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Energies, Self::Gradients, Self::Seconds];

    /// As people say it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Energies => "energy evaluations",
            Self::Gradients => "gradient evaluations",
            Self::Seconds => "seconds",
        }
    }

    fn of(self, spent: &Spent) -> f64 {
        match self {
            Self::Energies => spent.work.energies as f64,
            Self::Gradients => spent.work.gradients as f64,
            Self::Seconds => spent.seconds,
        }
    }
}

/// One run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// Its folder.
    pub path: PathBuf,
    /// Its settings where the runs differ.
    pub settings: BTreeMap<String, String>,
    /// Its objective does not train `b`: it was refitted to samples of its own before every validation.
    pub b_refitted: bool,
    /// Where it is now.
    pub now: Standing,
    /// Its final evaluation, if it has one.
    pub evaluated: Option<Evaluated>,
}

/// All runs at one budget.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AtBudget {
    /// What is counted.
    pub currency: Currency,
    /// How much every run may spend.
    pub budget: f64,
    /// Each run's best validation within the budget; none if its first comes later.
    pub standings: Vec<Option<Standing>>,
}

/// Runs side by side.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// Always `nats a row, standardised`.
    pub units: String,
    /// The runs, in the order given.
    pub runs: Vec<Entry>,
    /// At equal budget, by each currency.
    pub budgets: Vec<AtBudget>,
    /// Why the numbers may not be comparable.
    pub warnings: Vec<String>,
}

/// Compares the runs in `folders`.
///
/// # Errors
/// [`CompareError`], naming the folder.
pub fn compare(folders: &[PathBuf]) -> Result<Comparison, CompareError> {
    let accounts = folders.iter().map(|f| Account::read(f)).collect::<Result<Vec<_>, _>>()?;
    let differing = differing(&accounts);
    let warnings = warnings(&accounts, &differing);
    let budgets = Currency::ALL.map(|currency| at_budget(&accounts, currency)).to_vec();
    let entry = |(path, account): (&PathBuf, Account)| Entry {
        path: path.clone(),
        now: account.now(),
        b_refitted: account.b_refitted,
        settings: account.settings.into_iter().filter(|(k, _)| differing.contains(k)).collect(),
        name: account.name,
        evaluated: account.evaluated,
    };
    let runs = folders.iter().zip(accounts).map(entry).collect();
    Ok(Comparison { units: "nats a row, standardised".to_owned(), runs, budgets, warnings })
}

fn at_budget(accounts: &[Account], currency: Currency) -> AtBudget {
    let spent = accounts.iter().map(|account| currency.of(&account.now().spent));
    let budget = spent.fold(f64::INFINITY, f64::min);
    let within = |account: &Account| account.best_within(|spent| currency.of(spent) <= budget);
    AtBudget { currency, budget, standings: accounts.iter().map(within).collect() }
}

/// Keys on which not all runs agree.
fn differing(accounts: &[Account]) -> BTreeSet<String> {
    let keys = accounts.iter().flat_map(|account| account.settings.keys());
    let value = |account: &Account, key: &str| account.settings.get(key).cloned();
    let differs = |key: &&String| {
        accounts.iter().any(|account| value(account, key) != value(&accounts[0], key))
    };
    keys.filter(differs).cloned().collect()
}

fn warnings(accounts: &[Account], differing: &BTreeSet<String>) -> Vec<String> {
    let mut warnings = Vec::new();
    let rows: Vec<&str> = differing
        .iter()
        .map(String::as_str)
        .filter(|key| *key == "seed" || *key == "model.kind" || key.starts_with("data."))
        .collect();
    if !rows.is_empty() {
        warnings.push(format!(
            "the runs differ in {}: their likelihoods are not of the same thing or the same rows",
            rows.join(", ")
        ));
    }
    for account in accounts.iter().filter(|account| account.older) {
        warnings.push(format!(
            "{}: some validations do not say what was spent and are left out",
            account.name
        ));
    }
    warnings
}

#[cfg(test)]
mod tests;
