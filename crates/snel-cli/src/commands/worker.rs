//! `snel worker`.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use snel_cluster::security::Notice;
use snel_cluster::worker::{WorkerSettings, work};
use snel_cuda::driver::{OpenError, gpus};
use snel_cuda::nccl::Ground;
use snel_cuda::open;
use snel_train::compute::Device;

use crate::args::WorkerArgs;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::interrupt::{end_with_parent, stop_flag};
use crate::output::err;

pub(crate) fn run(args: &WorkerArgs) -> Result<Exit, Failure> {
    if args.end.with_parent {
        end_with_parent();
    }
    let mut compute = args.compute.settings();
    compute.device = args.gpu.map_or(compute.device, Device::Cuda);
    is_there(compute.device)?;
    let client = &args.client;
    let notify = |notice: Notice| err(&notice.to_string());
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let usual = || format!("{}-{}", host.trim(), std::process::id());
    let drain = stop_flag();
    work(WorkerSettings {
        dial: client.settings().client(&client.coordinator, notify)?,
        address: client.coordinator.clone(),
        name: args.name.clone().unwrap_or_else(usual),
        compute,
        drain: drain.clone(),
        say: if args.quiet { |_| {} } else { err },
        give_up: args.end.give_up_s.map(Duration::from_secs),
        ground: if args.nccl { Some(ground(compute.device)?) } else { None },
    })?;
    // Whoever drained it by the coordinator does not want another.
    let again = args.end.again_on_signal && drain.load(Ordering::Relaxed);
    Ok(if again { Exit::TryAgain } else { Exit::Done })
}

/// A worker whose GPU is not there would fail every run that it is given, and stay.
fn is_there(device: Device) -> Result<(), Failure> {
    let Device::Cuda(index) = device else { return Ok(()) };
    let refused = |error: OpenError| {
        let hint = "`snel doctor` tells what this machine has; without --gpu it needs no GPU";
        Failure::new(error, Some(hint.to_owned()), Exit::Usage)
    };
    let found = gpus().map_err(refused)?.len() as u32;
    if index < found { Ok(()) } else { Err(refused(OpenError::NoSuch { index, found })) }
}

/// NCCL knows GPUs only.
#[derive(Debug, thiserror::Error)]
#[error("--nccl sums between GPUs; this worker computes on {0}")]
struct NotAGpu(Device);

/// The way to other workers' GPUs.
fn ground(device: Device) -> Result<Arc<dyn Ground>, Failure> {
    let Device::Cuda(index) = device else {
        let hint = "name the GPU by --gpu or --device cuda:N";
        return Err(Failure::new(NotAGpu(device), Some(hint.to_owned()), Exit::Usage));
    };
    open::ground(index).map_err(|error| Failure::new(error, None, Exit::Failed))
}
