//! Reads the durable record as it is written, and says what must never be in it.

use std::collections::BTreeSet;

use super::problem::Problem;
use crate::machine::{Past, RoundId, Shape};
use crate::record::Entry;

/// A promise that was broken, in words.
pub(super) type Check = Result<(), String>;

/// The record, and what it says so far.
#[derive(Default)]
pub(super) struct Ledger {
    entries: Vec<Entry>,
    epoch: u64,
    members: Vec<String>,
    pub(super) shape: Option<Shape>,
    /// Steps committed in the present history, and in any.
    pub(super) next: u64,
    furthest: u64,
    pub(super) rewinds: u64,
    pub(super) adoptions: u64,
    pub(super) ended: Option<String>,
}

impl Ledger {
    /// Writes an entry if it may follow those before.
    pub(super) fn write(&mut self, entry: Entry, problem: &Problem, disk_step: u64) -> Check {
        if let Some(ended) = &self.ended {
            return Err(format!("{entry:?} after the run has {ended}"));
        }
        match &entry {
            Entry::Opened { .. } => {}
            Entry::Shape { .. } if self.shape.is_some() => {
                return Err("a second shape".to_owned());
            }
            Entry::Shape { parameters, chunks, carried, chains, problem, fingerprint } => {
                let (problem, fingerprint) = (problem.clone(), fingerprint.clone());
                let (parameters, chunks) = (*parameters, *chunks);
                let (carried, chains) = (*carried, *chains);
                self.shape =
                    Some(Shape { parameters, chunks, carried, chains, problem, fingerprint });
            }
            Entry::Epoch { epoch, members } => {
                if *epoch <= self.epoch {
                    return Err(format!("epoch {epoch} after {}", self.epoch));
                }
                if members.iter().collect::<BTreeSet<_>>().len() != members.len() {
                    return Err(format!("a worker is there twice: {members:?}"));
                }
                self.epoch = *epoch;
                self.members.clone_from(members);
            }
            Entry::Commit { step, epoch, digest, .. } => {
                if *step != self.next {
                    return Err(format!("step {step} committed, {} was next", self.next));
                }
                if *epoch != self.epoch {
                    return Err(format!("committed in epoch {epoch}, it is {}", self.epoch));
                }
                let Some(sum) = problem.sums.get(*step as usize) else {
                    return Err(format!("step {step} committed, there are only {}", problem.end));
                };
                if *digest != sum.digest() {
                    return Err(format!("step {step} committed with another sum"));
                }
                self.next += 1;
                self.furthest = self.furthest.max(self.next);
            }
            Entry::Rewound { step } => {
                if *step != disk_step || *step >= self.next {
                    return Err(format!(
                        "from step {} back to {step}, the disk has {disk_step}",
                        self.next
                    ));
                }
                self.next = *step;
                self.rewinds += 1;
            }
            Entry::Adopted { step } => {
                // The record loses nothing, so no worker can be further than it ever was.
                if *step <= self.next || *step > self.furthest {
                    return Err(format!("step {step} adopted, {} were committed", self.furthest));
                }
                self.next = *step;
                self.adoptions += 1;
            }
            Entry::Ended { outcome } => self.ended = Some(outcome.clone()),
        }
        self.entries.push(entry);
        Ok(())
    }

    /// True if the step is committed.
    pub(super) fn holds(&self, step: u64) -> bool {
        step < self.next
    }

    /// What a restarted coordinator reads.
    pub(super) fn past(&self, disk_step: u64) -> Past {
        let mut past = Past { disk_step, shape: self.shape.clone(), ..Past::default() };
        for entry in &self.entries {
            match entry {
                Entry::Epoch { epoch, members } => {
                    past.epoch = *epoch;
                    past.members.clone_from(members);
                }
                Entry::Commit { step, attempt, digest, .. } => {
                    past.next_step = step + 1;
                    let round = RoundId { step: *step, attempt: *attempt };
                    past.last_committed = Some((round, *digest));
                }
                Entry::Rewound { step } | Entry::Adopted { step } => {
                    past.next_step = *step;
                    past.last_committed = None;
                }
                Entry::Opened { .. } | Entry::Shape { .. } | Entry::Ended { .. } => {}
            }
        }
        past
    }
}
