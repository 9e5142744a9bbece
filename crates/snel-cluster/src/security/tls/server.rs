//! The server's certificate, and whose certificates it asks of clients.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::sign::SingleCertAndKey;

use super::{pem, provider};
use crate::security::error::SecurityError;
use crate::security::flag::Flag;
use crate::security::loaded::{Loaded, is_open_to_others};
use crate::security::notice::{Notice, Notify};
use crate::security::watched::Watched;

/// A configuration that follows its files.
///
/// A new one comes with an empty cache of sessions, so that no client comes back on the strength
/// of a CA that has gone.
pub(in crate::security) type ServerTls = Watched<ServerFiles, ServerConfig>;

/// What the configuration is made of.
#[derive(PartialEq, Eq)]
pub(in crate::security) struct ServerFiles {
    cert: Loaded,
    key: Loaded,
    client_ca: Option<Loaded>,
}

/// Reads the files for the first time.
///
/// # Errors
/// A file cannot be read or used.
pub(in crate::security) fn open(
    cert: &Path,
    key: &Path,
    client_ca: Option<&Path>,
    recheck: Duration,
    notify: &Notify,
) -> Result<Arc<ServerTls>, SecurityError> {
    if is_open_to_others(key) {
        notify(Notice::OpenToOthers { flag: Flag::TlsKey, path: key.to_owned() });
    }
    let (cert, key, client_ca) = (cert.to_owned(), key.to_owned(), client_ca.map(PathBuf::from));
    let regular = cert.is_file() && key.is_file() && client_ca.as_deref().is_none_or(Path::is_file);
    let read = move || {
        let client_ca = client_ca.as_deref().map(|path| Loaded::read(Flag::TlsClientCa, path));
        Ok(ServerFiles {
            cert: Loaded::read(Flag::TlsCert, &cert)?,
            key: Loaded::read(Flag::TlsKey, &key)?,
            client_ca: client_ca.transpose()?,
        })
    };
    let flags = &[Flag::TlsCert, Flag::TlsKey, Flag::TlsClientCa];
    let period = regular.then_some(recheck);
    Ok(Arc::new(Watched::open(flags, read, config, period, Arc::clone(notify))?))
}

fn config(files: &ServerFiles) -> Result<ServerConfig, SecurityError> {
    let builder = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|source| SecurityError::ServerTls { source })?;
    let builder = match &files.client_ca {
        None => builder.with_no_client_auth(),
        Some(file) => {
            let roots = Arc::new(pem::roots(file)?);
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider())
                .build()
                .map_err(|error| file.unusable(error.to_string()))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let identity = pem::identity(&files.cert, &files.key)?;
    let mut config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(identity)));
    // gRPC takes the first; the second is for probes and scrapers of the HTTP beside it.
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}
