//! The coordinator: a durable state machine for each run ([`crate::machine`]), and a thin shell
//! that feeds them.
//!
//! A run has a thread that owns its machine, folder and record ([`runner`]). Connections are tasks
//! that turn messages into events ([`work_service`]) and decisions into messages ([`outbox`]); the
//! hub knows which worker is in which run.

mod control_service;
mod ended;
mod hub;
pub(crate) mod journal;
mod outbox;
mod runner;
mod runs;
mod sight;
mod status;
mod syncer;
pub(crate) mod tallies;
mod work_service;

use std::future::Future;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use snel_proto::v1::control_service_server::ControlServiceServer;
use snel_proto::v1::work_service_server::WorkServiceServer;
use snel_train::file::{FileError, create_folder, write_atomically};
use tokio::net::TcpListener;
use tonic::service::InterceptorLayer;
use tonic::transport::Server;

pub use control_service::{is_over, phase_word};
pub use runner::RunnerError;
pub use runs::SubmitError;

use crate::coordinator::control_service::Control;
use crate::coordinator::hub::Hub;
use crate::coordinator::runner::Input;
use crate::coordinator::runs::Runs;
use crate::coordinator::sight::Sight;
use crate::coordinator::work_service::Work;
use crate::frame::MESSAGE_LIMIT;
use crate::machine::Event;
use crate::security::{self, Notice, SecurityError, ServerSecurity};
use crate::watching::{self, Readiness};

/// A peer that does not say what it wants, or does not get an answer, for so long is let go.
const ANSWER_TIME: Duration = Duration::from_secs(30);

/// A worker that is silent for so many milliseconds counts as lost, unless it is said otherwise.
pub const FAILURE_BUDGET_MS: u64 = 2000;

/// What a coordinator is told on its command line.
#[derive(Clone)]
pub struct CoordinatorSettings {
    /// The folder of its runs.
    pub dir: PathBuf,
    /// Where it listens.
    pub listen: SocketAddr,
    /// Where it can be watched over HTTP; nowhere if none.
    pub http: Option<SocketAddr>,
    /// A worker that is silent for so long is lost.
    pub failure_budget: Duration,
    /// Take up this run only.
    pub only: Option<String>,
    /// Who may speak to it, and how.
    pub security: security::Settings,
    /// Where it says what it does, for people.
    pub say: fn(&str),
}

/// Why a coordinator cannot serve.
#[derive(Debug, thiserror::Error)]
pub enum CoordinatorError {
    /// It cannot listen.
    #[error("cannot listen on {address}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why not.
        source: std::io::Error,
    },
    /// It may not listen like this.
    #[error(transparent)]
    Security(#[from] SecurityError),
    /// A file of its own.
    #[error(transparent)]
    File(#[from] FileError),
    /// A run cannot be taken up.
    #[error("cannot take up a run")]
    Run(#[from] SubmitError),
    /// The server failed.
    #[error("the server failed")]
    Serve(#[from] tonic::transport::Error),
    /// The services cannot be described.
    #[error("the services cannot be described")]
    Reflection(#[source] tonic_reflection::server::Error),
}

/// A coordinator that listens.
pub struct Coordinator {
    hub: Arc<Hub>,
    runs: Arc<Runs>,
    listener: TcpListener,
    security: ServerSecurity,
    http: Option<TcpListener>,
}

impl Coordinator {
    /// Takes up the runs in its folder and opens its port.
    ///
    /// # Errors
    /// [`CoordinatorError`].
    pub async fn start(settings: &CoordinatorSettings) -> Result<Self, CoordinatorError> {
        let say = settings.say;
        let notify = move |notice: Notice| say(&notice.to_string());
        let security = settings.security.server(settings.listen, notify)?;
        // The same files guard it: a token that comes through a pipe is read but once.
        if let Some(http) = settings.http {
            security::listener::allow(http, security.locks())?;
        }
        create_folder(&settings.dir)?;
        let incarnation = next_incarnation(&settings.dir)?;
        let hub = Arc::new(Hub::new(incarnation, settings.failure_budget, say));
        let runs = Arc::new(Runs::new(&settings.dir, hub.clone()));
        runs.take_up(settings.only.as_deref())?;
        let listener = listen(settings.listen).await?;
        let http = match settings.http {
            Some(address) => Some(listen(address).await?),
            None => None,
        };
        Ok(Self { hub, runs, listener, security, http })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// What the system says.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Where it can be watched, if it can.
    ///
    /// # Errors
    /// What the system says.
    pub fn http_address(&self) -> std::io::Result<Option<SocketAddr>> {
        self.http.as_ref().map(TcpListener::local_addr).transpose()
    }

    /// Serves until `stop` is done.
    ///
    /// # Errors
    /// [`CoordinatorError`].
    pub async fn serve(self, stop: impl Future<Output = ()>) -> Result<(), CoordinatorError> {
        let Self { hub, runs, listener, security, http } = self;
        let (incoming, check) = security.open(listener)?;
        let ticking = tick(hub.clone());
        let watched = http.is_some();
        let readiness = Readiness::default();
        let ready = readiness.hold();
        let (ended, end) = tokio::sync::oneshot::channel::<()>();
        let sight = Arc::new(Sight { hub: hub.clone(), runs: runs.clone() });
        let guard = security.clone();
        let mut watching = pin!(async move {
            let Some(listener) = http else { return std::future::pending().await };
            // The sender is dropped, too, if this function is left early.
            let end = async { drop(end.await) };
            watching::serve(listener, &guard, sight, readiness, end).await
        });
        let work = WorkServiceServer::new(Work { hub: hub.clone() })
            .max_decoding_message_size(MESSAGE_LIMIT)
            .max_encoding_message_size(MESSAGE_LIMIT);
        let control = ControlServiceServer::new(Control { hub, runs })
            .max_decoding_message_size(MESSAGE_LIMIT)
            .max_encoding_message_size(2 * MESSAGE_LIMIT);
        let (health, health_service) = tonic_health::server::health_reporter();
        health.set_serving::<WorkServiceServer<Work>>().await;
        health.set_serving::<ControlServiceServer<Control>>().await;
        let describe = || {
            tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(snel_proto::DESCRIPTORS)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        };
        // Many clients ask for the older version only.
        let old_reflection = describe().build_v1alpha().map_err(CoordinatorError::Reflection)?;
        let reflection = describe().build_v1().map_err(CoordinatorError::Reflection)?;
        let server = Server::builder()
            .tcp_nodelay(true)
            // For the beginning of an answer; streams may last.
            .timeout(ANSWER_TIME)
            .http2_keepalive_interval(Some(ANSWER_TIME))
            .layer(InterceptorLayer::new(check))
            .add_service(work)
            .add_service(control)
            .add_service(health_service)
            .add_service(reflection)
            .add_service(old_reflection)
            .serve_with_incoming(incoming);
        // Streams of workers never end by themselves: to stop is to drop them.
        tokio::select! {
            result = server => result?,
            () = stop => {}
            () = ticking => {}
            result = &mut watching => result?,
        }
        drop(ready);
        drop(ended);
        if watched {
            watching.await?;
        }
        Ok(())
    }
}

async fn listen(address: SocketAddr) -> Result<TcpListener, CoordinatorError> {
    let listener = TcpListener::bind(address).await;
    listener.map_err(|source| CoordinatorError::Listen { address, source })
}

/// Lets time pass for all runs.
async fn tick(hub: Arc<Hub>) {
    let mut ticks = tokio::time::interval((hub.budget / 10).max(Duration::from_millis(5)));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        for (run, _, _) in hub.views() {
            if let Some(inbox) = hub.run_inbox(&run) {
                inbox.put(Input::Event(Event::Tick));
            }
        }
    }
}

/// Counts the starts of a coordinator on `dir`.
fn next_incarnation(dir: &Path) -> Result<u64, FileError> {
    let path = dir.join("coordinator.json");
    let old: u64 =
        std::fs::read(&path).ok().and_then(|b| serde_json::from_slice(&b).ok()).unwrap_or(0);
    let new = old + 1;
    write_atomically(&path, new.to_string().as_bytes())?;
    Ok(new)
}
