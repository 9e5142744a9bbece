//! `snel launch`: `snel train` with processes instead of threads.

use std::sync::atomic::Ordering;
use std::time::Duration;

use snel_cluster::coordinator::FAILURE_BUDGET_MS;
use snel_cluster::launch::{LaunchSettings, launch};
use snel_cuda::driver::{OpenError, gpus};
use snel_proto::v1::RunPhase;
use snel_train::compute::Device;
use snel_train::config::Config;
use snel_train::model_file::ModelFile;
use snel_train::run::Trained;
use snel_train::run_folder::RunFolder;
use snel_train::setup::prepare;
use snel_train::sink::Sink;
use snel_train::trainer::Outcome;

use super::train::{finish_and_report, interrupted};
use crate::args::{Gpus, LaunchArgs};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::interrupt::stop_flag;
use crate::progress::Progress;

pub(crate) fn run(args: &LaunchArgs) -> Result<Exit, Failure> {
    let LaunchArgs { train, workers, gpus, nccl } = args;
    let devices = devices(gpus.as_ref(), train.compute.device)?;
    let config = Config::load(&train.config, &train.overrides)?;
    let out = train.out.clone().unwrap_or_else(|| config.run_folder());
    // What is wrong with the data is found here, before any process is started.
    let setup = prepare(&config, &std::env::temp_dir())?;
    let stop = stop_flag();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let usual = if gpus.is_some() { devices.len() } else { cores };
    let workers = workers.unwrap_or(usual as u32);
    let budget = config.cluster.failure_budget_ms.unwrap_or(FAILURE_BUDGET_MS);
    let program = std::env::current_exe();
    let settings = LaunchSettings {
        program: program.map_err(|e| Failure::system("cannot find this program's file", e))?,
        out: &out,
        config: config.to_toml(),
        resume: train.resume,
        workers,
        threads: train.compute.threads.map_or((cores / workers as usize).max(1), usize::from),
        devices,
        nccl: *nccl,
        precision: train.compute.precision,
        failure_budget: Duration::from_millis(budget),
        stop: &stop,
    };
    let progress = Progress::new(config.train.steps, train.json);
    let mut sinks: Vec<Box<dyn Sink>> = vec![Box::new(progress)];
    let status = launch(&settings, &mut sinks)?;
    drop(sinks);
    match status.phase() {
        RunPhase::Finished => {}
        RunPhase::Cancelled => return Ok(interrupted(train, "snel launch", status.step, &out)),
        _ => return Err(Failure::of_run(&status.error.unwrap_or_default())),
    }
    // All that took long is on disk: from here on a signal ends the program at once.
    stop.store(true, Ordering::Relaxed);
    let folder = RunFolder::at(&out)?;
    let model = ModelFile::load(&folder.model())?;
    let chosen_step = model.header.step;
    let outcome =
        if status.step < config.train.steps { Outcome::StoppedEarly } else { Outcome::Finished };
    let trained = Trained { outcome, folder, setup, model, chosen_step };
    finish_and_report(&config, &trained, train, "snel launch", &out)
}

/// Where the workers compute, one after the other.
fn devices(chosen: Option<&Gpus>, device: Device) -> Result<Vec<Device>, Failure> {
    let Some(chosen) = chosen else { return Ok(vec![device]) };
    let refused = |error: OpenError| {
        let hint = "`snel doctor` tells what this machine has; without --gpus it needs no GPU";
        Failure::new(error, Some(hint.to_owned()), Exit::Usage)
    };
    let found = gpus().map_err(refused)?.len() as u32;
    let numbers = match chosen {
        Gpus::All => (0..found).collect(),
        Gpus::Some(numbers) => numbers.clone(),
    };
    // None at all is the first one missing.
    let missing = numbers.iter().copied().find(|&index| index >= found);
    let missing = missing.or(numbers.is_empty().then_some(0));
    if let Some(index) = missing {
        return Err(refused(OpenError::NoSuch { index, found }));
    }
    Ok(numbers.into_iter().map(Device::Cuda).collect())
}
