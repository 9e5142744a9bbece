//! The few times and counts, in one place so that tests can shrink them.

use std::time::Duration;

#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Files are looked at again at most this often.
    pub(super) recheck: Duration,
    /// A TLS handshake takes at most this long.
    pub(super) handshake: Duration,
    /// TLS handshakes at a time; further connections wait in the system's queue.
    pub(super) handshakes: usize,
    /// How long the oldest handshake may hold its place while connections wait.
    pub(super) patience: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            recheck: Duration::from_secs(1),
            handshake: Duration::from_secs(10),
            handshakes: 64,
            patience: Duration::from_secs(1),
        }
    }
}
