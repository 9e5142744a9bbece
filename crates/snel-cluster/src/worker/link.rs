//! The connection to the coordinator, kept up by a thread of its own.
//!
//! Invariants
//! 1. Messages come out in the order in which they arrived; between those of two connections lies
//!    [`Incoming::Lost`].
//! 2. What was to be sent on a lost connection is dropped: after [`Incoming::Connected`] the worker
//!    says anew where it is.
//! 3. The heart beats for as long as the connection lives, whatever the worker does.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use snel_cuda::nccl::Interrupt;
use snel_proto::v1;
use snel_proto::v1::work_request::Message as Out;
use snel_proto::v1::work_response::Message as In;
use snel_proto::v1::work_service_client::WorkServiceClient;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Code;

use crate::frame::MESSAGE_LIMIT;
use crate::security::ClientSecurity;
use crate::wire;

/// Messages that may wait on either side.
const QUEUE: usize = 64;
/// Pause before the first try to dial again, and the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// A connection attempt that takes longer than this has failed.
const DIAL_TIME: Duration = Duration::from_secs(5);

/// Why a worker cannot work.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The coordinator does not want this worker.
    #[error("the coordinator refuses this worker: {0}")]
    Refused(String),
    /// It cannot be reached.
    #[error("the coordinator at {address} was not reached for {seconds} s")]
    Unreachable {
        /// Where it should be.
        address: String,
        /// For how long.
        seconds: u64,
        /// The last failure.
        #[source]
        source: tonic::Status,
    },
    /// NCCL does not come back from a call.
    #[error("the process has to end and be started again: {0}")]
    Stuck(String),
    /// The thread of the connection could not be started.
    #[error("cannot start the connection's thread")]
    Thread(#[source] std::io::Error),
}

/// What comes from the connection.
pub(super) enum Incoming {
    /// There is a connection; requests go here.
    Connected(mpsc::Sender<v1::WorkRequest>),
    Message(In),
    Lost,
    /// There will be none any more.
    End(LinkError),
}

/// What the connection's thread shares with the worker's.
#[derive(Default)]
pub(super) struct Shared {
    /// Rises with the work done.
    pub(super) progress: AtomicU64,
    /// Raised when the worker is to leave.
    pub(super) drain: Arc<AtomicBool>,
    /// The highest coordinator's incarnation that was met.
    coordinator: AtomicU64,
    /// The run that the worker is in the middle of, or empty.
    run: Mutex<String>,
    /// The group that it is in, and how to end its waits there.
    group: Mutex<Option<(u64, Interrupt)>>,
}

impl Shared {
    pub(super) fn set_run(&self, run: &str) {
        run.clone_into(&mut self.run.lock().unwrap_or_else(PoisonError::into_inner));
    }

    pub(super) fn enter_group(&self, number: u64, interrupt: Interrupt) {
        *self.group() = Some((number, interrupt));
    }

    pub(super) fn leave_group(&self) {
        *self.group() = None;
    }

    /// Ends what waits in the group of this number, or in any if none is given.
    fn call_away(&self, number: Option<u64>) {
        if let Some((of, interrupt)) = &*self.group()
            && number.is_none_or(|number| number == *of)
        {
            interrupt.raise();
        }
    }

    fn group(&self) -> MutexGuard<'_, Option<(u64, Interrupt)>> {
        self.group.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Who says Hello.
pub(super) struct Identity {
    pub(super) hello: v1::Hello,
    /// How to reach the coordinator, and where it is, for people.
    pub(super) dial: ClientSecurity,
    pub(super) address: String,
    pub(super) give_up: Option<Duration>,
}

/// Starts the thread.
pub(super) fn start(
    identity: Identity,
    drain: Arc<AtomicBool>,
) -> Result<(mpsc::Receiver<Incoming>, Arc<Shared>), LinkError> {
    let (tx, rx) = mpsc::channel(QUEUE);
    let shared = Arc::new(Shared { drain, ..Shared::default() });
    let for_thread = shared.clone();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(LinkError::Thread)?;
    std::thread::Builder::new()
        .name("snel-link".to_owned())
        .spawn(move || runtime.block_on(keep_up(identity, &for_thread, &tx)))
        .map_err(LinkError::Thread)?;
    Ok((rx, shared))
}

/// Dials again and again, until the worker or the coordinator has enough.
async fn keep_up(identity: Identity, shared: &Shared, tx: &mpsc::Sender<Incoming>) {
    let mut pause = FIRST_PAUSE;
    let mut lost = Instant::now();
    loop {
        let status = match connection(&identity, shared, tx).await {
            Ok(()) => {
                // It worked for a while: what comes next is a new failure.
                (pause, lost) = (FIRST_PAUSE, Instant::now());
                tonic::Status::unavailable("the connection was lost")
            }
            Err(status) => status,
        };
        if tx.is_closed() {
            return;
        }
        let end = match status.code() {
            Code::Unauthenticated | Code::PermissionDenied | Code::FailedPrecondition => {
                Some(LinkError::Refused(wire::error_text(&wire::error_of(&status))))
            }
            _ => identity.give_up.filter(|limit| lost.elapsed() > *limit).map(|limit| {
                LinkError::Unreachable {
                    address: identity.address.clone(),
                    seconds: limit.as_secs(),
                    source: status,
                }
            }),
        };
        if let Some(end) = end {
            let _ = tx.send(Incoming::End(end)).await;
            return;
        }
        // Where nobody answers, nobody lets a worker go: one that is idle sees for itself. Never waits:
        // one that is busy will see later.
        if shared.drain.load(Ordering::Relaxed) {
            let _ = tx.try_send(Incoming::Lost);
        }
        tokio::time::sleep(jittered(pause)).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Between a half and all of `pause`: workers that were cut off together come back one by one.
fn jittered(pause: Duration) -> Duration {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let noise = now.map_or(0, |d| d.subsec_nanos()) % 1024;
    pause / 2 + pause * noise / 2048
}

/// One connection, from Hello to its loss. An error if it never came to a Welcome.
async fn connection(
    identity: &Identity,
    shared: &Shared,
    tx: &mpsc::Sender<Incoming>,
) -> Result<(), tonic::Status> {
    // Made anew each time: certificates may have been replaced.
    let endpoint = identity.dial.endpoint().map_err(unavailable)?;
    let endpoint = endpoint.connect_timeout(DIAL_TIME).tcp_nodelay(true);
    let channel = endpoint.connect().await.map_err(unavailable)?;
    let credentials = identity.dial.credentials();
    let mut client = WorkServiceClient::with_interceptor(channel, credentials)
        .max_decoding_message_size(MESSAGE_LIMIT)
        .max_encoding_message_size(MESSAGE_LIMIT);
    let (out, requests) = mpsc::channel(QUEUE);
    let mut hello = identity.hello.clone();
    hello.run.clone_from(&shared.run.lock().unwrap_or_else(PoisonError::into_inner));
    hello.coordinator_incarnation = shared.coordinator.load(Ordering::Relaxed);
    let _ = out.send(request(Out::Hello(hello))).await;
    let responses = client.work(ReceiverStream::new(requests));
    let responses = tokio::time::timeout(DIAL_TIME, responses).await;
    let mut responses =
        responses.map_err(|_| tonic::Status::unavailable("no answer"))??.into_inner();
    let welcome = tokio::time::timeout(DIAL_TIME, responses.message()).await;
    let welcome = welcome.map_err(|_| tonic::Status::unavailable("no welcome"))??;
    let Some(v1::WorkResponse { message: Some(In::Welcome(welcome)) }) = welcome else {
        return Err(tonic::Status::unavailable("something else than a welcome"));
    };
    let known = shared.coordinator.fetch_max(welcome.incarnation, Ordering::Relaxed);
    if welcome.incarnation < known {
        // Its successor commands already.
        return Err(tonic::Status::unavailable("an old coordinator"));
    }
    if tx.send(Incoming::Connected(out.clone())).await.is_err() {
        return Ok(());
    }
    let beat = Duration::from_millis(u64::from(welcome.beat_ms.max(1)));
    let mut beats = tokio::time::interval(beat);
    beats.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut said_leave = false;
    loop {
        tokio::select! {
            message = responses.message() => match message {
                Ok(Some(v1::WorkResponse { message: Some(message) })) => {
                    // The training loop may wait in the group, and then reads nothing.
                    if let In::GroupOver(over) = &message {
                        shared.call_away(Some(over.group));
                    }
                    if tx.send(Incoming::Message(message)).await.is_err() {
                        return Ok(());
                    }
                }
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(status) if status.code() == Code::FailedPrecondition => {
                    shared.call_away(None);
                    let _ = tx.send(Incoming::Lost).await;
                    return Err(status);
                }
                Err(_) => break,
            },
            _ = beats.tick() => {
                let progress = shared.progress.load(Ordering::Relaxed);
                // A full queue is a sign of life, too: its messages are on their way.
                let _ = out.try_send(request(Out::Beat(v1::Beat { progress })));
                if shared.drain.load(Ordering::Relaxed) && !said_leave {
                    said_leave = out.try_send(request(Out::Leave(v1::Leave {}))).is_ok();
                }
            }
        }
    }
    // Its membership has ended with the connection.
    shared.call_away(None);
    let _ = tx.send(Incoming::Lost).await;
    Ok(())
}

pub(super) fn request(message: Out) -> v1::WorkRequest {
    v1::WorkRequest { message: Some(message) }
}

/// With its causes: the outermost message of a transport says little.
fn unavailable(error: impl std::error::Error + 'static) -> tonic::Status {
    tonic::Status::unavailable(wire::error_text(&wire::error_to_wire("", &error, None)))
}
