//! What the page and `/state.json` show: the state with the same numbers as text.
//!
//! The texts are made here alone; the page is filled with them by the server at first and by its
//! script later on, field by field.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::coordinator::journal::Happening;
use crate::watching::Source;
use crate::watching::curves::Curves;
use crate::watching::state::{RunState, WorkerState};

/// Texts by the names of their fields.
pub(super) type Fields = BTreeMap<&'static str, String>;

/// Everything that is shown.
#[derive(Debug, Serialize)]
pub(super) struct Document {
    pub(super) incarnation: u64,
    pub(super) version: &'static str,
    pub(super) now_ms: u64,
    pub(super) runs: Vec<RunDocument>,
    pub(super) workers: Vec<WorkerDocument>,
    /// The oldest first; none in the events' short form.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) happenings: Option<Vec<Happening>>,
}

/// A run.
#[derive(Debug, Serialize)]
pub(super) struct RunDocument {
    #[serde(flatten)]
    pub(super) run: RunState,
    pub(super) goodput: Option<f64>,
    pub(super) shown: Fields,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) curves: Option<Curves>,
}

/// A worker.
#[derive(Debug, Serialize)]
pub(super) struct WorkerDocument {
    #[serde(flatten)]
    pub(super) worker: WorkerState,
    pub(super) shown: Fields,
}

impl Document {
    /// How things are.
    pub(super) fn now(source: &dyn Source) -> Self {
        let state = source.state();
        let run = |run: RunState| RunDocument {
            goodput: run.tallies.goodput(),
            shown: run_fields(&run),
            curves: None,
            run,
        };
        let worker = |worker: WorkerState| WorkerDocument { shown: worker_fields(&worker), worker };
        Self {
            incarnation: state.incarnation,
            version: state.version,
            now_ms: state.now_ms,
            runs: state.runs.into_iter().map(run).collect(),
            workers: state.workers.into_iter().map(worker).collect(),
            happenings: None,
        }
    }

    /// The same with curves and what happened; reads files.
    pub(super) fn with_past(source: &dyn Source) -> Self {
        let mut document = Self::now(source);
        for run in &mut document.runs {
            run.curves = Some(source.curves(&run.run.name));
        }
        document.happenings = Some(source.journal().past());
        document
    }
}

/// The names and texts of a run.
pub(super) fn run_fields(run: &RunState) -> Fields {
    let share = if run.steps > 0 { run.step as f64 / run.steps as f64 } else { 0.0 };
    let validation = run.validation.as_ref();
    let nats = |value: f64| {
        if value.is_finite() { format!("{value:.4}").replace('-', "\u{2212}") } else { none() }
    };
    let wanted = match run.workers_wanted {
        0 => "all there are".to_owned(),
        n => format!("{n} wanted"),
    };
    Fields::from([
        ("name", run.name.clone()),
        ("phase", format!("{} {}", glyph(run.phase), run.phase)),
        (
            "step",
            format!("{} of {} steps, {:.1} %", count(run.step), count(run.steps), 100.0 * share),
        ),
        ("pace", if run.step_ms > 0.0 { milliseconds(run.step_ms) } else { none() }),
        ("workers", format!("{} ({wanted})", run.workers.len())),
        ("epoch", run.epoch.to_string()),
        (
            "recoveries",
            match run.recoveries {
                0 => "none".to_owned(),
                n => format!("{n}, the last in {}", milliseconds(run.last_recovery_ms)),
            },
        ),
        ("goodput", run.tallies.goodput().map_or_else(none, percent)),
        ("lower", validation.map_or_else(none, |v| nats(v.lower))),
        ("upper", validation.map_or_else(none, |v| nats(v.upper))),
        ("ess", validation.map_or_else(none, |v| percent(v.ess_fraction))),
        ("validated", validation.map_or_else(none, |v| format!("step {}", count(v.step)))),
        ("error", run.error.clone().unwrap_or_default()),
    ])
}

/// The names and texts of a worker.
pub(super) fn worker_fields(worker: &WorkerState) -> Fields {
    let speed = worker.chunks_per_second;
    Fields::from([
        ("name", worker.name.clone()),
        ("host", worker.host.clone()),
        ("state", worker.state.clone()),
        ("run", if worker.run.is_empty() { none() } else { worker.run.clone() }),
        ("threads", worker.threads.to_string()),
        ("speed", if speed > 0.0 { count(speed.round() as u64) } else { none() }),
        ("silent", format!("{} ms", count(worker.silent_ms))),
    ])
}

/// A sign for those who do not see the colour.
fn glyph(phase: &str) -> &'static str {
    match phase {
        "running" => "▶",
        "paused" => "⏸",
        "finished" => "✓",
        "cancelled" => "■",
        "failed" => "✕",
        _ => "…",
    }
}

fn none() -> String {
    "–".to_owned()
}

fn percent(fraction: f64) -> String {
    if fraction.is_finite() { format!("{:.1} %", 100.0 * fraction) } else { none() }
}

fn milliseconds(ms: f64) -> String {
    match ms {
        ms if ms < 10.0 => format!("{ms:.2} ms"),
        ms if ms < 1e3 => format!("{ms:.0} ms"),
        ms => format!("{:.1} s", ms / 1e3),
    }
}

/// With a thin space between thousands.
fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::with_capacity(digits.len() * 2);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!(count(0), "0");
        assert_eq!(count(999), "999");
        assert_eq!(count(1000), "1\u{202f}000");
        assert_eq!(count(1_234_567), "1\u{202f}234\u{202f}567");
        assert_eq!(milliseconds(0.426), "0.43 ms");
        assert_eq!(milliseconds(34.4), "34 ms");
        assert_eq!(milliseconds(2340.0), "2.3 s");
        assert_eq!(percent(f64::NAN), "–");
    }

    #[test]
    fn a_run_without_anything_has_all_fields() {
        let fields = run_fields(&RunState::default());
        assert_eq!(fields["step"], "0 of 0 steps, 0.0 %");
        assert_eq!((&*fields["pace"], &*fields["lower"], &*fields["goodput"]), ("–", "–", "–"));
    }
}
