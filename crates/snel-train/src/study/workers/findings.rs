//! Tables and pictures of `snel study workers`.

use super::load::Load;
use super::model::{Model, Point, errors_left_out};
use super::{Growth, Kind, Row, team};
use crate::evaluate::Estimate;
use crate::plot::{Measured, Scaling, Trend, grouped, short};
use crate::report::Table;
use crate::study::StudyError;
use crate::study::page::Findings;

/// Clusters that the model is asked about.
const LARGER: [u32; 6] = [2, 4, 16, 64, 256, 1024];

/// Everything that the study has found.
///
/// # Errors
/// [`StudyError`] if a picture cannot be drawn.
pub fn findings(rows: &[Row]) -> Result<Findings, StudyError> {
    let mut found = Findings::default();
    found.tables.push(measured(rows));
    let points = points(rows);
    let model = Model::fit(&points);
    if let Some(model) = &model {
        found.tables.push(terms(model));
        found.tables.push(errors(model, &points));
        found.tables.push(predictions(model, rows));
    }
    for (kind, name, title) in [
        (Kind::Threads, "threads", "A step on more threads"),
        (Kind::Processes, "processes", "A step on more processes"),
    ] {
        let trends = first_loads(rows, kind).map(|first| trend(rows, first, model)).collect();
        let scaling = Scaling { title, axes: ["workers", "milliseconds"], trends };
        let caption = if kind == Kind::Processes {
            "The same step shared by more workers; dashes are the fitted model."
        } else {
            "The same step shared by more threads."
        };
        found.picture(name, &scaling, caption)?;
    }
    Ok(found)
}

/// The model that is fitted to the processes.
pub fn modelled(rows: &[Row]) -> Option<Model> {
    Model::fit(&points(rows))
}

/// The rows of one worker of a kind: the loads.
fn first_loads(rows: &[Row], kind: Kind) -> impl Iterator<Item = &Row> {
    rows.iter().filter(move |row| row.kind == kind && row.workers == 1)
}

/// Of processes, what the model is fitted to.
fn points(rows: &[Row]) -> Vec<Point> {
    let point =
        |row: &Row| Point { load: row.load(), workers: row.workers, seconds: row.estimate / 1e3 };
    rows.iter().filter(|row| row.kind == Kind::Processes).map(point).collect()
}

/// Time of one worker over that of several, each with its share of the work.
fn efficiency(rows: &[Row], row: &Row) -> Option<Estimate> {
    let n = u64::from(row.workers);
    let load = row.load();
    let alone = match row.growth {
        Growth::Strong => load,
        Growth::Weak => Load { samples: load.samples / n, batch: load.batch / n, ..load },
    };
    let one = first_loads(rows, row.kind).find(|one| one.load() == alone)?;
    let speedup = one.estimate / row.estimate;
    let value = if row.growth == Growth::Strong { speedup / n as f64 } else { speedup };
    let relative = |row: &Row| (row.standard_error / row.estimate).powi(2);
    Some(Estimate { value, se: value * (relative(one) + relative(row)).sqrt() })
}

fn trend(rows: &[Row], first: &Row, model: Option<Model>) -> Trend {
    let same = |row: &&Row| {
        row.kind == first.kind && row.growth == Growth::Strong && row.load() == first.load()
    };
    let place =
        |row: &Row| Measured { x: f64::from(row.workers), y: row.estimate, se: row.standard_error };
    let model = model.filter(|_| first.kind == Kind::Processes);
    let theory = |model: Model| {
        (0..=6)
            .map(move |k| 1u32 << k)
            .map(move |n| (f64::from(n), 1e3 * model.predict(&first.load(), n)))
    };
    Trend {
        name: name(&first.load()),
        measured: rows.iter().filter(same).map(place).collect(),
        theory: model.into_iter().flat_map(theory).collect(),
    }
}

fn name(load: &Load) -> String {
    format!("width {}, M = {}", load.width, grouped(load.samples as usize))
}

fn percent(share: f64) -> String {
    format!("{} %", short(100.0 * share, 3))
}

fn measured(rows: &[Row]) -> Table {
    let cells = |row: &Row| {
        let share = |ms: f64| percent(ms / row.estimate);
        let efficiency = efficiency(rows, row).filter(|_| row.workers > 1);
        let with_error = |e: Estimate| format!("{:.2} ± {:.2}", e.value, e.se);
        vec![
            format!("{}, {}", team(row.kind, row.growth, row.workers), name(&row.load())),
            format!("{} ± {}", short(row.estimate, 4), short(row.standard_error, 2)),
            efficiency.map_or("–".to_owned(), with_error),
            share(row.compute_ms),
            share(row.reduce_ms),
            share(row.finish_ms),
            share(row.idle_ms),
            grouped(row.bytes as usize),
        ]
    };
    let columns =
        ["workers and step", "ms", "efficiency", "compute", "reduce", "finish", "idle", "bytes"];
    Table {
        title: "Measured".to_owned(),
        caption: "Efficiency is the time of one worker over that of `N`, divided by `N` where the \
                  step is the same (strong), and not where it grew with them (weak). Compute: \
                  gradients; reduce: adding; finish: update of threads, sum out and commit of \
                  processes; idle: between steps. Bytes a step go through the coordinator."
            .to_owned(),
        columns: columns.map(str::to_owned).to_vec(),
        rows: rows.iter().map(cells).collect(),
    }
}

fn terms(model: &Model) -> Table {
    let row = |term: &str, time: f64, unit: &str| {
        vec![term.to_owned(), format!("{} {unit}", short(time, 3))]
    };
    Table {
        title: "The model".to_owned(),
        caption: "`T(N) = flop / N · a + P · u + N P · c + l`: `N` processes share `6 P (M + n)` \
                  operations; each rounds and updates `P` parameters; `N` times 16 bytes a parameter \
                  go through one coordinator; a step has a latency. No time is negative; one that \
                  cannot be told from the others is zero."
            .to_owned(),
        columns: ["term", "fitted"].map(str::to_owned).to_vec(),
        rows: vec![
            row("a, an operation on one worker", 1e12 * model.flop, "ps"),
            row("u, a parameter on every worker", 1e9 * model.parameter, "ns"),
            row("c, a parameter of one worker at the coordinator", 1e9 * model.exchange, "ns"),
            row("l, a step", 1e6 * model.latency, "µs"),
        ],
    }
}

fn errors(model: &Model, points: &[Point]) -> Table {
    let left_out = errors_left_out(points);
    let mut rows: Vec<Vec<String>> = points
        .iter()
        .zip(&left_out)
        .map(|(point, left_out)| {
            vec![
                format!("{} of {}", point.workers, name(&point.load)),
                short(1e3 * point.seconds, 4),
                short(1e3 * model.predict(&point.load, point.workers), 4),
                percent(model.error(point)),
                percent(*left_out),
            ]
        })
        .collect();
    let worst =
        |errors: &mut dyn Iterator<Item = f64>| percent(errors.map(f64::abs).fold(0.0, f64::max));
    let fitted = worst(&mut points.iter().map(|point| model.error(point)));
    let unseen = worst(&mut left_out.iter().copied());
    rows.push(vec!["largest".to_owned(), String::new(), String::new(), fitted, unseen]);
    Table {
        title: "Its errors on the measured points".to_owned(),
        caption: "Of the model that was fitted to all points, and of one fitted to all but this."
            .to_owned(),
        columns: [
            "processes and step",
            "measured, ms",
            "model, ms",
            "error",
            "error when left out",
        ]
        .map(str::to_owned)
        .to_vec(),
        rows,
    }
}

fn predictions(model: &Model, rows: &[Row]) -> Table {
    let mut table = Table {
        title: "What the model says of larger clusters".to_owned(),
        caption: "An extrapolation, nothing of it was run: workers as fast as these, on a network as \
                  fast as this machine's loopback, with cores to spare for the coordinator. Strong: \
                  the same step; weak: rows and samples times `N`."
            .to_owned(),
        columns: ["step", "N", "strong, ms", "efficiency", "weak, ms", "efficiency"]
            .map(str::to_owned)
            .to_vec(),
        rows: Vec::new(),
    };
    for first in first_loads(rows, Kind::Processes) {
        let load = first.load();
        let alone = model.predict(&load, 1);
        for n in LARGER {
            let strong = model.predict(&load, n);
            let weak = model.predict(&load.times(u64::from(n)), n);
            table.rows.push(vec![
                name(&load),
                n.to_string(),
                short(1e3 * strong, 3),
                percent(alone / strong / f64::from(n)),
                short(1e3 * weak, 3),
                percent(alone / weak),
            ]);
        }
    }
    table
}
