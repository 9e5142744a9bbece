//! `snel worker`.

use std::time::Duration;

use snel_cluster::security::Notice;
use snel_cluster::worker::{WorkerSettings, work};

use crate::args::WorkerArgs;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::interrupt::{end_with_parent, stop_flag};
use crate::output::err;

pub(crate) fn run(args: &WorkerArgs) -> Result<Exit, Failure> {
    if args.with_parent {
        end_with_parent();
    }
    let client = &args.client;
    let notify = |notice: Notice| err(&notice.to_string());
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let usual = || format!("{}-{}", host.trim(), std::process::id());
    work(WorkerSettings {
        dial: client.settings().client(&client.coordinator, notify)?,
        address: client.coordinator.clone(),
        name: args.name.clone().unwrap_or_else(usual),
        threads: args.compute.threads(),
        drain: stop_flag(),
        say: if args.quiet { |_| {} } else { err },
        give_up: args.give_up_s.map(Duration::from_secs),
        // No engine has the memory of a GPU yet.
        ground: None,
    })?;
    Ok(Exit::Done)
}
