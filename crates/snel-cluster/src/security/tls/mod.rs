//! TLS by rustls: TLS 1.2 and 1.3, HTTP/2 only.

pub(super) mod client;
pub(super) mod handshakes;
mod pem;
pub(super) mod server;

use std::sync::Arc;

use tokio_rustls::rustls::crypto::{CryptoProvider, ring};

/// The cryptography, named here rather than taken from the process, where any library could have
/// set another.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}
