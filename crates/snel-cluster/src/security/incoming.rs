//! The connections of a listener, as tonic's server takes them.
//!
//! # Invariants
//! 1. The stream never ends and never fails: what goes wrong with a connection or with accepting
//!    is a notice. (tonic would spin on an error that stays, such as too many open files.)
//! 2. Nothing runs outside it but handshakes; dropping it closes the listener and ends those.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::{Stream, stream};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep_until};

use super::connection::Connection;
use super::notice::{Notice, Notify};
use super::tls::handshakes::Handshakes;

/// After an error that is not of one connection.
const PAUSE: Duration = Duration::from_secs(1);

pub(super) struct Incoming {
    listener: TcpListener,
    /// `None`: connections are plain.
    handshakes: Option<Handshakes>,
    notify: Notify,
    /// When to accept again.
    not_before: Instant,
}

impl Incoming {
    pub(super) fn new(
        listener: TcpListener,
        handshakes: Option<Handshakes>,
        notify: Notify,
    ) -> Self {
        Self { listener, handshakes, notify, not_before: Instant::now() }
    }

    pub(super) fn into_stream(
        self,
    ) -> impl Stream<Item = Result<Connection, Infallible>> + Send + 'static {
        stream::unfold(self, |mut incoming: Self| async move {
            let connection = incoming.next().await;
            Some((Ok(connection), incoming))
        })
    }

    async fn next(&mut self) -> Connection {
        loop {
            let accept = accept(&self.listener, self.not_before);
            let accepted = match &mut self.handshakes {
                None => accept.await,
                Some(handshakes) => {
                    let has_room = handshakes.has_room();
                    tokio::select! {
                        ended = handshakes.ended() => match ended {
                            Some(connection) => return connection,
                            None => continue,
                        },
                        accepted = accept, if has_room => accepted,
                    }
                }
            };
            match (accepted, &mut self.handshakes) {
                (Ok((stream, peer)), None) => return Connection::plain(stream, peer),
                (Ok((stream, peer)), Some(handshakes)) => handshakes.start(stream, peer),
                (Err(error), _) if is_of_one_connection(&error) => {}
                (Err(error), _) => {
                    self.not_before = Instant::now() + PAUSE;
                    (self.notify)(Notice::NotAccepting { error });
                }
            }
        }
    }
}

/// Cancel safe: no connection is lost.
async fn accept(
    listener: &TcpListener,
    not_before: Instant,
) -> io::Result<(TcpStream, SocketAddr)> {
    sleep_until(not_before).await;
    let (stream, peer) = listener.accept().await?;
    // A call must not wait until a packet is full. A connection that died already shows when read.
    let _ = stream.set_nodelay(true);
    Ok((stream, peer))
}

/// The client went away between connecting and being accepted.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    )
}
