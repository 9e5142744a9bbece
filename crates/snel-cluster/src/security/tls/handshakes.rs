//! Handshakes that are under way, each a task of its own.
//!
//! # Invariants
//! 1. Never more than the limit. Beyond it, connections wait in the system's queue, so that a
//!    burst of honest clients is served in turn.
//! 2. While there is room, a handshake may take its full time. When there is none, the oldest
//!    has to go once it is older than `patience`: clients that stall hold others up no longer.
//! 3. Dropping this ends all of them.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls;

use super::server::ServerTls;
use crate::security::connection::Connection;
use crate::security::limits::Limits;
use crate::security::notice::{Notice, Notify};

pub(in crate::security) struct Handshakes {
    tls: Arc<ServerTls>,
    limits: Limits,
    notify: Notify,
    tasks: JoinSet<Option<Connection>>,
    /// Oldest first; some may have ended.
    started: VecDeque<Started>,
}

struct Started {
    at: Instant,
    peer: SocketAddr,
    task: AbortHandle,
}

impl Handshakes {
    pub(in crate::security) fn new(tls: Arc<ServerTls>, limits: Limits, notify: Notify) -> Self {
        Self { tls, limits, notify, tasks: JoinSet::new(), started: VecDeque::new() }
    }

    pub(in crate::security) fn has_room(&self) -> bool {
        self.tasks.len() < self.limits.handshakes
    }

    /// Starts one; there must be room.
    pub(in crate::security) fn start(&mut self, stream: TcpStream, peer: SocketAddr) {
        self.started.retain(|one| !one.task.is_finished());
        let (tls, limit) = (Arc::clone(&self.tls), self.limits.handshake);
        let notify = Arc::clone(&self.notify);
        let task = self.tasks.spawn(async move {
            let accepted = TlsAcceptor::from(tls.current()).accept(stream);
            let reason = match timeout(limit, accepted).await {
                Ok(Ok(stream)) => return Some(Connection::tls(stream, peer)),
                Ok(Err(error)) => plain(&error),
                Err(_) => format!("no handshake within {limit:?}"),
            };
            notify(Notice::Refused { peer, reason });
            None
        });
        self.started.push_back(Started { at: Instant::now(), peer, task });
    }

    /// Waits until a handshake ends, and is its connection if it succeeded. While there is no room
    /// this ends the oldest. Waits for ever while there is none; cancel safe.
    pub(in crate::security) async fn ended(&mut self) -> Option<Connection> {
        let patience = self.limits.patience;
        let deadline = self.oldest().map(|oldest| oldest.at + patience);
        let crowded = !self.has_room() && deadline.is_some();
        tokio::select! {
            Some(ended) = self.tasks.join_next() => ended.ok().flatten(),
            () = sleep_until(deadline.unwrap_or_else(Instant::now)), if crowded => {
                self.end_oldest();
                None
            }
            else => std::future::pending().await,
        }
    }

    /// The oldest that has not ended.
    fn oldest(&mut self) -> Option<&Started> {
        while self.started.front()?.task.is_finished() {
            self.started.pop_front();
        }
        self.started.front()
    }

    fn end_oldest(&mut self) {
        if self.oldest().is_none() {
            return;
        }
        if let Some(Started { at, peer, task }) = self.started.pop_front() {
            task.abort();
            let reason = format!("no handshake within {:?} while others wait", at.elapsed());
            (self.notify)(Notice::Refused { peer, reason });
        }
    }
}

/// Why a handshake failed, in words where it is a common reason.
fn plain(error: &io::Error) -> String {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>());
    match cause {
        Some(rustls::Error::InvalidMessage(_)) => "it does not speak TLS".to_owned(),
        Some(rustls::Error::NoCertificatesPresented) => {
            "it has no certificate (--tls-cert and --tls-key of the client)".to_owned()
        }
        _ => error.to_string(),
    }
}
