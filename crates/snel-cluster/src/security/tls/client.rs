//! The client's side of TLS.

use std::path::PathBuf;
use std::time::Duration;

use tonic::transport::{Certificate, ClientTlsConfig, Identity};

use super::pem;
use crate::security::error::SecurityError;
use crate::security::flag::Flag;
use crate::security::loaded::Loaded;

/// The files of a client.
#[derive(Clone, Debug)]
pub(in crate::security) struct ClientFiles {
    pub(in crate::security) ca: PathBuf,
    /// Certificate and private key, for servers that ask for them.
    pub(in crate::security) identity: Option<(PathBuf, PathBuf)>,
}

impl ClientFiles {
    /// Reads the files as they are now.
    ///
    /// They are parsed here although tonic does so again: it would pass over a CA that it cannot
    /// use, and its errors name no file.
    ///
    /// # Errors
    /// A file cannot be read or used.
    pub(in crate::security) fn read(
        &self,
        handshake: Duration,
    ) -> Result<ClientTlsConfig, SecurityError> {
        let ca = Loaded::read(Flag::TlsCa, &self.ca)?;
        pem::roots(&ca)?;
        let mut config = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(ca.bytes))
            .timeout(handshake);
        if let Some((cert, key)) = &self.identity {
            let cert = Loaded::read(Flag::TlsCert, cert)?;
            let key = Loaded::read(Flag::TlsKey, key)?;
            pem::identity(&cert, &key)?;
            config = config.identity(Identity::from_pem(cert.bytes, key.bytes));
        }
        Ok(config)
    }
}
