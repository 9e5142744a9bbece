//! The HTTP server: from connections to routes, and a graceful end.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use axum::serve::Listener;
use tokio::net::TcpListener;
use tokio_stream::{Stream, StreamExt};
use tonic::transport::server::Connected;

use crate::security::{Connection, SecurityError, ServerSecurity};
use crate::watching::Source;
use crate::watching::readiness::Readiness;
use crate::watching::routes::routes;

/// Answers that are on their way at the end have so long.
const GRACE: Duration = Duration::from_secs(2);

/// Serves until `stop` is done, and then what was asked for already.
///
/// # Errors
/// The listener is not guarded as it must be.
pub(crate) async fn serve(
    listener: TcpListener,
    security: &ServerSecurity,
    source: Arc<dyn Source>,
    readiness: Readiness,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<(), SecurityError> {
    let address = listener.local_addr().map_err(|source| SecurityError::Listener { source })?;
    let (incoming, check) = security.open(listener)?;
    let incoming = Incoming { connections: Box::pin(incoming), address };
    let (ended, end) = tokio::sync::oneshot::channel();
    let stop = async move {
        stop.await;
        let _ = ended.send(());
    };
    let routes = routes(source, readiness, check);
    let server = axum::serve(incoming, routes).with_graceful_shutdown(stop).into_future();
    let mut server = pin!(server);
    // It ends in no other way than by `stop`, and reports no error.
    tokio::select! {
        _ = &mut server => {}
        _ = end => { let _ = tokio::time::timeout(GRACE, server).await; }
    }
    Ok(())
}

/// The guarded connections, as axum takes them.
struct Incoming {
    connections: Pin<Box<dyn Stream<Item = Result<Connection, Infallible>> + Send>>,
    address: SocketAddr,
}

impl Listener for Incoming {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        match self.connections.next().await {
            Some(Ok(connection)) => {
                let peer = connection.connect_info().addr();
                (connection, peer)
            }
            // The stream has no end.
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }
}
