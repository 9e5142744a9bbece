//! A coordinator and its workers, as threads.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use snel_cluster::client::connect;
use snel_cluster::coordinator::{Coordinator, CoordinatorSettings};
use snel_cluster::security::Settings;
use snel_cluster::worker::{LinkError, WorkerSettings, work};
use snel_cuda::nccl::Ground;
use snel_proto::v1;
use snel_train::compute::{Compute, Device, Precision};
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

use crate::ground::Watched;

const CONFIG: &str = r#"
[data]
toy = "rings"
rows = 600

[model]
depth = 2
width = 12

[train]
steps = 3000
batch = 64
samples = 300
valid_every = 1000
valid_samples = 1000
checkpoint_every = 500

[output]
report = false
"#;

/// Silence after which a worker is lost, and the time between a group's failure and the next one.
const BUDGET: Duration = Duration::from_millis(500);

/// A folder of runs.
pub(crate) struct Place(tempfile::TempDir);

/// What becomes of a worker; nothing, if its thread has panicked.
type End = Option<Result<(), LinkError>>;

/// A run under way.
pub(crate) struct Run {
    name: String,
    url: String,
    folder: PathBuf,
    runtime: Runtime,
    stop: oneshot::Sender<()>,
    leave: Arc<AtomicBool>,
    workers: Vec<JoinHandle<Result<(), LinkError>>>,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// The model of a run that one worker trains without a group.
    pub(crate) fn train_alone(&self) -> Vec<u8> {
        let run = self.run("alone", vec![None]);
        let model = run.model();
        run.end();
        model
    }

    /// A run of workers that sum together.
    pub(crate) fn begin(&self, name: &str, grounds: &[Arc<Watched>]) -> Run {
        self.run(name, grounds.iter().map(|g| Some(g.clone() as Arc<dyn Ground>)).collect())
    }

    fn run(&self, name: &str, grounds: Vec<Option<Arc<dyn Ground>>>) -> Run {
        let runtime = Runtime::new().unwrap();
        let dir = self.0.path().join(format!("{name}-runs"));
        let (url, stop) = serve(&runtime, &dir);
        let leave = Arc::new(AtomicBool::new(false));
        let wanted = grounds.len() as u32;
        submit(&runtime, &url, name, wanted);
        let worker = |(i, ground)| {
            let settings = worker_settings(&url, format!("worker-{i}"), ground, leave.clone());
            std::thread::spawn(move || work(settings))
        };
        let workers = grounds.into_iter().enumerate().map(worker).collect();
        let folder = dir.join(name);
        Run { name: name.to_owned(), url, folder, runtime, stop, leave, workers }
    }
}

fn serve(runtime: &Runtime, dir: &Path) -> (String, oneshot::Sender<()>) {
    let settings = CoordinatorSettings {
        dir: dir.to_owned(),
        listen: "127.0.0.1:0".parse().unwrap(),
        http: None,
        failure_budget: BUDGET,
        only: None,
        security: Settings::default(),
        say: |_| {},
    };
    let coordinator = runtime.block_on(Coordinator::start(&settings)).unwrap();
    let url = format!("http://{}", coordinator.address().unwrap());
    let (stop, stopped) = oneshot::channel::<()>();
    runtime.spawn(coordinator.serve(async { drop(stopped.await) }));
    (url, stop)
}

fn submit(runtime: &Runtime, url: &str, run: &str, workers: u32) {
    let (run, config) = (run.to_owned(), CONFIG.to_owned());
    let request = v1::SubmitRequest { run, config, workers, resume: false };
    runtime.block_on(async {
        let mut control = connect(url, &Settings::default(), |_| {}).await.unwrap();
        control.submit(request).await.unwrap();
    });
}

fn worker_settings(
    url: &str,
    name: String,
    ground: Option<Arc<dyn Ground>>,
    drain: Arc<AtomicBool>,
) -> WorkerSettings {
    WorkerSettings {
        dial: Settings::default().client(url, |_| {}).unwrap(),
        address: url.to_owned(),
        name,
        compute: Compute {
            device: Device::Cpu,
            precision: Precision::default(),
            threads: 1,
            say: |_| {},
        },
        drain,
        say: |_| {},
        ground,
        give_up: None,
    }
}

impl Run {
    pub(crate) fn status(&self) -> v1::RunStatus {
        let run = self.name.clone();
        self.runtime.block_on(async {
            let mut control = connect(&self.url, &Settings::default(), |_| {}).await.unwrap();
            let answer = control.get_run(v1::GetRunRequest { run }).await.unwrap();
            answer.into_inner().run.unwrap()
        })
    }

    /// The model, once the run has ended.
    pub(crate) fn model(&self) -> Vec<u8> {
        let deadline = Instant::now() + Duration::from_mins(3);
        loop {
            let status = self.status();
            if status.phase() == v1::RunPhase::Finished {
                return std::fs::read(self.folder.join("model.safetensors")).unwrap();
            }
            assert!(status.error.is_none() && Instant::now() < deadline, "{status:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Lets all go; none must have died.
    pub(crate) fn end(self) -> Vec<Result<(), LinkError>> {
        self.end_with_deaths().into_iter().map(Option::unwrap).collect()
    }

    pub(crate) fn end_with_deaths(self) -> Vec<End> {
        self.leave.store(true, Ordering::Relaxed);
        let ends = self.workers.into_iter().map(|worker| worker.join().ok()).collect();
        let _ = self.stop.send(());
        ends
    }
}
