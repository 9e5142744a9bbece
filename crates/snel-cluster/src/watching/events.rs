//! News for those who watch: server-sent events.
//!
//! | event | data |
//! |---|---|
//! | `state` | all runs and workers; when they changed, once a second at most |
//! | `record` | `{run, record}`: a line of a run's `metrics.jsonl` |
//! | `happening` | a change of phase, an epoch, a loss, a recovery, a note |
//! | `missed` | the watcher was too slow: what it shows has gaps, `/state.json` has all |

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::{Stream, stream};
use serde::Serialize;
use snel_train::metrics::Record;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{OwnedSemaphorePermit, broadcast, watch};
use tokio::time::{Interval, MissedTickBehavior, interval};

use crate::coordinator::journal::News;
use crate::watching::routes::Shared;
use crate::watching::shown::Document;

/// How often states are compared.
const PERIOD: Duration = Duration::from_secs(1);

/// The route.
pub(super) async fn events(
    State(shared): State<Shared>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, StatusCode> {
    let permit = shared.watchers.clone().try_acquire_owned();
    let permit = permit.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
    let news = shared.source.journal().subscribe();
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let ready = shared.readiness.follow();
    let watcher = Watcher { shared, news, ticks, ready, last: String::new(), _permit: permit };
    let events = stream::unfold(watcher, async |mut watcher| {
        let event = watcher.next().await?;
        Some((Ok(event), watcher))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::default()))
}

struct Watcher {
    shared: Shared,
    news: broadcast::Receiver<News>,
    ticks: Interval,
    ready: watch::Receiver<bool>,
    /// The last state sent.
    last: String,
    _permit: OwnedSemaphorePermit,
}

#[derive(Serialize)]
struct OfRun {
    run: String,
    record: Record,
}

impl Watcher {
    /// The next event; none when the coordinator ends.
    async fn next(&mut self) -> Option<Event> {
        loop {
            let event = tokio::select! {
                biased;
                _ = self.ready.wait_for(|ready| !ready) => return None,
                news = self.news.recv() => match news {
                    Ok(News::Happening(happening)) => {
                        Event::default().event("happening").json_data(happening)
                    }
                    Ok(News::Record { run, record }) => {
                        Event::default().event("record").json_data(OfRun { run, record })
                    }
                    Err(RecvError::Lagged(n)) => {
                        Ok(Event::default().event("missed").data(n.to_string()))
                    }
                    Err(RecvError::Closed) => return None,
                },
                _ = self.ticks.tick() => {
                    let state = Document::now(&*self.shared.source);
                    let state = serde_json::to_string(&state).unwrap_or_default();
                    if state == self.last {
                        continue;
                    }
                    self.last.clone_from(&state);
                    Ok(Event::default().event("state").data(state))
                }
            };
            // Numbers and names always serialise.
            if let Ok(event) = event {
                return Some(event);
            }
        }
    }
}
