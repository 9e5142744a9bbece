//! Whole sweeps: theory holds for the engine as it is, and not for one that is made wrong.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use snel_core::chunks::ChunkSet;
use snel_core::engine::{Engine, EngineError, Fingerprint, Head};
use snel_core::optim::Applied;
use snel_core::optim::Optim;
use snel_core::partial::{Partial, Reduced};
use snel_core::plan::StepPlan;
use snel_core::problem::{Model, Problem};
use snel_core::rows::Rows;
use snel_core::state::State;
use snel_cpu::CpuEngine;

use super::check::Check;
use super::measure::{Engines, Quantity, Row};
use super::watch::{Unwatched, Watcher};
use super::*;
use crate::compute::{Compute, ComputeError, Device};

fn cpu(problem: Arc<Problem>, rows: Arc<dyn Rows>) -> Result<Box<dyn Engine>, ComputeError> {
    Ok(Box::new(CpuEngine::new(problem, rows, 2)?))
}

fn sweep<'a>(folder: &'a Path, engines: &'a Engines<'a>, watcher: &'a dyn Watcher) -> Sweep<'a> {
    Sweep { folder, seed: 0, threads: 2, engines, watcher }
}

fn quick_samples(engines: &Engines<'_>) -> Vec<Row> {
    let folder = tempfile::tempdir().unwrap();
    samples::run(&sweep(folder.path(), engines, &Unwatched), Extent::Quick).unwrap()
}

fn failing(checks: &[Check]) -> Vec<&str> {
    checks.iter().filter(|check| !check.holds).map(|check| &*check.claim).collect()
}

#[test]
fn theory_holds_over_samples_and_a_wrong_exponent_does_not() {
    let mut rows = quick_samples(&cpu);
    let checks = samples::checks(&rows);
    assert!(checks.len() > 8 && failing(&checks).is_empty(), "{checks:#?}");
    // The slope of a variance that falls as M^-0.85.
    for row in &mut rows {
        if row.quantity == Quantity::ZVariance {
            row.estimate *= (row.samples as f64 / 100.0).powf(0.15);
        }
    }
    let checks = samples::checks(&rows);
    assert!(failing(&checks).contains(&"the variance of Ẑ falls as 1/M"), "{checks:#?}");
}

/// A proposal that is 4 % wider than it should be leaves everything unbiased, but no size right: the
/// chi-square divergence grows from 0.44 to 0.58.
#[test]
fn another_proposal_is_noticed() {
    let wider = |problem: Arc<Problem>, rows: Arc<dyn Rows>| {
        let proposal = problem.model.proposal.clone().widened(1.04);
        let model = Model { proposal, ..problem.model.clone() };
        cpu(Arc::new(Problem::new(model, problem.objective, Optim::default(), 0)), rows)
    };
    let checks = samples::checks(&quick_samples(&wider));
    let failing = failing(&checks);
    assert!(failing.contains(&"the variance of Ẑ has the size it must have"), "{checks:#?}");
    assert!(!failing.contains(&"SNL's gradient has no bias at any M"), "{checks:#?}");
}

/// An engine whose weights are 1 % too small: `b` is a hundredth of a nat too large.
struct Biased(Box<dyn Engine>);

#[test]
fn a_biased_estimator_is_noticed() {
    let biased = |problem: Arc<Problem>, rows: Arc<dyn Rows>| {
        Ok::<Box<dyn Engine>, _>(Box::new(Biased(cpu(problem, rows)?)))
    };
    let checks = samples::checks(&quick_samples(&biased));
    let failing = failing(&checks);
    for claim in [
        "SNL's bound at b = log Z has no bias at any M",
        "SNL's gradient has no bias at any M",
        "the bias of log Ẑ, and so of the upper bound, falls as 1/M",
    ] {
        assert!(failing.contains(&claim), "{claim}: {checks:#?}");
    }
}

#[test]
fn theory_holds_over_dimensions() {
    let folder = tempfile::tempdir().unwrap();
    let rows = dimension::run(&sweep(folder.path(), &cpu, &Unwatched), Extent::Quick).unwrap();
    let checks = dimension::checks(&rows);
    assert!(failing(&checks).is_empty(), "{checks:#?}");
    let findings = dimension::findings(&rows).unwrap();
    let about = page::About { title: "Dimension", explanation: &[], command: "snel study" };
    findings.save(folder.path(), &about).unwrap();
    let page = std::fs::read_to_string(folder.path().join("study.html")).unwrap();
    assert!(page.contains("<svg") && !page.contains("no data yet"));
    assert!(folder.path().join("plots/ess-gaussian.png").exists());
}

/// Stops when it is told of the third cell, and counts cells.
#[derive(Default)]
struct Impatient {
    cells: AtomicU32,
    patient: bool,
}

impl Watcher for Impatient {
    fn begin(&self, _work: u64) {}
    fn cell(&self, _name: &str) {
        self.cells.fetch_add(1, Ordering::Relaxed);
    }
    fn did(&self, _work: u64) {}
    fn stopped(&self) -> bool {
        !self.patient && self.cells.load(Ordering::Relaxed) == 3
    }
}

/// A stopped sweep goes on where it was, and ends with the numbers of an undisturbed one.
#[test]
fn a_stopped_sweep_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let run =
        |watcher: &dyn Watcher| dimension::run(&sweep(folder.path(), &cpu, watcher), Extent::Quick);
    assert!(matches!(run(&Impatient::default()), Err(StudyError::Stopped)));
    let patient = Impatient { patient: true, ..Impatient::default() };
    let rows = run(&patient).unwrap();
    assert_eq!(patient.cells.into_inner(), 4 * 10 - 2);
    let other = tempfile::tempdir().unwrap();
    let whole = dimension::run(&sweep(other.path(), &cpu, &Unwatched), Extent::Quick).unwrap();
    let timeless = |rows: &[Row]| -> Vec<Row> {
        let row = |row: &Row| Row { seconds: 0.0, peak_memory_mib: None, ..row.clone() };
        rows.iter().map(row).collect()
    };
    assert_eq!(timeless(&rows), timeless(&whole));
    // Nothing is left to do.
    let again = Impatient::default();
    assert_eq!(timeless(&run(&again).unwrap()), timeless(&whole));
    assert_eq!(again.cells.into_inner(), 0);
}

/// Processes that take the time of a model give that model back, and its predictions.
#[test]
fn processes_are_modelled() {
    use super::workers::model::Model;
    use super::workers::{Kind, Phases, WorkersStudy, findings, run};
    let truth = Model { flop: 2e-11, parameter: 1e-9, exchange: 4e-9, latency: 2e-4 };
    let folder = tempfile::tempdir().unwrap();
    let say = |_: &str| {};
    let precision = crate::compute::Precision::Bf16x3;
    let compute = Compute { device: Device::Cpu, precision, threads: 2, say };
    let study = WorkersStudy {
        folder: folder.path(),
        compute,
        processes: &|load, workers, _| {
            Ok(Phases { compute_ms: 1e3 * truth.predict(load, workers), ..Phases::default() })
        },
        watcher: &Unwatched,
    };
    let rows = run(&study, Extent::Quick).unwrap();
    // Three loads: one worker, two, and two with twice the work; of threads and of processes.
    assert_eq!(rows.len(), 2 * 3 * 3);
    assert!(rows.iter().all(|row| row.estimate > 0.0));
    assert!(rows.iter().any(|row| row.kind == Kind::Threads && row.compute_ms > 0.0));
    let found = findings(&rows).unwrap();
    let errors = found.tables.iter().find(|table| table.title.contains("errors")).unwrap();
    let largest = &errors.rows.last().unwrap()[3];
    assert!(largest.starts_with("0.00") || largest.contains("10⁻"), "{largest}");
    let table = found.tables.last().unwrap();
    let load = super::workers::load::Load { width: 16, samples: 4096, batch: 256 };
    let expected = crate::plot::short(1e3 * truth.predict(&load, 1024), 3);
    assert_eq!((&*table.rows[5][1], &table.rows[5][2]), ("1024", &expected));
}

impl Engine for Biased {
    fn restore(&mut self, state: &State) -> Result<(), EngineError> {
        self.0.restore(state)?;
        self.0.set_b(state.b() + 0.01);
        Ok(())
    }

    fn fingerprint(&self) -> Fingerprint {
        self.0.fingerprint()
    }

    fn accumulate(
        &mut self,
        plan: &StepPlan,
        chunks: &ChunkSet,
        partial: &mut Partial,
    ) -> Result<(), EngineError> {
        self.0.accumulate(plan, chunks, partial)
    }

    fn apply(&mut self, reduced: &Reduced<'_>) -> Applied {
        self.0.apply(reduced)
    }

    fn skip(&mut self) {
        self.0.skip();
    }

    fn head(&self) -> Head {
        self.0.head()
    }

    fn set_b(&mut self, b: f32) {
        self.0.set_b(b);
    }

    fn digest(&self) -> u128 {
        self.0.digest()
    }

    fn snapshot(&self) -> State {
        self.0.snapshot()
    }
}
