//! The flags that name files, so that every message can say which one to change.

use std::fmt;

/// A flag whose value is the path of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flag {
    /// `--tls-cert`: this side's certificate, with its intermediates.
    TlsCert,
    /// `--tls-key`: the private key of that certificate.
    TlsKey,
    /// `--tls-client-ca`: whose certificates a server asks of its clients.
    TlsClientCa,
    /// `--tls-ca`: whose certificates a client asks of the server.
    TlsCa,
    /// `--token-file`: the bearer token.
    TokenFile,
}

impl Flag {
    /// What its file holds.
    pub(super) fn contents(self) -> &'static str {
        match self {
            Self::TlsCert => "certificate",
            Self::TlsKey => "private key",
            Self::TlsClientCa => "CA of the clients",
            Self::TlsCa => "CA of the server",
            Self::TokenFile => "token",
        }
    }
}

impl fmt::Display for Flag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TlsCert => "--tls-cert",
            Self::TlsKey => "--tls-key",
            Self::TlsClientCa => "--tls-client-ca",
            Self::TlsCa => "--tls-ca",
            Self::TokenFile => "--token-file",
        })
    }
}
