//! How a run ends, and how the last worker leaves one that goes on.
//!
//! A run ends when a worker's training loop has, and its last state is on disk. Whoever leads stores
//! it; if that one dies over it, the next one leads.

use std::time::Instant;

use snel_core::chunks::ChunkSet;

use crate::machine::group::Groups;
use crate::machine::member::{Member, Stage};
use crate::machine::{Action, Fate, Machine, MemberId, Outcome, Phase, Position, release};
use crate::record::Entry;

/// How a run ended, as its record says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// All steps are done.
    Finished,
    /// Validation did not improve any more.
    StoppedEarly,
    /// Somebody stopped it.
    Interrupted,
    /// It could not go on.
    Failed,
}

impl Ending {
    const ALL: [Self; 4] = [Self::Finished, Self::StoppedEarly, Self::Interrupted, Self::Failed];

    /// The record's word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Finished => "finished",
            Self::StoppedEarly => "stopped early",
            Self::Interrupted => "interrupted",
            Self::Failed => "failed",
        }
    }

    /// What a word of the record means.
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|ending| ending.word() == word)
    }
}

impl Machine {
    pub(super) fn finished(
        &mut self,
        member: MemberId,
        step: u64,
        outcome: Outcome,
        now: Instant,
        out: &mut Vec<Action>,
    ) {
        let Some(m) = self.members.get(&member) else { return };
        if matches!(m.stage, Stage::Preparing | Stage::Waiting) {
            return;
        }
        let here = step == self.next.step;
        if outcome == Outcome::Interrupted && self.phase != Phase::Stopping {
            // The last worker goes; its checkpoint keeps its place.
            self.dismiss(member, "stopped after a checkpoint", Fate::Again, now, out);
            if here {
                self.hold = None;
            }
        } else if !here {
            let reason = format!("ended at step {step}, the run is at {}", self.next.step);
            self.dismiss(member, &reason, Fate::Again, now, out);
        } else {
            if let Some(round) = &mut self.round {
                round.give_up_on(member);
            }
            self.set_stage(member, Stage::Done);
            if self.result.replace(outcome).is_none() {
                self.watch_the_leader(now);
            }
        }
    }

    /// Ends the run once the result is on disk.
    pub(super) fn conclude(&mut self, out: &mut Vec<Action>) {
        if let Some(outcome) = self.result
            && self.disk_step >= self.next.step
        {
            self.end(Ok(outcome), out);
        }
    }

    /// From now on the run waits for the first member to store the result.
    pub(super) fn watch_the_leader(&mut self, now: Instant) {
        if self.result.is_some()
            && let Some(leader) = self.membership.first().and_then(|id| self.members.get_mut(id))
        {
            leader.last_progress = now;
        }
    }

    /// Asks everyone for a checkpoint; the run ends when the first has sent it.
    pub(super) fn stop_all(&mut self, now: Instant, out: &mut Vec<Action>) {
        let active = self.in_stage(Stage::Active);
        let coming = |m: &Member| matches!(m.stage, Stage::Learning | Stage::Stopping);
        if !active.is_empty() {
            self.ask_to_stop(active, now, out);
        } else if !self.members.values().any(coming) {
            // Nobody has more than the disk.
            self.end(Ok(Outcome::Interrupted), out);
        }
    }

    pub(super) fn ask_to_stop(
        &mut self,
        members: Vec<MemberId>,
        now: Instant,
        out: &mut Vec<Action>,
    ) {
        for id in &members {
            if let Some(m) = self.members.get_mut(id) {
                m.stage = Stage::Stopping;
                m.last_progress = now;
                // That is where it will stop, and it may not have got there yet.
                let kept = ChunkSet::default();
                m.position = Some(Position { round: self.next, kept, sum: None });
            }
        }
        out.push(Action::Stop(members));
    }

    /// Ends the run for a reason outside of it.
    pub fn abort(&mut self, why: &str) -> Vec<Action> {
        let mut actions = Vec::new();
        if self.phase != Phase::Ended {
            self.end(Err(why.to_owned()), &mut actions);
        }
        actions
    }

    pub(super) fn end(&mut self, outcome: Result<Outcome, String>, out: &mut Vec<Action>) {
        self.phase = Phase::Ended;
        self.round = None;
        self.groups = Groups::default();
        let ending = match &outcome {
            Ok(Outcome::Finished) => Ending::Finished,
            Ok(Outcome::StoppedEarly) => Ending::StoppedEarly,
            Ok(Outcome::Interrupted) => Ending::Interrupted,
            Err(_) => Ending::Failed,
        };
        out.push(Action::Record(Entry::Ended { outcome: ending.word().to_owned() }));
        out.push(Action::End { outcome, step: self.next.step });
        for (member, m) in std::mem::take(&mut self.members) {
            release(out, member, "the run has ended", m.draining.unwrap_or(Fate::Free));
        }
    }
}
