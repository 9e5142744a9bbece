//! `snel coordinator`.

use std::time::Duration;

use snel_cluster::coordinator::{Coordinator, CoordinatorSettings};
use snel_cluster::security;
use tokio::signal::unix::{SignalKind, signal};

use crate::args::CoordinatorArgs;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::interrupt::end_with_parent;
use crate::output::{err, out};

pub(crate) fn run(args: &CoordinatorArgs) -> Result<Exit, Failure> {
    if args.with_parent {
        end_with_parent();
    }
    let settings = CoordinatorSettings {
        dir: args.dir.clone(),
        listen: args.listen,
        http: args.http,
        failure_budget: Duration::from_millis(args.failure_budget_ms),
        only: args.only.clone(),
        security: security::Settings {
            tls_client_ca: args.tls_client_ca.clone(),
            ..args.security.settings()
        },
        say: err,
    };
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.map_err(|e| Failure::system("cannot start the event loop", e))?;
    runtime.block_on(async {
        let coordinator = Coordinator::start(&settings).await?;
        let no_address = |e| Failure::system("the listener has no address", e);
        out(&coordinator.address().map_err(no_address)?.to_string());
        if let Some(http) = coordinator.http_address().map_err(no_address)? {
            out(&http.to_string());
        }
        let mut terminate = signal(SignalKind::terminate())
            .map_err(|e| Failure::system("cannot listen to signals", e))?;
        let stop = async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = tokio::signal::ctrl_c() => {}
            }
        };
        coordinator.serve(stop).await?;
        Ok(Exit::Done)
    })
}
