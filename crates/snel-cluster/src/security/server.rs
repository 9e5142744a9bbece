//! The server's side: how connections come in, and which calls may pass.

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;

use futures_util::Stream;
use tokio::net::TcpListener;

use super::connection::Connection;
use super::error::SecurityError;
use super::incoming::Incoming;
use super::limits::Limits;
use super::listener::{self, Locks};
use super::notice::Notify;
use super::tls::handshakes::Handshakes;
use super::tls::server::ServerTls;
use super::token::TokenCheck;

/// What guards a server.
#[derive(Clone)]
pub struct ServerSecurity {
    pub(super) tls: Option<Arc<ServerTls>>,
    pub(super) locks: Locks,
    pub(super) check: TokenCheck,
    pub(super) limits: Limits,
    pub(super) notify: Notify,
}

impl ServerSecurity {
    /// The connections of `listener`, for tonic's `serve_with_incoming_shutdown`, and the check of
    /// their calls. Both are needed, whatever is configured: certificates are asked for by the one,
    /// the token by the other.
    ///
    /// Requests carry a [`Peer`](super::Peer); tonic's own `remote_addr` does not know it.
    ///
    /// # Errors
    /// [`SecurityError::Exposed`] if `listener` has another address than the one this was made
    /// for, and needs more than there is.
    pub fn open(
        &self,
        listener: TcpListener,
    ) -> Result<
        (impl Stream<Item = Result<Connection, Infallible>> + Send + use<>, TokenCheck),
        SecurityError,
    > {
        let addr = listener.local_addr().map_err(|source| SecurityError::Listener { source })?;
        listener::allow(addr, self.locks)?;
        let handshakes = self
            .tls
            .as_ref()
            .map(|tls| Handshakes::new(Arc::clone(tls), self.limits, Arc::clone(&self.notify)));
        let incoming = Incoming::new(listener, handshakes, Arc::clone(&self.notify)).into_stream();
        Ok((incoming, self.check.clone()))
    }

    /// What guards it, for the line that says where the server listens.
    pub fn locks(&self) -> Locks {
        self.locks
    }
}

impl fmt::Debug for ServerSecurity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerSecurity").field("locks", &self.locks).finish_non_exhaustive()
    }
}
