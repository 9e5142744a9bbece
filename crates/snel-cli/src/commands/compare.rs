//! `snel compare`.

use snel_train::compare::{AtBudget, Comparison, Currency, Entry, Standing, compare};

use crate::args::CompareArgs;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{count, err, json, out};

pub(crate) fn run(args: &CompareArgs) -> Result<Exit, Failure> {
    let comparison = compare(&args.runs)?;
    if args.json {
        json(&comparison);
    } else {
        print(&comparison);
    }
    comparison.warnings.iter().for_each(|warning| err(&format!("warning: {warning}")));
    Ok(Exit::Done)
}

fn print(comparison: &Comparison) {
    let Comparison { runs, budgets, .. } = comparison;
    for (i, run) in runs.iter().enumerate() {
        let settings = run.settings.iter().map(|(key, value)| format!("{key} = {value}"));
        let settings = settings.collect::<Vec<_>>().join(", ");
        out(format!("{}  {}  {settings}", i + 1, run.path.display()).trim_end());
        if run.b_refitted {
            out("   b refitted before every validation: the objective does not train it");
        }
    }
    out("\nSpent by steps, and the final evaluation; nats a row, standardised, 95 % intervals");
    let head = ["run", "steps", "energies", "gradients", "seconds", "likelihood", "over rows"];
    columns(&head, runs.iter().enumerate().map(|(i, run)| spent(i, run)).collect());
    // All objectives look at an energy and its gradient together: one table is enough for both.
    let alike = |run: &Entry| run.now.spent.work.energies == run.now.spent.work.gradients;
    let alike = runs.iter().all(alike);
    for AtBudget { currency, budget, standings } in budgets {
        let name = match currency {
            Currency::Gradients if alike => continue,
            Currency::Energies if alike => "energies and as many gradients",
            _ => currency.name(),
        };
        let budget = match currency {
            Currency::Seconds => format!("{budget:.1}"),
            Currency::Energies | Currency::Gradients => count(*budget as u64),
        };
        out(&format!("\nBest on the validation rows within {budget} {name}"));
        let rows = standings.iter().enumerate().map(|(i, standing)| at(i, standing.as_ref()));
        columns(&["run", "of step", "lower", "upper", "95 % interval"], rows.collect());
    }
}

fn spent(i: usize, Entry { now, evaluated, .. }: &Entry) -> Vec<String> {
    let mut row = vec![
        (i + 1).to_string(),
        count(now.step),
        count(now.spent.work.energies),
        count(now.spent.work.gradients),
        format!("{:.1}", now.spent.seconds),
    ];
    row.extend(evaluated.iter().flat_map(|evaluated| {
        let [low, high] = evaluated.standardised.interval.map(number);
        let rows = number(evaluated.standardised.rows_se);
        [format!("{low} to {high}"), format!("± {rows}")]
    }));
    row
}

fn at(i: usize, standing: Option<&Standing>) -> Vec<String> {
    let run = (i + 1).to_string();
    let Some(Standing { best_step, lower, upper, interval, .. }) = standing else {
        return vec![run, "none yet".to_owned()];
    };
    let [low, high] = interval.map(|v| number(Some(v)));
    let bounds = [lower, upper].map(|v| number(Some(*v)));
    let [lower, upper] = bounds;
    vec![run, count(*best_step), lower, upper, format!("{low} to {high}")]
}

fn number(value: Option<f64>) -> String {
    value.map_or("none".to_owned(), |v| format!("{v:.4}"))
}

/// Rows below their heads, to the right of each column.
fn columns(head: &[&str], rows: Vec<Vec<String>>) {
    let width = |c: usize| {
        let cells = rows.iter().filter_map(|row| row.get(c)).map(|cell| cell.chars().count());
        cells.max().unwrap_or(0).max(head[c].len())
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let cells = cells.zip(&widths).map(|(cell, &width)| format!("{cell:>width$}"));
        out(&cells.collect::<Vec<_>>().join("  "));
    };
    line(&mut head.iter().copied());
    rows.iter().for_each(|row| line(&mut row.iter().map(String::as_str)));
}
