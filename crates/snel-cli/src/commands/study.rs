//! `snel study`.

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use serde::Serialize;
use snel_cluster::study::Timing;
use snel_train::report::Table;
use snel_train::study::check::Check;
use snel_train::study::dimension::{self, Law, laws};
use snel_train::study::measure::Row;
use snel_train::study::page::{About, Findings};
use snel_train::study::workers::model::Model;
use snel_train::study::workers::{self, WorkersStudy};
use snel_train::study::{StudyError, Sweep, samples};

use crate::args::{StudyArgs, StudyCommand, SweepArgs};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{err, json, out};
use crate::study_progress::StudyProgress;

/// The JSON document of a study.
#[derive(Serialize)]
struct Document<'a> {
    study: &'a str,
    folder: &'a Path,
    checks: &'a [Check],
    #[serde(flatten)]
    details: Details,
}

/// What a study has measured and concluded.
#[derive(Serialize)]
#[serde(untagged)]
enum Details {
    Samples { rows: Vec<Row> },
    Dimension { laws: Vec<Law>, rows: Vec<Row> },
    Workers { model: Option<Model>, rows: Vec<workers::Row> },
}

pub(crate) fn run(study: &StudyCommand) -> Result<Exit, Failure> {
    match study {
        StudyCommand::Samples(args) => samples(args),
        StudyCommand::Dimension(args) => dimension(args),
        StudyCommand::Workers(args) => workers(args),
    }
}

fn samples(args: &SweepArgs) -> Result<Exit, Failure> {
    let study = Study::new("samples", &args.study, args.seed);
    let extent = args.study.extent();
    let Some(rows) = study.sweep(|sweep| samples::run(sweep, extent))? else {
        return Ok(Exit::Interrupted);
    };
    let findings = samples::findings(&rows)?;
    study.report(findings, "Samples", &samples::EXPLANATION, Details::Samples { rows })
}

fn dimension(args: &SweepArgs) -> Result<Exit, Failure> {
    let study = Study::new("dimension", &args.study, args.seed);
    let extent = args.study.extent();
    let Some(rows) = study.sweep(|sweep| dimension::run(sweep, extent))? else {
        return Ok(Exit::Interrupted);
    };
    let findings = dimension::findings(&rows)?;
    let details = Details::Dimension { laws: laws(&rows), rows };
    study.report(findings, "Dimension", &dimension::EXPLANATION, details)
}

fn workers(args: &StudyArgs) -> Result<Exit, Failure> {
    let study = Study::new("workers", args, 0);
    let program = std::env::current_exe();
    let program = program.map_err(|e| Failure::system("cannot find this program's file", e))?;
    let run = study.folder.join("run");
    let rows = study.watched(|progress| {
        let timing = Timing { program: &program, folder: &run, stop: progress.stop() };
        let workers = WorkersStudy {
            folder: &study.folder,
            compute: args.compute.settings(),
            processes: &|load, workers, steps| Ok(timing.time(load, workers, steps)?),
            watcher: progress,
        };
        workers::run(&workers, args.extent())
    })?;
    let Some(rows) = rows else { return Ok(Exit::Interrupted) };
    let findings = workers::findings(&rows)?;
    let details = Details::Workers { model: workers::modelled(&rows), rows };
    study.report(findings, "Workers", &[], details)
}

/// A study as it was asked for.
struct Study<'a> {
    name: &'static str,
    args: &'a StudyArgs,
    seed: u32,
    folder: PathBuf,
}

impl<'a> Study<'a> {
    fn new(name: &'static str, args: &'a StudyArgs, seed: u32) -> Self {
        let folder = args.out.clone().unwrap_or_else(|| Path::new("studies").join(name));
        Self { name, args, seed, folder }
    }

    /// What `sweep` measures; none if it was interrupted.
    fn sweep<R>(
        &self,
        sweep: impl FnOnce(&Sweep<'_>) -> Result<R, StudyError>,
    ) -> Result<Option<R>, Failure> {
        let compute = self.args.compute.settings();
        self.watched(|progress| {
            sweep(&Sweep {
                folder: &self.folder,
                seed: self.seed,
                threads: compute.threads,
                engines: &|problem, rows| Ok(compute.engine(problem, rows)?),
                watcher: progress,
            })
        })
    }

    /// What `measure` returns, shown while it runs; none if it was interrupted.
    fn watched<R>(
        &self,
        measure: impl FnOnce(&StudyProgress) -> Result<R, StudyError>,
    ) -> Result<Option<R>, Failure> {
        let progress = StudyProgress::new(self.args.json);
        let result = measure(&progress);
        // All that took long is on disk: from here on a signal ends the program at once.
        progress.stop().store(true, Ordering::Relaxed);
        drop(progress);
        match result {
            Err(StudyError::Stopped) => {
                err(&format!("stopped; what was measured is in {}", self.folder.display()));
                err(&format!("hint: go on with `{}`", self.command()));
                Ok(None)
            }
            result => Ok(Some(result?)),
        }
    }

    fn report(
        &self,
        findings: Findings,
        title: &str,
        explanation: &[&str],
        details: Details,
    ) -> Result<Exit, Failure> {
        let Self { name, args, folder, .. } = self;
        let exit = if findings.hold() { Exit::Done } else { Exit::Failed };
        if args.json {
            json(&Document { study: name, folder, checks: &findings.checks, details });
        } else {
            for table in findings.tables.iter().take(1) {
                print(table);
                out("");
            }
            if !findings.checks.is_empty() {
                findings.checks.iter().for_each(|check| out(&check.verdict()));
                out("");
            }
            out(&format!("{}  study.csv, study.html, plots", folder.display()));
        }
        let command = self.command();
        findings.save(folder, &About { title, explanation, command: &command })?;
        if exit != Exit::Done {
            err("error: the measurements contradict a prediction");
        }
        Ok(exit)
    }

    /// The command line as the user would type it again.
    fn command(&self) -> String {
        let Self { name, args, seed, .. } = self;
        let mut words = vec![format!("snel study {name}")];
        words.extend(args.out.as_ref().map(|out| format!("--out {}", out.display())));
        words.extend(args.deep.then(|| "--deep".to_owned()));
        words.extend(args.quick.then(|| "--quick".to_owned()));
        words.extend((*seed > 0).then(|| format!("--seed {seed}")));
        words.extend(args.compute.threads.map(|n| format!("--threads {n}")));
        words.join(" ")
    }
}

/// A table in columns.
fn print(table: &Table) {
    let rows = || std::iter::once(&table.columns).chain(&table.rows);
    let width = |i: usize| rows().map(|row| row[i].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..table.columns.len()).map(width).collect();
    for row in rows() {
        let cells = row.iter().zip(&widths).enumerate().map(|(i, (cell, &width))| {
            if i == 0 { format!("{cell:width$}") } else { format!("{cell:>width$}") }
        });
        out(&cells.collect::<Vec<_>>().join("  "));
    }
}
