//! Certificates and keys out of PEM files, with errors that name the file.

use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{Error, RootCertStore};

use super::provider;
use crate::security::error::SecurityError;
use crate::security::loaded::Loaded;

/// All certificates of a file; at least one.
fn certificates(file: &Loaded) -> Result<Vec<CertificateDer<'static>>, SecurityError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&file.bytes).collect();
    match found {
        Ok(found) if found.is_empty() => Err(file.unusable("it holds no certificate")),
        Ok(found) => Ok(found),
        Err(error) => Err(file.unusable(error.to_string())),
    }
}

/// The first private key of a file.
fn private_key(file: &Loaded) -> Result<PrivateKeyDer<'static>, SecurityError> {
    PrivateKeyDer::from_pem_slice(&file.bytes).map_err(|error| match error {
        pem::Error::NoItemsFound if is_encrypted(&file.bytes) => {
            file.unusable("it is encrypted; write it without a passphrase")
        }
        pem::Error::NoItemsFound => file.unusable("it holds no private key"),
        error => file.unusable(error.to_string()),
    })
}

fn is_encrypted(bytes: &[u8]) -> bool {
    String::from_utf8_lossy(bytes).contains("-----BEGIN ENCRYPTED PRIVATE KEY-----")
}

/// A certificate with its key, which must belong together.
pub(super) fn identity(cert: &Loaded, key: &Loaded) -> Result<CertifiedKey, SecurityError> {
    let (chain, private) = (certificates(cert)?, private_key(key)?);
    CertifiedKey::from_der(chain, private, &provider()).map_err(|error| match error {
        Error::InconsistentKeys(_) => {
            SecurityError::KeyOfAnother { cert: cert.path.clone(), key: key.path.clone() }
        }
        Error::InvalidCertificate(_) => cert.unusable(error.to_string()),
        error => key.unusable(error.to_string()),
    })
}

/// The CAs to trust. One that cannot be used is an error: leaving it out would be found out much
/// later, by whoever it signed for.
pub(super) fn roots(file: &Loaded) -> Result<RootCertStore, SecurityError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(file)? {
        roots.add(certificate).map_err(|error| file.unusable(error.to_string()))?;
    }
    Ok(roots)
}
