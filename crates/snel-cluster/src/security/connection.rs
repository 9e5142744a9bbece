//! An accepted connection, and who is at its other end.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;
use tonic::transport::CertificateDer;
use tonic::transport::server::Connected;
use x509_parser::prelude::{FromDer, X509Certificate};

/// A connection that may serve calls: plain, or after a TLS handshake that succeeded.
#[derive(Debug)]
pub struct Connection {
    io: Io,
    peer: Peer,
}

/// Who is at the other end; every request of a connection has it as an extension:
/// `request.extensions().get::<Peer>()`.
#[derive(Clone, Debug)]
pub struct Peer {
    addr: SocketAddr,
    subject: Option<Arc<str>>,
}

#[derive(Debug)]
enum Io {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Peer {
    /// Where it connected from.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The subject of its certificate, as `CN=worker-1, O=lab`, if it was asked for one. The
    /// certificate has been verified.
    pub fn subject(&self) -> Option<&str> {
        self.subject.as_deref()
    }
}

impl Connection {
    pub(super) fn plain(stream: TcpStream, addr: SocketAddr) -> Self {
        Self { io: Io::Plain(stream), peer: Peer { addr, subject: None } }
    }

    pub(super) fn tls(stream: TlsStream<TcpStream>, addr: SocketAddr) -> Self {
        let certificates = stream.get_ref().1.peer_certificates();
        let subject = certificates.and_then(|chain| subject(chain.first()?));
        Self { io: Io::Tls(Box::new(stream)), peer: Peer { addr, subject } }
    }
}

fn subject(certificate: &CertificateDer<'_>) -> Option<Arc<str>> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    Some(parsed.subject().to_string().into())
}

impl Connected for Connection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.io {
            Io::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Io::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.io {
            Io::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Io::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.io {
            Io::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Io::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.io {
            Io::Plain(stream) => stream.is_write_vectored(),
            Io::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.io {
            Io::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Io::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.io {
            Io::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Io::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
