//! What the command line says about security.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use super::client::{self, ClientSecurity};
use super::error::SecurityError;
use super::flag::Flag;
use super::limits::Limits;
use super::listener::{self, Locks};
use super::notice::{Notice, Notify};
use super::server::ServerSecurity;
use super::tls::{self, client::ClientFiles};
use super::token::{self, TokenCheck, TokenHeader};

/// The files that secure a server or a client. All are optional: without any, a server listens on
/// loopback only.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// `--tls-cert`: this side's certificate, with its intermediates.
    pub tls_cert: Option<PathBuf>,
    /// `--tls-key`: its private key.
    pub tls_key: Option<PathBuf>,
    /// `--tls-client-ca`: a server lets in only clients with a certificate of this CA. A client
    /// does not use it.
    pub tls_client_ca: Option<PathBuf>,
    /// `--tls-ca`: a client talks only to a server with a certificate of this CA. A server does
    /// not use it.
    pub tls_ca: Option<PathBuf>,
    /// `--token-file`: a server lets in only calls with this token; a client sends it.
    pub token_file: Option<PathBuf>,
}

impl Settings {
    /// The server's side, for a listener on `addr`. Notices go to `notify`, which must not block.
    ///
    /// # Errors
    /// The address is not allowed with these settings (see [`listener::allow`]), they are
    /// incomplete, or a file cannot be read or used.
    pub fn server(
        &self,
        addr: SocketAddr,
        notify: impl Fn(Notice) + Send + Sync + 'static,
    ) -> Result<ServerSecurity, SecurityError> {
        self.server_within(Limits::default(), addr, Arc::new(notify))
    }

    /// The client's side, for the server at `url`. Notices go to `notify`, which must not block.
    ///
    /// # Errors
    /// The URL is none, would leak the token or lacks a CA, the settings are incomplete, or a file
    /// cannot be read or used.
    pub fn client(
        &self,
        url: &str,
        notify: impl Fn(Notice) + Send + Sync + 'static,
    ) -> Result<ClientSecurity, SecurityError> {
        self.client_within(Limits::default(), url, Arc::new(notify))
    }

    pub(super) fn server_within(
        &self,
        limits: Limits,
        addr: SocketAddr,
        notify: Notify,
    ) -> Result<ServerSecurity, SecurityError> {
        let identity = self.identity()?;
        if identity.is_none() && self.tls_client_ca.is_some() {
            let (given, missing) = (Flag::TlsClientCa, Flag::TlsCert);
            return Err(SecurityError::Incomplete { given, missing });
        }
        let locks = Locks {
            tls: identity.is_some(),
            client_certificates: self.tls_client_ca.is_some(),
            token: self.token_file.is_some(),
        };
        listener::allow(addr, locks)?;
        let tls = identity.map(|(cert, key)| {
            let client_ca = self.tls_client_ca.as_deref();
            tls::server::open(&cert, &key, client_ca, limits.recheck, &notify)
        });
        let token = self.token_file.as_deref();
        let token = token.map(|path| token::open(path, limits.recheck, &notify));
        let (tls, check) = (tls.transpose()?, TokenCheck::new(token.transpose()?));
        Ok(ServerSecurity { tls, locks, check, limits, notify })
    }

    pub(super) fn client_within(
        &self,
        limits: Limits,
        url: &str,
        notify: Notify,
    ) -> Result<ClientSecurity, SecurityError> {
        let (uri, encrypted) = client::parse(url)?;
        let identity = self.identity()?;
        let tls = if encrypted {
            let ca = self.tls_ca.clone();
            let ca = ca.ok_or_else(|| SecurityError::NoCa { url: url.to_owned() })?;
            Some(ClientFiles { ca, identity })
        } else {
            self.refuse_in_clear(url, client::is_local(&uri))?;
            None
        };
        let token = self.token_file.as_deref();
        let token = token.map(|path| token::open(path, limits.recheck, &notify));
        let credentials = TokenHeader::new(token.transpose()?);
        let security = ClientSecurity { uri, tls, credentials, limits };
        // Wrong files are to be found out now, not at the first connection.
        security.endpoint()?;
        Ok(security)
    }

    /// The certificate and its key: both or neither.
    fn identity(&self) -> Result<Option<(PathBuf, PathBuf)>, SecurityError> {
        let incomplete = |given, missing| Err(SecurityError::Incomplete { given, missing });
        match (&self.tls_cert, &self.tls_key) {
            (Some(cert), Some(key)) => Ok(Some((cert.clone(), key.clone()))),
            (None, None) => Ok(None),
            (Some(_), None) => incomplete(Flag::TlsCert, Flag::TlsKey),
            (None, Some(_)) => incomplete(Flag::TlsKey, Flag::TlsCert),
        }
    }

    /// What must not be given together with an address that is not encrypted.
    fn refuse_in_clear(&self, url: &str, local: bool) -> Result<(), SecurityError> {
        let url = url.to_owned();
        if self.tls_ca.is_some() {
            return Err(SecurityError::NotEncrypted { url, flag: Flag::TlsCa });
        }
        if self.tls_cert.is_some() {
            return Err(SecurityError::NotEncrypted { url, flag: Flag::TlsCert });
        }
        if self.token_file.is_some() && !local {
            return Err(SecurityError::TokenInClear { url });
        }
        Ok(())
    }
}
