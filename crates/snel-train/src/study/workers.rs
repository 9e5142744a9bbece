//! `snel study workers`: a training step on more threads and more processes.
//!
//! Strong scaling keeps the step and adds workers; weak scaling lets rows and samples grow with
//! them. Threads are timed here, in their engine's own phases. Processes are timed by the caller,
//! who can start them, in the phases that their coordinator sees. A model of four times a step is
//! fitted to the processes and says what larger clusters would do ([`model`]).

mod findings;
pub mod load;
pub mod model;
mod threads;

use std::error::Error;
use std::path::Path;

use serde::{Deserialize, Serialize};

pub use findings::{findings, modelled};
use load::Load;

use super::table::Table;
use super::watch::Watcher;
use super::{Extent, StudyError};
use crate::compute::Compute;
use crate::estimate::mean;
use crate::plot::grouped;

/// What the workers are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Threads of one engine.
    Threads,
    /// Processes of one thread each, and a coordinator.
    Processes,
}

/// How the work grows with the workers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Growth {
    /// Not at all.
    Strong,
    /// In proportion.
    Weak,
}

/// Where the time of a step goes, milliseconds, and what it sends.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Phases {
    /// The gradients of the chunks; of processes, from their assignment to the last contribution,
    /// the update before it included.
    pub compute_ms: f64,
    /// Adding what the workers have summed.
    pub reduce_ms: f64,
    /// The update; of processes, from the sum's leaving to the commit.
    pub finish_ms: f64,
    /// Between two steps.
    pub idle_ms: f64,
    /// Bytes through the coordinator, both ways.
    pub bytes: u64,
}

impl Phases {
    /// Milliseconds of a step.
    pub fn step_ms(&self) -> f64 {
        self.compute_ms + self.reduce_ms + self.finish_ms + self.idle_ms
    }
}

/// A row of `study.csv`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// What the workers are.
    pub kind: Kind,
    /// How the work grows with them.
    pub growth: Growth,
    /// How many there are.
    pub workers: u32,
    /// Units of a hidden layer, of which there are [`load::DEPTH`].
    pub width: usize,
    /// Proposal samples of a step, of all workers.
    pub samples: u64,
    /// Data rows of a step.
    pub batch: u64,
    /// Parameters.
    pub parameters: u64,
    /// Measurements, each of many steps.
    pub repetitions: u64,
    /// Milliseconds of a step.
    pub estimate: f64,
    /// Their standard error over the measurements.
    pub standard_error: f64,
    /// Of them, gradients.
    pub compute_ms: f64,
    /// Of them, adding.
    pub reduce_ms: f64,
    /// Of them, update or commit.
    pub finish_ms: f64,
    /// Of them, between steps.
    pub idle_ms: f64,
    /// Bytes of a step through the coordinator.
    pub bytes: u64,
    /// Seconds that measuring took.
    pub seconds: f64,
    /// Largest resident memory of this process meanwhile, MiB; of threads only.
    pub peak_memory_mib: Option<f64>,
}

impl Row {
    /// The step that was measured.
    pub fn load(&self) -> Load {
        Load { width: self.width, samples: self.samples, batch: self.batch }
    }
}

/// Times a load on processes: how many, and how many steps.
pub type Processes<'a> =
    dyn Fn(&Load, u32, u64) -> Result<Phases, Box<dyn Error + Send + Sync>> + 'a;

/// What the study needs.
pub struct WorkersStudy<'a> {
    /// Where its table is.
    pub folder: &'a Path,
    /// The engine of the threads, and most workers.
    pub compute: Compute,
    /// Times processes.
    pub processes: &'a Processes<'a>,
    /// Who looks on.
    pub watcher: &'a dyn Watcher,
}

/// What a row depends on besides what it says.
#[derive(Debug, Serialize)]
struct Settings {
    study: &'static str,
    repetitions: u64,
    /// Floating-point operations of a worker in one measurement.
    work: f64,
    arithmetic: String,
}

#[derive(Debug, Clone, Copy)]
struct Cell {
    kind: Kind,
    growth: Growth,
    workers: u32,
    load: Load,
}

impl Cell {
    fn is(&self, row: &Row) -> bool {
        let same = (self.kind, self.growth, self.workers) == (row.kind, row.growth, row.workers);
        same && self.load == row.load()
    }

    /// Steps whose work is `work` for each worker.
    fn steps(&self, work: f64) -> u64 {
        let steps = work * f64::from(self.workers) / self.load.flop();
        (steps as u64).clamp(20, 500)
    }

    fn name(&self) -> String {
        let Load { width, samples, .. } = self.load;
        format!(
            "{}, width {width}, M = {}",
            team(self.kind, self.growth, self.workers),
            grouped(samples as usize)
        )
    }
}

/// As in `2 threads, strong`.
fn team(kind: Kind, growth: Growth, workers: u32) -> String {
    let kind = match (kind, workers) {
        (Kind::Threads, 1) => "thread",
        (Kind::Threads, _) => "threads",
        (Kind::Processes, 1) => "process",
        (Kind::Processes, _) => "processes",
    };
    let growth = if growth == Growth::Strong { "strong" } else { "weak" };
    format!("{workers} {kind}, {growth}")
}

/// Measures what is not measured yet; all rows of the table.
///
/// # Errors
/// [`StudyError`]; what was measured before is in the table.
pub fn run(study: &WorkersStudy<'_>, extent: Extent) -> Result<Vec<Row>, StudyError> {
    let (repetitions, work) = match extent {
        Extent::Quick => (2, 2e8),
        Extent::Usual => (3, 1e11),
        Extent::Deep => (7, 5e11),
    };
    let arithmetic = threads::arithmetic(study.compute)?;
    let settings = Settings { study: "workers", repetitions, work, arithmetic };
    let mut table = Table::<Row>::open(study.folder, &settings)?;
    let cells = cells(extent, study.compute.threads as u32);
    let is_there = |cell: &Cell| table.rows().iter().any(|row| cell.is(row));
    let left: Vec<Cell> = cells.into_iter().filter(|cell| !is_there(cell)).collect();
    study.watcher.begin(left.len() as u64 * repetitions);
    for cell in left {
        study.watcher.cell(&cell.name());
        table.add(vec![measure(study, &cell, repetitions, work)?])?;
    }
    Ok(table.rows().to_vec())
}

/// Strong and weak scaling of every load, one worker and then twice as many each time.
fn cells(extent: Extent, most: u32) -> Vec<Cell> {
    let workers: Vec<u32> =
        std::iter::successors(Some(1), |n| Some(2 * n)).take_while(|&n| n <= most).collect();
    let mut cells = Vec::new();
    for kind in [Kind::Threads, Kind::Processes] {
        for load in load::loads(extent) {
            for &workers in &workers {
                cells.push(Cell { kind, growth: Growth::Strong, workers, load });
                if workers > 1 {
                    let load = load.times(u64::from(workers));
                    cells.push(Cell { kind, growth: Growth::Weak, workers, load });
                }
            }
        }
    }
    cells
}

fn measure(
    study: &WorkersStudy<'_>,
    cell: &Cell,
    repetitions: u64,
    work: f64,
) -> Result<Row, StudyError> {
    crate::memory::forget_peak();
    let started = std::time::Instant::now();
    let mut all = Vec::new();
    for _ in 0..repetitions {
        if study.watcher.stopped() {
            return Err(StudyError::Stopped);
        }
        let steps = cell.steps(work);
        all.push(match cell.kind {
            Kind::Threads => threads::time(study.compute, &cell.load, cell.workers, steps)?,
            Kind::Processes => (study.processes)(&cell.load, cell.workers, steps)
                .map_err(|error| of_processes(error, study.watcher))?,
        });
        study.watcher.did(1);
    }
    let of = |f: fn(&Phases) -> f64| mean(&all.iter().map(f).collect::<Vec<_>>());
    let step = of(Phases::step_ms);
    let Load { width, samples, batch } = cell.load;
    let in_this_process = cell.kind == Kind::Threads;
    Ok(Row {
        kind: cell.kind,
        growth: cell.growth,
        workers: cell.workers,
        width,
        samples,
        batch,
        parameters: cell.load.parameters(),
        repetitions,
        estimate: step.value,
        standard_error: step.se,
        compute_ms: of(|p| p.compute_ms).value,
        reduce_ms: of(|p| p.reduce_ms).value,
        finish_ms: of(|p| p.finish_ms).value,
        idle_ms: of(|p| p.idle_ms).value,
        bytes: of(|p| p.bytes as f64).value as u64,
        seconds: started.elapsed().as_secs_f64(),
        peak_memory_mib: in_this_process.then(crate::memory::peak_mib).flatten(),
    })
}

/// Processes that were stopped did not fail.
fn of_processes(error: Box<dyn Error + Send + Sync>, watcher: &dyn Watcher) -> StudyError {
    if watcher.stopped() { StudyError::Stopped } else { StudyError::Processes(error) }
}
