//! What happened on a coordinator, with times: the newest in memory, and all as it comes.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;
use snel_train::metrics::Record;
use tokio::sync::broadcast;

/// Happenings that are kept.
const KEPT: usize = 500;
/// News that a slow watcher may fall behind.
const NEWS: usize = 1024;

/// The kind of a happening.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    /// The run began, was held, ended.
    Phase,
    /// Workers came or went.
    Epoch,
    /// A worker that took part was lost.
    Lost,
    /// The first commit after that.
    Recovery,
    /// A sentence for people.
    Note,
}

impl Kind {
    /// Its name.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Phase => "phase",
            Self::Epoch => "epoch",
            Self::Lost => "lost",
            Self::Recovery => "recovery",
            Self::Note => "note",
        }
    }
}

/// One thing that happened to a run.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Happening {
    /// Rises by one.
    pub(crate) number: u64,
    /// Milliseconds since 1970.
    pub(crate) at_ms: u64,
    /// To which run.
    pub(crate) run: String,
    /// What.
    pub(crate) kind: Kind,
    /// The same for people.
    pub(crate) text: String,
}

/// What watchers are told.
#[derive(Debug, Clone)]
pub(crate) enum News {
    /// Something happened.
    Happening(Happening),
    /// Metrics of a run.
    Record {
        /// Which.
        run: String,
        /// A line of `metrics.jsonl`.
        record: Record,
    },
}

/// Remembers and tells.
pub(crate) struct Journal {
    past: Mutex<Past>,
    news: broadcast::Sender<News>,
}

#[derive(Default)]
struct Past {
    last: u64,
    kept: VecDeque<Happening>,
}

impl Default for Journal {
    fn default() -> Self {
        Self { past: Mutex::default(), news: broadcast::channel(NEWS).0 }
    }
}

impl Journal {
    /// Something happened just now.
    pub(crate) fn happened(&self, run: &str, kind: Kind, text: String) {
        let mut past = self.past.lock().unwrap_or_else(PoisonError::into_inner);
        past.last += 1;
        let (number, at_ms, run) = (past.last, now_ms(), run.to_owned());
        let happening = Happening { number, at_ms, run, kind, text };
        if past.kept.len() == KEPT {
            past.kept.pop_front();
        }
        past.kept.push_back(happening.clone());
        // Under the lock: watchers hear numbers in their order.
        let _ = self.news.send(News::Happening(happening));
    }

    /// Metrics have come. They are kept on disk, not here.
    pub(crate) fn record(&self, run: &str, record: Record) {
        let _ = self.news.send(News::Record { run: run.to_owned(), record });
    }

    /// What is still known, the oldest first.
    pub(crate) fn past(&self) -> Vec<Happening> {
        let past = self.past.lock().unwrap_or_else(PoisonError::into_inner);
        past.kept.iter().cloned().collect()
    }

    /// All news from now on.
    pub(crate) fn subscribe(&self) -> broadcast::Receiver<News> {
        self.news.subscribe()
    }
}

/// Milliseconds since 1970.
pub(crate) fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_are_kept_in_order() {
        let journal = Journal::default();
        let mut news = journal.subscribe();
        for i in 0..KEPT + 7 {
            journal.happened("run", Kind::Note, i.to_string());
        }
        let past = journal.past();
        assert_eq!(past.len(), KEPT);
        assert_eq!((past[0].number, past[KEPT - 1].number), (8, KEPT as u64 + 7));
        assert!(past.is_sorted_by_key(|h| h.number));
        let Ok(News::Happening(first)) = news.try_recv() else { panic!("no news") };
        assert_eq!((first.number, first.text.as_str()), (1, "0"));
    }
}
