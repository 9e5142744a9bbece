//! Which addresses a server may listen on.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use super::error::SecurityError;

/// What guards a listener.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Locks {
    /// The wire is encrypted and the server proves who it is.
    pub tls: bool,
    /// Clients prove who they are by a certificate; implies `tls`.
    pub client_certificates: bool,
    /// Clients prove by a token that they may.
    pub token: bool,
}

/// What a listener lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gap {
    /// Neither TLS nor a token.
    Unguarded,
    /// A token without TLS.
    TokenInClear,
    /// TLS that lets in everybody.
    Anonymous,
}

/// Whether a server may listen on `addr`.
///
/// Loopback is for this machine alone and is always allowed. Any other address needs TLS (a token
/// sent in the clear is everybody's token) and a lock on who may come in.
///
/// # Errors
/// [`SecurityError::Exposed`], with the flags to give as the hint.
pub fn allow(addr: SocketAddr, locks: Locks) -> Result<(), SecurityError> {
    if is_loopback(addr.ip()) {
        return Ok(());
    }
    let gap = match locks {
        Locks { tls: true, client_certificates: true, .. } => return Ok(()),
        Locks { tls: true, token: true, .. } => return Ok(()),
        Locks { tls: true, .. } => Gap::Anonymous,
        Locks { token: true, .. } => Gap::TokenInClear,
        Locks { .. } => Gap::Unguarded,
    };
    Err(SecurityError::Exposed { addr, gap })
}

/// Whether only this machine can reach the address. `0.0.0.0` and `::` are every address, and
/// `::ffff:127.0.0.1` is `127.0.0.1`.
pub(super) fn is_loopback(ip: IpAddr) -> bool {
    ip.to_canonical().is_loopback()
}

impl Gap {
    /// The flags that close it.
    pub(super) fn remedy(self) -> &'static str {
        match self {
            Self::Unguarded => {
                "listen on 127.0.0.1, or give --tls-cert and --tls-key \
                 with --tls-client-ca or --token-file"
            }
            Self::TokenInClear => "give --tls-cert and --tls-key, or listen on 127.0.0.1",
            Self::Anonymous => "give --tls-client-ca or --token-file, or listen on 127.0.0.1",
        }
    }
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unguarded => "other machines can reach it, and nothing guards it",
            Self::TokenInClear => "the token would travel unencrypted",
            Self::Anonymous => "TLS alone lets in everybody",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: Locks = Locks { tls: false, client_certificates: false, token: false };

    fn gap(addr: &str, locks: Locks) -> Option<Gap> {
        match allow(addr.parse().unwrap(), locks) {
            Ok(()) => None,
            Err(SecurityError::Exposed { gap, .. }) => Some(gap),
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn loopback_needs_nothing() {
        for addr in ["127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "[::ffff:127.0.0.1]:1"] {
            assert_eq!(gap(addr, NONE), None, "{addr}");
            assert_eq!(gap(addr, Locks { token: true, ..NONE }), None, "{addr}");
        }
    }

    #[test]
    fn other_addresses_need_tls_and_a_lock() {
        for addr in ["0.0.0.0:1", "[::]:1", "10.0.0.1:1", "192.168.1.2:1", "[fe80::1]:1"] {
            assert_eq!(gap(addr, NONE), Some(Gap::Unguarded), "{addr}");
            assert_eq!(gap(addr, Locks { token: true, ..NONE }), Some(Gap::TokenInClear));
            assert_eq!(gap(addr, Locks { tls: true, ..NONE }), Some(Gap::Anonymous));
            assert_eq!(gap(addr, Locks { tls: true, token: true, ..NONE }), None);
            assert_eq!(gap(addr, Locks { tls: true, client_certificates: true, ..NONE }), None);
        }
    }

    #[test]
    fn the_hint_names_the_flags() {
        let error = allow("0.0.0.0:7000".parse().unwrap(), NONE).unwrap_err();
        assert!(error.to_string().contains("0.0.0.0:7000"));
        let hint = error.hint().unwrap();
        for flag in ["--tls-cert", "--tls-key", "--tls-client-ca", "--token-file"] {
            assert!(hint.contains(flag), "{hint}");
        }
    }
}
