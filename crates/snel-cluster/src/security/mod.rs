//! Who may talk to the cluster, and how the wire is protected.
//!
//! [`Settings`] holds what the command line says; [`Settings::server`] makes the server's side of
//! it and [`Settings::client`] the client's.
//!
//! # Invariants
//! 1. A listener that other machines can reach has TLS and one of client certificates and a token.
//! 2. A token never travels unencrypted to another machine, and is in no message, log or `Debug`.
//! 3. Every lock that is configured must open: with client certificates and a token, both.
//! 4. Files may be replaced while the process runs. New connections and calls use the new ones
//!    within a second; where those are unusable, the old ones stay and a [`Notice`] says so.
//! 5. A peer whose handshake fails or stalls costs others at most a moment, and never the server.
//!
//! # On a server
//! ```text
//! let security = settings.server(addr, |notice| log(notice))?;
//! let (incoming, check) = security.open(TcpListener::bind(addr).await?)?;
//! Server::builder()
//!     .layer(InterceptorLayer::new(check))
//!     .add_service(service)
//!     .serve_with_incoming_shutdown(incoming, signal)
//! ```
//!
//! # In a client
//! ```text
//! let security = settings.client(url, |notice| log(notice))?;
//! let channel = security.endpoint()?.connect().await?;
//! let client = Client::with_interceptor(channel, security.credentials());
//! ```
//!
//! # Failure
//! What is wrong at the start is a [`SecurityError`] that names the file and the flag, with the
//! remedy in [`SecurityError::hint`]. What goes wrong later is a [`Notice`].

mod client;
mod connection;
mod error;
mod flag;
mod incoming;
mod limits;
pub mod listener;
mod loaded;
mod notice;
mod server;
mod settings;
mod tls;
pub mod token;
mod watched;

#[cfg(test)]
mod tests;

pub use client::ClientSecurity;
pub use connection::{Connection, Peer};
pub use error::SecurityError;
pub use flag::Flag;
pub use notice::Notice;
pub use server::ServerSecurity;
pub use settings::Settings;
