//! One machine as a cluster: a coordinator and its workers as processes, watched over.
//!
//! Invariants
//! 1. A process that dies is started again, at the same place; the run does not end for it.
//! 2. The processes end with this one, however it ends: each holds the other end of a pipe.
//! 3. A signal of the terminal reaches this process only; it asks the run to stop.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use snel_proto::v1;
use snel_train::compute::{Device, Precision};
use snel_train::file::FileError;
use snel_train::metrics::{Record, Walked, Weighed};
use snel_train::sink::{Live, Sink};
use tokio_stream::StreamExt;

use crate::client::{self, ClientError, Control};
use crate::coordinator::is_over;
use crate::security;

/// How often children and the stop flag are looked at.
const LOOK: Duration = Duration::from_millis(50);
/// A coordinator that takes longer to open its port has failed.
const START_TIME: Duration = Duration::from_secs(30);
/// Deaths without a step between them, after which something is wrong with the program and not
/// with the world.
const DEATHS: usize = 20;

/// What is to be run.
pub struct LaunchSettings<'a> {
    /// The program: its own path.
    pub program: PathBuf,
    /// The run folder.
    pub out: &'a Path,
    /// The config, TOML.
    pub config: String,
    /// Go on with the run in the folder.
    pub resume: bool,
    /// Worker processes.
    pub workers: u32,
    /// Threads of each.
    pub threads: usize,
    /// Device of each, from the first again if there are more workers.
    pub devices: Vec<Device>,
    /// Workers of GPUs sum by NCCL.
    pub nccl: bool,
    /// Of a GPU.
    pub precision: Precision,
    /// Silence after which a worker counts as lost.
    pub failure_budget: Duration,
    /// Set from outside to stop the run.
    pub stop: &'a AtomicBool,
}

/// Why a launch failed.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// A process could not be started.
    #[error("cannot start a {role} process")]
    Start {
        /// Which.
        role: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// The run folder has no name or parent.
    #[error("{} cannot be a run folder", .0.display())]
    Folder(PathBuf),
    /// The coordinator did not open its port.
    #[error("the coordinator did not start within {} s", START_TIME.as_secs())]
    Late,
    /// A process dies again and again.
    #[error("a {0} process died {DEATHS} times without a step between")]
    Dying(&'static str),
    /// The coordinator cannot be reached.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The coordinator refused.
    #[error("{}", .0.message())]
    Refused(Box<tonic::Status>),
    /// Metrics could not be written.
    #[error(transparent)]
    File(#[from] FileError),
    /// No event loop.
    #[error("cannot start the event loop")]
    Runtime(#[source] io::Error),
}

/// Runs to the end and returns the run's last status.
///
/// # Errors
/// [`LaunchError`]; a run that was begun can be resumed.
pub fn launch(
    settings: &LaunchSettings<'_>,
    sinks: &mut [Box<dyn Sink>],
) -> Result<v1::RunStatus, LaunchError> {
    launch_watched(settings, sinks, &mut |_| {})
}

/// The same; `look` sees every status of the run that comes, the last one too.
///
/// # Errors
/// [`LaunchError`]; a run that was begun can be resumed.
pub fn launch_watched(
    settings: &LaunchSettings<'_>,
    sinks: &mut [Box<dyn Sink>],
    look: &mut dyn FnMut(&v1::RunStatus),
) -> Result<v1::RunStatus, LaunchError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(LaunchError::Runtime)?.block_on(run(settings, sinks, look))
}

async fn run(
    settings: &LaunchSettings<'_>,
    sinks: &mut [Box<dyn Sink>],
    look: &mut dyn FnMut(&v1::RunStatus),
) -> Result<v1::RunStatus, LaunchError> {
    let out = std::path::absolute(settings.out)
        .map_err(|_| LaunchError::Folder(settings.out.to_path_buf()))?;
    let (Some(dir), Some(name)) = (out.parent(), out.file_name().and_then(|n| n.to_str())) else {
        return Err(LaunchError::Folder(settings.out.to_path_buf()));
    };
    let mut children = Children::start(settings, dir, name).await?;
    let mut control = children.connect().await?;
    let submit = v1::SubmitRequest {
        run: name.to_owned(),
        config: settings.config.clone(),
        workers: settings.workers,
        resume: settings.resume,
    };
    submit_run(&mut children, &mut control, submit).await?;
    children.start_workers()?;
    let mut shown = Shown::default();
    let mut asked_to_stop = false;
    loop {
        let watch = v1::WatchRequest { run: name.to_owned() };
        let Ok(updates) = control.watch(watch).await else {
            // A coordinator that starts has to read its runs first.
            tokio::time::sleep(LOOK).await;
            children.look_after()?;
            control = children.connect().await?;
            continue;
        };
        let mut updates = updates.into_inner();
        loop {
            let update = tokio::time::timeout(LOOK, updates.next()).await;
            children.look_after()?;
            if settings.stop.load(Ordering::Relaxed) && !asked_to_stop {
                let cancel = v1::CancelRequest { run: name.to_owned() };
                asked_to_stop = control.cancel(cancel).await.is_ok();
            }
            match update {
                Err(_) => {}
                Ok(Some(Ok(update))) => {
                    let before = shown.step;
                    if let Some(v1::watch_response::Update::Status(status)) = &update.update {
                        look(status);
                    }
                    if let Some(last) = shown.show(update, sinks)? {
                        return Ok(last);
                    }
                    if shown.step > before {
                        children.deaths = 0;
                    }
                }
                // The coordinator is gone; the next one goes on.
                Ok(None | Some(Err(_))) => break,
            }
        }
        asked_to_stop = false;
        control = children.connect().await?;
    }
}

/// Hands the run in; to the next coordinator if one dies meanwhile, which may have taken it.
async fn submit_run(
    children: &mut Children<'_>,
    control: &mut Control,
    run: v1::SubmitRequest,
) -> Result<(), LaunchError> {
    let mut tries = 0;
    loop {
        let Err(status) = control.submit(run.clone()).await else { return Ok(()) };
        if tries > 0 && status.code() == tonic::Code::AlreadyExists {
            return Ok(());
        }
        tries += 1;
        // A coordinator that refuses says why; a connection that breaks does not.
        if !status.details().is_empty() || tries > DEATHS {
            return Err(refused(status));
        }
        tokio::time::sleep(LOOK).await;
        children.look_after()?;
        *control = children.connect().await?;
    }
}

fn refused(status: tonic::Status) -> LaunchError {
    LaunchError::Refused(Box::new(status))
}

/// What the sinks have been told.
#[derive(Default)]
struct Shown {
    step: u64,
    weighed: Option<Weighed>,
    walked: Option<Walked>,
    points_per_second: f64,
}

impl Shown {
    /// Passes an update on; the status if it is the last.
    fn show(
        &mut self,
        update: v1::WatchResponse,
        sinks: &mut [Box<dyn Sink>],
    ) -> Result<Option<v1::RunStatus>, FileError> {
        use v1::watch_response::Update;
        match update.update {
            Some(Update::Record(json)) => {
                let Ok(record) = serde_json::from_str::<Record>(&json) else { return Ok(None) };
                if let Record::Step(step) = &record {
                    (self.weighed, self.walked) = (step.weighed, step.walked);
                    self.points_per_second = step.points_per_second;
                }
                for sink in sinks {
                    sink.record(&record)?;
                }
            }
            Some(Update::Note(text)) => sinks.iter_mut().for_each(|sink| sink.note(&text)),
            Some(Update::Status(status)) => {
                if is_over(status.phase()) {
                    return Ok(Some(status));
                }
                self.step = status.step;
                let live = Live {
                    step: status.step,
                    steps: status.steps,
                    weighed: self.weighed,
                    walked: self.walked,
                    points_per_second: self.points_per_second,
                };
                sinks.iter_mut().for_each(|sink| sink.live(&live));
            }
            None => {}
        }
        Ok(None)
    }
}

/// The processes.
struct Children<'a> {
    settings: &'a LaunchSettings<'a>,
    dir: PathBuf,
    run: String,
    address: SocketAddr,
    coordinator: Child,
    workers: Vec<Child>,
    /// Since the last step.
    deaths: usize,
}

impl<'a> Children<'a> {
    async fn start(
        settings: &'a LaunchSettings<'a>,
        dir: &Path,
        run: &str,
    ) -> Result<Self, LaunchError> {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut coordinator = start_coordinator(settings, dir, run, any)?;
        let address = first_line(&mut coordinator).await?;
        Ok(Self {
            settings,
            dir: dir.to_path_buf(),
            run: run.to_owned(),
            address,
            coordinator,
            workers: Vec::new(),
            deaths: 0,
        })
    }

    fn start_workers(&mut self) -> Result<(), LaunchError> {
        for number in 1..=self.settings.workers {
            self.workers.push(start_worker(self.settings, self.address, number)?);
        }
        Ok(())
    }

    async fn connect(&mut self) -> Result<Control, LaunchError> {
        let url = format!("http://{}", self.address);
        let started = Instant::now();
        loop {
            match client::connect(&url, &security::Settings::default(), |_| {}).await {
                Ok(control) => return Ok(control),
                Err(error) if started.elapsed() > START_TIME => return Err(error.into()),
                Err(_) => {
                    self.look_after()?;
                    tokio::time::sleep(LOOK).await;
                }
            }
        }
    }

    /// Starts the dead again.
    fn look_after(&mut self) -> Result<(), LaunchError> {
        if has_ended(&mut self.coordinator) {
            self.count_death("coordinator")?;
            self.coordinator =
                start_coordinator(self.settings, &self.dir, &self.run, self.address)?;
        }
        for i in 0..self.workers.len() {
            if has_ended(&mut self.workers[i]) {
                self.count_death("worker")?;
                self.workers[i] = start_worker(self.settings, self.address, i as u32 + 1)?;
            }
        }
        Ok(())
    }

    fn count_death(&mut self, role: &'static str) -> Result<(), LaunchError> {
        self.deaths += 1;
        if self.deaths > DEATHS {
            return Err(LaunchError::Dying(role));
        }
        Ok(())
    }
}

impl Drop for Children<'_> {
    fn drop(&mut self) {
        // All that matters is on the disk.
        for child in self.workers.iter_mut().chain([&mut self.coordinator]) {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn has_ended(child: &mut Child) -> bool {
    !matches!(child.try_wait(), Ok(None))
}

fn start_coordinator(
    settings: &LaunchSettings<'_>,
    dir: &Path,
    run: &str,
    listen: SocketAddr,
) -> Result<Child, LaunchError> {
    let mut command = Command::new(&settings.program);
    command.arg("coordinator").arg("--dir").arg(dir).args(["--only", run, "--with-parent"]);
    command.args(["--listen", &listen.to_string()]);
    command.args(["--failure-budget-ms", &settings.failure_budget.as_millis().to_string()]);
    command.stdout(Stdio::piped());
    start("coordinator", command)
}

fn start_worker(
    settings: &LaunchSettings<'_>,
    coordinator: SocketAddr,
    number: u32,
) -> Result<Child, LaunchError> {
    let mut command = Command::new(&settings.program);
    command.args(["worker", "--with-parent", "--quiet"]);
    command.args(["--coordinator", &format!("http://{coordinator}")]);
    command.args(["--name", &format!("worker-{number}")]);
    command.args(["--threads", &settings.threads.to_string()]);
    let turn = (number as usize).saturating_sub(1) % settings.devices.len().max(1);
    let device = settings.devices.get(turn).copied().unwrap_or_default();
    command.args(["--device", &device.to_string()]);
    if settings.nccl {
        command.arg("--nccl");
    }
    command.args(["--precision", &settings.precision.to_string()]);
    command.stdout(Stdio::null());
    start("worker", command)
}

fn start(role: &'static str, mut command: Command) -> Result<Child, LaunchError> {
    use std::os::unix::process::CommandExt;
    command.stdin(Stdio::piped()).process_group(0);
    command.spawn().map_err(|source| LaunchError::Start { role, source })
}

/// The address that a coordinator prints when its port is open.
async fn first_line(coordinator: &mut Child) -> Result<SocketAddr, LaunchError> {
    use std::io::{BufRead, BufReader};
    let stdout = coordinator.stdout.take().ok_or(LaunchError::Late)?;
    let line = tokio::task::spawn_blocking(move || {
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line).map(|_| line)
    });
    let line = tokio::time::timeout(START_TIME, line).await.map_err(|_| LaunchError::Late)?;
    let line = line.ok().and_then(Result::ok).unwrap_or_default();
    line.trim().parse().map_err(|_| LaunchError::Late)
}
