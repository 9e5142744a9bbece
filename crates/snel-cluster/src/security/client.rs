//! The client's side: how to reach the server, and what goes with each call.

use std::net::IpAddr;

use tonic::transport::{Endpoint, Uri};

use super::error::SecurityError;
use super::limits::Limits;
use super::listener::is_loopback;
use super::tls::client::ClientFiles;
use super::token::TokenHeader;

/// How a client reaches a server.
#[derive(Clone, Debug)]
pub struct ClientSecurity {
    pub(super) uri: Uri,
    pub(super) tls: Option<ClientFiles>,
    pub(super) credentials: TokenHeader,
    pub(super) limits: Limits,
}

impl ClientSecurity {
    /// The server's address with its TLS settings, to be given timeouts and connected.
    ///
    /// Reads the files anew: a client that makes an endpoint for each connection follows files
    /// that are replaced. A `Channel` that connects again by itself stays with the old ones.
    ///
    /// # Errors
    /// A file cannot be read or used, or the host's name cannot be in a certificate.
    pub fn endpoint(&self) -> Result<Endpoint, SecurityError> {
        let endpoint = Endpoint::from(self.uri.clone());
        let Some(files) = &self.tls else { return Ok(endpoint) };
        let config = files.read(self.limits.handshake)?;
        endpoint
            .tls_config(config)
            .map_err(|source| SecurityError::ClientTls { url: self.uri.to_string(), source })
    }

    /// The interceptor that adds the token; adds nothing where none is configured.
    pub fn credentials(&self) -> TokenHeader {
        self.credentials.clone()
    }
}

/// Whether the address wants TLS.
///
/// # Errors
/// [`SecurityError::Url`].
pub(super) fn parse(url: &str) -> Result<(Uri, bool), SecurityError> {
    let wrong = |reason| SecurityError::Url { url: url.to_owned(), reason };
    let uri: Uri = url.parse().map_err(|_| wrong("it is no URL"))?;
    let encrypted = match uri.scheme_str() {
        Some("https") => true,
        Some("http") => false,
        Some(_) => return Err(wrong("it is neither http nor https")),
        None => return Err(wrong("it does not say http or https")),
    };
    if uri.host().is_none_or(str::is_empty) {
        return Err(wrong("it names no host"));
    }
    Ok((uri, encrypted))
}

/// Whether the server is on this machine.
pub(super) fn is_local(uri: &Uri) -> bool {
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(is_loopback)
}
