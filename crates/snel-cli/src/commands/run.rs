//! `snel run …` and `snel worker-list`: the client of the control plane.

use std::future::Future;
use std::path::Path;

use serde::Serialize;
use snel_cluster::client::{self, Control};
use snel_cluster::coordinator::{is_over, phase_word};
use snel_cluster::error_text;
use snel_proto::v1;
use snel_proto::v1::watch_response::Update;
use snel_train::config::Config;
use snel_train::file::write_atomically;

use crate::args::{
    ClientArgs, DrainArgs, FetchArgs, NamedRun, RunCommand, ScaleArgs, SubmitArgs, WorkerListArgs,
};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{err, json, out, table};

/// A run, as JSON.
#[derive(Serialize)]
struct RunDocument {
    run: String,
    phase: &'static str,
    step: u64,
    steps: u64,
    epoch: u64,
    workers_wanted: u32,
    workers: Vec<String>,
    step_ms: f64,
    recoveries: u64,
    last_recovery_ms: f64,
    digest_mismatches: u64,
    model_step: u64,
    waiting_for: Vec<String>,
    error: Option<String>,
}

/// A worker, as JSON.
#[derive(Serialize)]
struct WorkerDocument {
    name: String,
    host: String,
    version: String,
    threads: u32,
    state: String,
    run: String,
    silent_ms: u64,
}

pub(crate) fn run(command: &RunCommand) -> Result<Exit, Failure> {
    match command {
        RunCommand::Submit(args) => submit(args),
        RunCommand::List(args) => list(args),
        RunCommand::Show(args) => show(args, async |control, run| {
            Ok(control.get_run(v1::GetRunRequest { run }).await?.into_inner().run)
        }),
        RunCommand::Watch(args) => watch(args),
        RunCommand::Pause(args) => show(args, async |control, run| {
            Ok(control.pause(v1::PauseRequest { run }).await?.into_inner().run)
        }),
        RunCommand::Resume(args) => show(args, async |control, run| {
            Ok(control.resume(v1::ResumeRequest { run }).await?.into_inner().run)
        }),
        RunCommand::Cancel(args) => show(args, async |control, run| {
            Ok(control.cancel(v1::CancelRequest { run }).await?.into_inner().run)
        }),
        RunCommand::Scale(ScaleArgs { run: args, workers }) => show(args, async |control, run| {
            let request = v1::ScaleRequest { run, workers: *workers };
            Ok(control.scale(request).await?.into_inner().run)
        }),
        RunCommand::Fetch(args) => fetch(args),
        RunCommand::Drain(args) => drain(args),
    }
}

/// Runs `work` in an event loop, with a connection.
fn connected<T>(
    args: &ClientArgs,
    work: impl AsyncFnOnce(Control) -> Result<T, Failure>,
) -> Result<T, Failure> {
    block_on(async {
        let control = client::connect(&args.coordinator, &args.settings(), err).await?;
        work(control).await
    })
}

fn block_on<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|e| Failure::system("cannot start the event loop", e))?.block_on(work)
}

fn submit(args: &SubmitArgs) -> Result<Exit, Failure> {
    let config = Config::load(&args.config, &args.overrides)?;
    let folder = config.run_folder();
    let usual = folder.file_name().map(|name| name.to_string_lossy().into_owned());
    let request = v1::SubmitRequest {
        run: args.name.clone().or(usual).unwrap_or_default(),
        config: config.to_toml(),
        workers: args.workers,
        resume: args.resume,
    };
    let run = connected(&args.client, async |mut control| {
        Ok(control.submit(request).await?.into_inner().run)
    })?;
    print(run.unwrap_or_default(), args.json);
    Ok(Exit::Done)
}

fn show(
    args: &NamedRun,
    ask: impl AsyncFnOnce(&mut Control, String) -> Result<Option<v1::RunStatus>, Failure>,
) -> Result<Exit, Failure> {
    let run =
        connected(&args.client, async |mut control| ask(&mut control, args.run.clone()).await)?;
    print(run.unwrap_or_default(), args.json);
    Ok(Exit::Done)
}

fn list(args: &WorkerListArgs) -> Result<Exit, Failure> {
    let runs = connected(&args.client, async |mut control| {
        Ok(control.list_runs(v1::ListRunsRequest {}).await?.into_inner().runs)
    })?;
    let runs: Vec<RunDocument> = runs.into_iter().map(document).collect();
    if args.json {
        json(&runs);
        return Ok(Exit::Done);
    }
    let rows = runs.iter().map(|r| {
        let workers = format!("{}/{}", r.workers.len(), wanted(r.workers_wanted));
        let progress = format!("{}/{}", r.step, r.steps);
        [r.run.clone(), r.phase.to_owned(), progress, workers, format!("{:.2}", r.step_ms)]
    });
    columns(["RUN", "PHASE", "STEP", "WORKERS", "MS/STEP"], rows.collect());
    Ok(Exit::Done)
}

pub(crate) fn workers(args: &WorkerListArgs) -> Result<Exit, Failure> {
    let workers = connected(&args.client, async |mut control| {
        Ok(control.list_workers(v1::ListWorkersRequest {}).await?.into_inner().workers)
    })?;
    let workers: Vec<WorkerDocument> = workers
        .into_iter()
        .map(|w| WorkerDocument {
            name: w.name,
            host: w.host,
            version: w.version,
            threads: w.threads,
            state: w.state,
            run: w.run,
            silent_ms: w.silent_ms,
        })
        .collect();
    if args.json {
        json(&workers);
        return Ok(Exit::Done);
    }
    let rows = workers
        .into_iter()
        .map(|w| [w.name, w.state, w.run, w.threads.to_string(), w.host])
        .collect();
    columns(["WORKER", "STATE", "RUN", "THREADS", "HOST"], rows);
    Ok(Exit::Done)
}

fn watch(args: &NamedRun) -> Result<Exit, Failure> {
    let last = connected(&args.client, async |mut control| {
        let request = v1::WatchRequest { run: args.run.clone() };
        let mut updates = control.watch(request).await?.into_inner();
        while let Some(response) = updates.message().await? {
            match response.update {
                Some(Update::Record(line)) => out(&line),
                Some(Update::Note(text)) => err(&format!("note: {text}")),
                Some(Update::Status(status)) if is_over(status.phase()) => {
                    return Ok(Some(status));
                }
                Some(Update::Status(_)) | None => {}
            }
        }
        Ok(None)
    })?;
    let Some(last) = last else {
        return Err(tonic::Status::unavailable("the coordinator is gone").into());
    };
    let phase = last.phase();
    if !args.json {
        print(last.clone(), false);
    }
    if phase == v1::RunPhase::Failed {
        return Err(Failure::of_run(&last.error.unwrap_or_default()));
    }
    Ok(Exit::Done)
}

fn fetch(args: &FetchArgs) -> Result<Exit, Failure> {
    let FetchArgs { run: NamedRun { run, client, json: as_json }, file, out: path } = args;
    let data = connected(client, async |mut control| {
        let request = v1::FetchRequest { run: run.clone(), file: file.clone() };
        let mut pieces = control.fetch(request).await?.into_inner();
        let (mut data, mut size) = (Vec::new(), 0);
        while let Some(piece) = pieces.message().await? {
            size = piece.size;
            data.extend_from_slice(&piece.data);
        }
        if data.len() as u64 != size {
            return Err(tonic::Status::unavailable("the file ended early; try again").into());
        }
        Ok(data)
    })?;
    write_atomically(Path::new(path), &data)?;
    if *as_json {
        json(&serde_json::json!({ "file": path, "bytes": data.len() }));
    } else {
        out(&format!("{}  {} bytes", path.display(), data.len()));
    }
    Ok(Exit::Done)
}

fn drain(args: &DrainArgs) -> Result<Exit, Failure> {
    connected(&args.client, async |mut control| {
        control.drain(v1::DrainRequest { worker: args.worker.clone() }).await?;
        Ok(())
    })?;
    out(&format!("{} leaves after its step", args.worker));
    Ok(Exit::Done)
}

fn print(status: v1::RunStatus, as_json: bool) {
    let run = document(status);
    if as_json {
        return json(&run);
    }
    let mut rows = vec![
        ("run", run.run),
        ("phase", run.phase.to_owned()),
        ("step", format!("{} of {}", run.step, run.steps)),
        ("workers", format!("{} ({} wanted)", run.workers.join(" "), wanted(run.workers_wanted))),
        ("epoch", run.epoch.to_string()),
        ("time of a step", format!("{:.2} ms", run.step_ms)),
        ("recoveries", format!("{}, the last in {:.0} ms", run.recoveries, run.last_recovery_ms)),
    ];
    if !run.waiting_for.is_empty() {
        rows.push(("waiting for", run.waiting_for.join(", ")));
    }
    if let Some(error) = run.error {
        rows.push(("error", error));
    }
    table(&rows);
}

fn wanted(workers: u32) -> String {
    if workers == 0 { "all".to_owned() } else { workers.to_string() }
}

fn document(status: v1::RunStatus) -> RunDocument {
    let phase = phase_word(status.phase());
    RunDocument {
        run: status.run,
        phase,
        step: status.step,
        steps: status.steps,
        epoch: status.epoch,
        workers_wanted: status.workers_wanted,
        workers: status.workers,
        step_ms: status.step_ms,
        recoveries: status.recoveries,
        last_recovery_ms: status.last_recovery_ms,
        digest_mismatches: status.digest_mismatches,
        model_step: status.model_step,
        waiting_for: status.waiting_for,
        error: status.error.as_ref().map(error_text),
    }
}

/// Rows under their heads, as wide as needed.
fn columns<const N: usize>(heads: [&str; N], rows: Vec<[String; N]>) {
    let width = |i: usize| {
        rows.iter().map(|row| row[i].chars().count()).chain([heads[i].len()]).max().unwrap_or(0)
    };
    let widths: [usize; N] = std::array::from_fn(width);
    let line = |row: [&str; N]| {
        let cells: Vec<String> =
            row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        out(cells.join("   ").trim_end());
    };
    line(heads);
    rows.iter().for_each(|row| line(std::array::from_fn(|i| row[i].as_str())));
}
