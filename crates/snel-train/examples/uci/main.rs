//! An energy on top of a proposal beside a mixture density network and a Gaussian one, on five UCI
//! tables: `cargo run --release -p snel-train --example uci -- DATA FOLDER [NAME…]` reads the tables
//! in DATA, keeps runs in FOLDER and prints the table of `docs/regression.md`. Runs that are in the
//! folder already are only read, so what was interrupted goes on.
//!
//! Invariants
//! 1. The three models of a seed see the same rows: train, validation and test.
//! 2. Nothing but the last evaluation of a run looks at test rows.

#![allow(clippy::print_stdout, clippy::print_stderr)] // it reports

use std::error::Error;
use std::path::{Path, PathBuf};

use snel_train::config::Config;

mod dequantise;
#[path = "../runs/mod.rs"]
mod runs;
mod sets;
mod table;

use sets::{COMMON, METHODS, Method, SETS, Set};
use table::Score;

fn main() -> Result<(), Box<dyn Error>> {
    let mut words = std::env::args().skip(1);
    let data = words.next().ok_or("usage: uci DATA FOLDER [NAME…]")?;
    let data = std::fs::canonicalize(&data).map_err(|e| format!("{data}: {e}"))?;
    let folder = PathBuf::from(words.next().unwrap_or_else(|| "target/uci".to_owned()));
    std::fs::create_dir_all(&folder)?;
    let folder = std::fs::canonicalize(&folder)?;
    let names: Vec<String> = words.collect();
    if let Some(name) = names.iter().find(|name| SETS.iter().all(|set| set.name != **name)) {
        let known = SETS.map(|set| set.name).join(", ");
        return Err(format!("there is no table {name}; there are {known}").into());
    }
    table::head();
    for set in SETS.iter().filter(|set| names.is_empty() || names.iter().any(|n| n == set.name)) {
        let path = file(set, &data, &folder)?;
        let mut scores = Vec::new();
        for method in METHODS {
            let of_seeds = (1..=set.seeds).map(|seed| score(set, method, seed, &path, &folder));
            scores.push(of_seeds.collect::<Result<Vec<_>, _>>()?);
        }
        table::rows(set, &scores);
    }
    Ok(())
}

/// The rows of a data set; with whole numbers as targets, rows of its own in the runs' folder.
fn file(set: &Set, data: &Path, folder: &Path) -> Result<PathBuf, Box<dyn Error>> {
    let name = format!("{}.csv", set.name);
    let given = data.join(&name);
    if !set.whole_numbers {
        return Ok(given);
    }
    let made = folder.join(&name);
    if !made.exists() {
        dequantise::dequantise(&given, set.target, &made)?;
    }
    Ok(made)
}

/// None if the run diverged.
fn score(
    set: &Set,
    method: Method,
    seed: u32,
    path: &Path,
    folder: &Path,
) -> Result<Option<Score>, Box<dyn Error>> {
    let name = format!("{}-{}-{seed}", set.name, method.name());
    eprintln!("{name}");
    let mut settings = vec![format!("seed={seed}"), format!("data.path={}", path.display())];
    settings.extend(set.settings(method));
    let config = Config::parse(COMMON, "uci.toml", &settings)?;
    let found = runs::report(&config, &folder.join(name))?;
    Ok(found.as_ref().and_then(Score::new))
}
