//! Watching a coordinator over HTTP, beside its gRPC: a page for people, metrics for Prometheus,
//! probes for whoever starts and stops it.
//!
//! | route | what |
//! |---|---|
//! | `/live` | 200 while the process serves |
//! | `/ready` | 200 while runs are taken up and workers may come, else 503 |
//! | `/metrics` | OpenMetrics text |
//! | `/state.json` | runs, workers, curves and what happened |
//! | `/events` | the same as it changes, server-sent events |
//! | `/` | the page |
//!
//! Invariants
//! 1. Watching changes nothing: there are only GET routes, and none takes a parameter.
//! 2. It is guarded as the gRPC is: the same rule for listeners, TLS, token; only the probes go
//!    without a token.
//! 3. A watcher that is slow or gone costs the runs nothing; there are at most so many.
//! 4. The page is one document that asks no other host for anything; names and notes are text.

pub(crate) mod curves;
mod door;
mod events;
mod metrics;
mod page;
mod readiness;
mod routes;
mod server;
mod shown;
pub(crate) mod state;
#[cfg(test)]
mod tests;

pub(crate) use readiness::Readiness;
pub(crate) use server::serve;

use crate::coordinator::journal::Journal;
use crate::watching::curves::Curves;
use crate::watching::state::State;

/// What is watched.
pub(crate) trait Source: Send + Sync + 'static {
    /// How things are.
    fn state(&self) -> State;
    /// What happened.
    fn journal(&self) -> &Journal;
    /// The metrics of a run so far; reads a file.
    fn curves(&self, run: &str) -> Curves;
}
