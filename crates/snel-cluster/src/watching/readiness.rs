//! Whether the coordinator takes workers and runs.
//!
//! It does while somebody holds a [`Ready`], and not a moment longer: whichever way the server
//! ends, the value is dropped.

use tokio::sync::watch;

/// Tells whether it is ready; not so at first.
#[derive(Clone)]
pub(crate) struct Readiness(watch::Sender<bool>);

impl Default for Readiness {
    fn default() -> Self {
        Self(watch::channel(false).0)
    }
}

impl Readiness {
    /// Ready until the value is dropped.
    pub(crate) fn hold(&self) -> Ready {
        self.0.send_replace(true);
        Ready(self.0.clone())
    }

    /// Whether it is.
    pub(super) fn is_ready(&self) -> bool {
        *self.0.borrow()
    }

    /// The same as it changes.
    pub(super) fn follow(&self) -> watch::Receiver<bool> {
        self.0.subscribe()
    }
}

/// Being ready.
pub(crate) struct Ready(watch::Sender<bool>);

impl Drop for Ready {
    fn drop(&mut self) {
        self.0.send_replace(false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_while_it_is_held() {
        let readiness = Readiness::default();
        assert!(!readiness.is_ready());
        let ready = readiness.hold();
        assert!(readiness.clone().is_ready());
        drop(ready);
        assert!(!readiness.is_ready());
    }
}
