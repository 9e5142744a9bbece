//! What the entries of a record add up to.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::entry::Entry;
use super::error::{RecordError, plain};
use super::scan::{Extent, ScanError, Torn, scan};
use crate::machine::{RoundId, Shape};

/// Steps that a record may lack: those of the last moments before a machine failed.
const ADOPTED_AT_ONCE: u64 = 1 << 16;

/// The state of a run by its record: a pure fold over the entries, in order.
///
/// Invariants
/// 1. Steps are committed one after the other, from 0 or from where the first
///    [`Entry::Rewound`] says.
/// 2. A step that is repeated has the digest it had.
/// 3. Incarnations rise; epochs never go down.
/// 4. After [`Entry::Ended`], only a new coordinator goes on.
///
/// Takes 16 bytes a step.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct History {
    entries: u64,
    incarnation: u64,
    epoch: u64,
    members: Vec<String>,
    /// The step of the first digest.
    first_step: u64,
    /// In `first_step..=first_step + digests.len()`.
    next_step: u64,
    /// Of every step that was ever committed.
    digests: Vec<u128>,
    /// Steps whose digest nobody wrote down.
    unknown: BTreeSet<u64>,
    shape: Option<Shape>,
    /// The round that led to `next_step`, if that was a commit, and its sum.
    last_commit: Option<(RoundId, u128)>,
    outcome: Option<String>,
    torn: Option<Torn>,
}

/// Why an entry cannot follow those before it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HistoryError {
    /// A step was repeated and its sums were others: the run is not the one it was.
    #[error(
        "step {step} was repeated with other sums: digest {now:032x} instead of {was:032x}; \
         did its config, data, program or machines change?"
    )]
    Diverged {
        /// The step.
        step: u64,
        /// Its digest the first time.
        was: u128,
        /// Its digest now.
        now: u128,
    },
    /// A step was left out or committed twice.
    #[error("step {found} is committed where step {expected} is next")]
    Step {
        /// The next step.
        expected: u64,
        /// The step of the entry.
        found: u64,
    },
    /// Steps from before the first or after the last committed one are to be repeated.
    #[error("a rewind to step {step}, where only {first} to {last} can be next")]
    Rewind {
        /// The step of the entry.
        step: u64,
        /// The first step that was committed.
        first: u64,
        /// The one after the last.
        last: u64,
    },
    /// An epoch is lower than one before.
    #[error("epoch {found} follows epoch {current}")]
    Epoch {
        /// The epoch before.
        current: u64,
        /// The epoch of the entry.
        found: u64,
    },
    /// A coordinator's number is not higher than those before.
    #[error("incarnation {found} of the coordinator follows incarnation {current}")]
    Incarnation {
        /// The one before.
        current: u64,
        /// The one of the entry.
        found: u64,
    },
    /// The run is over.
    #[error("an entry follows the end of the run, and no coordinator took the run up")]
    Ended,
}

impl History {
    /// Reads the record at `path` without locking or changing it; a coordinator may be at work.
    ///
    /// # Errors
    /// [`RecordError`].
    pub fn read(path: &Path) -> Result<Self, RecordError> {
        let file = File::open(path).map_err(RecordError::io("open", path))?;
        Ok(Self::scan(path, file)?.0)
    }

    /// As [`History::read`] of a file that holds `bytes`, which may be anyone's; `path` is for
    /// messages.
    ///
    /// # Errors
    /// [`RecordError`].
    pub fn from_bytes(path: &Path, bytes: &[u8]) -> Result<Self, RecordError> {
        Ok(Self::scan(path, bytes)?.0)
    }

    pub(super) fn scan(path: &Path, input: impl Read) -> Result<(Self, Extent), RecordError> {
        let mut history = Self::default();
        let extent = scan(input, |payload| {
            let entry = serde_json::from_slice(payload).map_err(|e| Fault::Entry(e.to_string()))?;
            history.apply(&entry).map_err(Fault::History)
        });
        let extent = extent.map_err(|error| {
            let path = path.to_path_buf();
            match error {
                ScanError::Io(source) => RecordError::Io { action: "read", path, source },
                ScanError::NotARecord => RecordError::NotARecord { path },
                ScanError::Corrupt(at) => RecordError::Corrupt { path, at },
                ScanError::Refused(at, Fault::Entry(why)) => {
                    RecordError::Entry { path, at, why: plain(&why) }
                }
                ScanError::Refused(at, Fault::History(source)) => {
                    RecordError::History { path, at, source }
                }
            }
        })?;
        history.torn = extent.torn;
        Ok((history, extent))
    }

    /// Adds the next entry.
    ///
    /// # Errors
    /// [`HistoryError`]; the history is then as it was.
    pub fn apply(&mut self, entry: &Entry) -> Result<(), HistoryError> {
        if self.outcome.is_some() && !matches!(entry, Entry::Opened { .. }) {
            return Err(HistoryError::Ended);
        }
        match entry {
            Entry::Opened { incarnation } => self.open(*incarnation)?,
            Entry::Epoch { epoch, members } => {
                self.enter(*epoch)?;
                self.members.clone_from(members);
            }
            Entry::Shape { parameters, chunks, carried, chains, problem, fingerprint } => {
                let (problem, fingerprint) = (problem.clone(), fingerprint.clone());
                let (parameters, chunks) = (*parameters, *chunks);
                let (carried, chains) = (*carried, *chains);
                self.shape =
                    Some(Shape { parameters, chunks, carried, chains, problem, fingerprint });
            }
            Entry::Commit { step, attempt, epoch, digest, .. } => {
                self.commit(*step, *epoch, *digest)?;
                let round = RoundId { step: *step, attempt: *attempt };
                self.last_commit = Some((round, *digest));
            }
            Entry::Rewound { step } => {
                self.rewind(*step)?;
                self.last_commit = None;
            }
            Entry::Adopted { step } => {
                self.adopt(*step)?;
                self.last_commit = None;
            }
            Entry::Ended { outcome } => self.outcome = Some(outcome.clone()),
        }
        self.entries += 1;
        Ok(())
    }

    fn open(&mut self, incarnation: u64) -> Result<(), HistoryError> {
        if incarnation <= self.incarnation {
            let current = self.incarnation;
            return Err(HistoryError::Incarnation { current, found: incarnation });
        }
        self.incarnation = incarnation;
        self.outcome = None;
        Ok(())
    }

    fn enter(&mut self, epoch: u64) -> Result<(), HistoryError> {
        if epoch < self.epoch {
            return Err(HistoryError::Epoch { current: self.epoch, found: epoch });
        }
        self.epoch = epoch;
        Ok(())
    }

    fn commit(&mut self, step: u64, epoch: u64, digest: u128) -> Result<(), HistoryError> {
        let order = HistoryError::Step { expected: self.next_step, found: step };
        let Some(after) = step.checked_add(1).filter(|_| step == self.next_step) else {
            return Err(order);
        };
        let before = self.digest(step);
        if let Some(was) = before.filter(|&was| was != digest) {
            return Err(HistoryError::Diverged { step, was, now: digest });
        }
        self.enter(epoch)?;
        match self.index(step).and_then(|index| self.digests.get_mut(index)) {
            Some(place) => *place = digest,
            None => self.digests.push(digest),
        }
        self.unknown.remove(&step);
        self.next_step = after;
        Ok(())
    }

    fn rewind(&mut self, step: u64) -> Result<(), HistoryError> {
        if self.digests.is_empty() {
            self.first_step = step;
        }
        let (first, last) = (self.first_step, self.first_step + self.digests.len() as u64);
        if !(first..=last).contains(&step) {
            return Err(HistoryError::Rewind { step, first, last });
        }
        self.next_step = step;
        Ok(())
    }

    fn adopt(&mut self, step: u64) -> Result<(), HistoryError> {
        if !(self.next_step..=self.next_step.saturating_add(ADOPTED_AT_ONCE)).contains(&step) {
            return Err(HistoryError::Step { expected: self.next_step, found: step });
        }
        for missing in self.first_step + self.digests.len() as u64..step {
            self.digests.push(0);
            self.unknown.insert(missing);
        }
        self.next_step = step;
        Ok(())
    }

    /// Number of entries.
    pub fn entries(&self) -> u64 {
        self.entries
    }

    /// The highest number of a coordinator; 0 if none has started.
    pub fn incarnation(&self) -> u64 {
        self.incarnation
    }

    /// The epoch of the last entry that names one; 0 before any.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The members by the last [`Entry::Epoch`].
    pub fn members(&self) -> &[String] {
        &self.members
    }

    /// The step that is to be committed next.
    pub fn next_step(&self) -> u64 {
        self.next_step
    }

    /// The digest that `step` had when it was committed, and must have when it is repeated.
    pub fn digest(&self, step: u64) -> Option<u128> {
        self.digests.get(self.index(step)?).copied().filter(|_| !self.unknown.contains(&step))
    }

    fn index(&self, step: u64) -> Option<usize> {
        usize::try_from(step.checked_sub(self.first_step)?).ok()
    }

    /// What the workers have in common, if there was one.
    pub fn shape(&self) -> Option<&Shape> {
        self.shape.as_ref()
    }

    /// The round whose commit led to [`Self::next_step`], and the digest of its sum; none if that was
    /// something else.
    pub fn last_commit(&self) -> Option<(RoundId, u128)> {
        self.last_commit
    }

    /// How the run ended, if it did and no coordinator has taken it up since.
    pub fn outcome(&self) -> Option<&str> {
        self.outcome.as_deref()
    }

    /// The tail that was not read, and that [`super::Record::open`] cuts off: worth a note to the
    /// user.
    pub fn torn(&self) -> Option<Torn> {
        self.torn
    }
}

/// Why an entry is refused.
enum Fault {
    Entry(String),
    History(HistoryError),
}
