//! Why a server or a client could not be secured.

use std::borrow::Cow;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use super::flag::Flag;
use super::listener::Gap;

/// Why a server or a client could not be secured. Nothing listens and nothing was sent.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SecurityError {
    /// Other machines could reach the address, and too little guards it.
    #[error("refused to listen on {addr}: {gap}")]
    Exposed {
        /// The address.
        addr: SocketAddr,
        /// What is missing.
        gap: Gap,
    },
    /// A flag was given without the one that it needs.
    #[error("{given} needs {missing} as well")]
    Incomplete {
        /// The flag that was given.
        given: Flag,
        /// The flag that was not.
        missing: Flag,
    },
    /// A file could not be read.
    #[error("cannot read the {} {} ({flag}): {}", flag.contents(), path.display(), plain(source))]
    Read {
        /// The flag that names the file.
        flag: Flag,
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A file was read but does not hold what it should.
    #[error("{} cannot serve as {} ({flag}): {reason}", path.display(), flag.contents())]
    Unusable {
        /// The flag that names the file.
        flag: Flag,
        /// The file.
        path: PathBuf,
        /// What is wrong with it; never a secret.
        reason: String,
    },
    /// The private key belongs to another certificate.
    #[error(
        "the private key {} (--tls-key) does not belong to the certificate {} (--tls-cert)",
        key.display(),
        cert.display()
    )]
    KeyOfAnother {
        /// The certificate.
        cert: PathBuf,
        /// The private key.
        key: PathBuf,
    },
    /// The address of the server is none.
    #[error("cannot connect to `{url}`: {reason}")]
    Url {
        /// As it was given.
        url: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// An `https` address without a CA to check the server's certificate by.
    #[error("cannot check who answers at {url}: no CA was given")]
    NoCa {
        /// The address.
        url: String,
    },
    /// A TLS flag with an `http` address: whoever gave it expects protection that is not there.
    #[error("{flag} was given, but {url} is not encrypted")]
    NotEncrypted {
        /// The address.
        url: String,
        /// The flag that would have no effect.
        flag: Flag,
    },
    /// The token would be readable on the way.
    #[error("refused to send the token to {url}: it would travel unencrypted")]
    TokenInClear {
        /// The address.
        url: String,
    },
    /// The TLS library refused the settings of the server.
    #[error("cannot set up TLS for the server")]
    ServerTls {
        /// What it says.
        source: tokio_rustls::rustls::Error,
    },
    /// The transport refused the settings of the client.
    #[error("cannot set up the connection to {url}")]
    ClientTls {
        /// The address.
        url: String,
        /// What it says.
        source: tonic::transport::Error,
    },
    /// The listener has no address.
    #[error("cannot tell on which address the server listens")]
    Listener {
        /// What the system says.
        source: io::Error,
    },
}

impl SecurityError {
    /// What the user may try, if anything; never part of `Display`.
    pub fn hint(&self) -> Option<Cow<'static, str>> {
        match self {
            Self::Exposed { gap, .. } => Some(gap.remedy().into()),
            Self::Incomplete { missing, .. } => {
                Some(format!("name the file of the {} with {missing}", missing.contents()).into())
            }
            Self::Read { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                Some("let the user that runs snel read it".into())
            }
            Self::Unusable { flag: Flag::TokenFile, .. } => {
                Some("make one with: openssl rand -hex 32 > FILE && chmod 600 FILE".into())
            }
            Self::Unusable { .. } => Some("it must be a PEM file".into()),
            Self::KeyOfAnother { .. } => {
                Some("the first certificate in --tls-cert must be the one made for the key".into())
            }
            Self::Url { .. } => Some(
                "write https://HOST:PORT, or http://HOST:PORT for a server on this machine".into(),
            ),
            Self::NoCa { .. } => Some(
                "give the CA that signed the server's certificate with --tls-ca, such as \
                 /etc/ssl/certs/ca-certificates.crt for a public one"
                    .into(),
            ),
            Self::NotEncrypted { flag, .. } => {
                Some(format!("write https:// or leave out {flag}").into())
            }
            Self::TokenInClear { .. } => Some("write https:// and give --tls-ca".into()),
            Self::Read { .. }
            | Self::ServerTls { .. }
            | Self::ClientTls { .. }
            | Self::Listener { .. } => None,
        }
    }
}

/// The system's reason in words where it is a common one.
fn plain(error: &io::Error) -> Cow<'static, str> {
    match error.kind() {
        io::ErrorKind::NotFound => "there is no such file".into(),
        io::ErrorKind::PermissionDenied => "permission denied".into(),
        _ => error.to_string().into(),
    }
}
