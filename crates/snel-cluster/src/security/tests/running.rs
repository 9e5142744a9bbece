//! A server that runs, and clients of it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tonic::service::interceptor::InterceptedService;
use tonic::service::{Interceptor, InterceptorLayer};
use tonic::transport::{Channel, Server};
use tonic::{Code, Request, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use crate::security::limits::Limits;
use crate::security::token::TokenHeader;
use crate::security::{Notice, Peer, SecurityError, Settings};

/// Files are looked at each time, and nothing that a test does not shorten ends by itself.
pub(super) const LIMITS: Limits = Limits {
    recheck: Duration::ZERO,
    handshake: Duration::from_hours(1),
    handshakes: 64,
    patience: Duration::from_hours(1),
};

/// Far longer than anything here takes: what hangs fails.
pub(super) async fn soon<T>(future: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(20), future).await.expect("it hangs")
}

pub(super) struct Running {
    pub(super) addr: SocketAddr,
    pub(super) notices: mpsc::UnboundedReceiver<Notice>,
    pub(super) peers: mpsc::UnboundedReceiver<Peer>,
    stop: oneshot::Sender<()>,
    server: JoinHandle<Result<(), tonic::transport::Error>>,
}

impl Running {
    pub(super) async fn start(settings: &Settings, limits: Limits) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (tell, notices) = mpsc::unbounded_channel();
        let notify = Arc::new(move |notice| drop(tell.send(notice)));
        let security = settings.server_within(limits, addr, notify).unwrap();

        let (seen, peers) = mpsc::unbounded_channel();
        let look = move |request: Request<()>| {
            let peer = request.extensions().get::<Peer>().cloned();
            seen.send(peer.expect("no peer")).map_err(|_| Status::internal("test ended"))?;
            Ok(request)
        };
        let (_, health) = tonic_health::server::health_reporter();
        let (incoming, check) = security.open(listener).unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let server = Server::builder()
            .layer(InterceptorLayer::new(check))
            .layer(InterceptorLayer::new(look))
            .add_service(health)
            .serve_with_incoming_shutdown(incoming, async { drop(stopped.await) });
        Self { addr, notices, peers, stop, server: tokio::spawn(server) }
    }

    /// A client that has connected, or why it did not.
    pub(super) async fn client(&self, settings: &Settings) -> Result<Client, SecurityError> {
        let scheme = if settings.tls_ca.is_some() { "https" } else { "http" };
        let url = format!("{scheme}://{}", self.addr);
        let security = settings.client_within(LIMITS, &url, Arc::new(|_| {}))?;
        let endpoint = security.endpoint()?;
        match soon(endpoint.connect()).await {
            Ok(channel) => Ok(Client::new(channel, security.credentials())),
            Err(source) => Err(SecurityError::ClientTls { url, source }),
        }
    }

    /// A client whose first call passed.
    pub(super) async fn good(&self, settings: &Settings) -> Client {
        let mut client = self.client(settings).await.unwrap();
        client.call().await.unwrap();
        client
    }

    /// That a client cannot connect, or not call: TLS 1.3 lets clients finish before the server
    /// has looked at their certificate. The server's reason must say `why`.
    pub(super) async fn refused(&mut self, settings: &Settings, why: &str) {
        if let Ok(mut client) = self.client(settings).await {
            let status = client.call().await.unwrap_err();
            assert_ne!(status.code(), Code::Unauthenticated, "that is the token's");
        }
        // Channels try again by themselves, so that the one before may still be told about.
        while !self.refusal().await.contains(why) {}
    }

    /// The reason of the next refusal.
    pub(super) async fn refusal(&mut self) -> String {
        loop {
            if let Notice::Refused { reason, .. } = soon(self.notices.recv()).await.unwrap() {
                return reason;
            }
        }
    }

    /// What was told about files since the last time.
    pub(super) fn about_files(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.notices.try_recv().ok())
            .filter(|notice| !matches!(notice, Notice::Refused { .. }))
            .map(|notice| notice.to_string())
            .collect()
    }

    pub(super) async fn stop(self) {
        self.stop.send(()).unwrap();
        soon(self.server).await.unwrap().unwrap();
    }
}

/// A connection to the server.
pub(super) struct Client(HealthClient<InterceptedService<Channel, TokenHeader>>);

impl Client {
    pub(super) fn new(channel: Channel, credentials: TokenHeader) -> Self {
        Self(HealthClient::with_interceptor(channel, credentials))
    }

    pub(super) async fn call(&mut self) -> Result<(), Status> {
        soon(self.0.check(HealthCheckRequest::default())).await.map(drop)
    }

    /// A call with this header in place of the configured one.
    pub(super) async fn call_with(addr: SocketAddr, header: &'static str) -> Result<(), Status> {
        let channel = Channel::from_shared(format!("http://{addr}")).unwrap().connect_lazy();
        let mut client = HealthClient::with_interceptor(channel, Fixed(header));
        soon(client.check(HealthCheckRequest::default())).await.map(drop)
    }
}

struct Fixed(&'static str);

impl Interceptor for Fixed {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request.metadata_mut().insert("authorization", self.0.parse().unwrap());
        Ok(request)
    }
}
