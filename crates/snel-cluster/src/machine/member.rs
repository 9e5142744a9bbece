//! What members say of themselves, and how they come and go.

use std::time::{Duration, Instant};

use crate::machine::{Action, Fate, Machine, MemberId, Position, RoundId, Shape, release};
use crate::record::Entry;

/// Share of the old value in a member's speed.
const SMOOTH: f64 = 0.7;

/// A worker's connection, as the run sees it.
#[derive(Debug, Clone)]
pub(super) struct Member {
    pub(super) name: String,
    pub(super) stage: Stage,
    /// The last round that it stood before.
    pub(super) position: Option<Position>,
    /// Chunks a second, smoothed.
    pub(super) speed: Option<f64>,
    /// Version of the NCCL that it can sum with; 0 if it cannot.
    pub(super) nccl: u32,
    /// Where it is to go.
    pub(super) draining: Option<Fate>,
    pub(super) last_heard: Instant,
    progress: u64,
    /// When it last did something of use, or was asked to.
    pub(super) last_progress: Instant,
}

/// How far a member has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Reads its data.
    Preparing,
    /// Has data and engine, and needs a state.
    Waiting,
    /// Has a state and is sent all sums from there on.
    Learning,
    /// Came back with a state after its connection was lost.
    Returning,
    /// Takes part.
    Active,
    /// Was asked to save a checkpoint and end.
    Stopping,
    /// Its training loop has ended, and it holds the result.
    Done,
}

impl Member {
    pub(super) fn stands_before(&self, round: RoundId) -> bool {
        self.position.as_ref().is_some_and(|position| position.round == round)
    }

    /// So many chunks took it so long.
    pub(super) fn timed(&mut self, chunks: u32, took: Duration) {
        if chunks > 0 {
            let speed = f64::from(chunks) / took.as_secs_f64().max(1e-6);
            self.speed =
                Some(self.speed.map_or(speed, |old| SMOOTH * old + (1.0 - SMOOTH) * speed));
        }
    }
}

impl Machine {
    pub(super) fn joined(
        &mut self,
        member: MemberId,
        name: String,
        restart: bool,
        now: Instant,
        out: &mut Vec<Action>,
    ) {
        // A second connection of the same worker: the first is dead, whether we know it or not.
        for twin in self.connections(&name) {
            self.remove(twin, true, now, out);
        }
        self.members.insert(
            member,
            Member {
                name,
                stage: Stage::Preparing,
                position: None,
                speed: None,
                nccl: 0,
                draining: None,
                last_heard: now,
                progress: 0,
                last_progress: now,
            },
        );
        out.push(Action::Prepare { member, restart });
    }

    pub(super) fn prepared(
        &mut self,
        member: MemberId,
        shape: Shape,
        (has_state, nccl): (bool, u32),
        now: Instant,
        out: &mut Vec<Action>,
    ) {
        let Some(m) = self.members.get_mut(&member) else { return };
        if m.stage != Stage::Preparing {
            return;
        }
        match &self.shape {
            Some(ours) if *ours != shape => {
                let reason = difference(ours, &shape);
                self.dismiss(member, &reason, Fate::Excluded, now, out);
                return;
            }
            Some(_) => {}
            None => {
                // On record, or the first to come after a restart would decide anew.
                out.push(Action::Record(Entry::Shape {
                    parameters: shape.parameters,
                    chunks: shape.chunks,
                    carried: shape.carried,
                    chains: shape.chains,
                    problem: shape.problem.clone(),
                    fingerprint: shape.fingerprint.clone(),
                }));
                self.shape = Some(shape);
            }
        }
        m.nccl = nccl;
        m.stage = if has_state { Stage::Returning } else { Stage::Waiting };
        if !has_state {
            self.gather_until.get_or_insert(now + self.settings.budget * 2);
        }
    }

    pub(super) fn arrived(&mut self, member: MemberId, position: Position, now: Instant) {
        let Some(m) = self.members.get_mut(&member) else { return };
        // A member that starts over may have said this before it knew.
        if !matches!(m.stage, Stage::Preparing | Stage::Waiting) {
            m.last_progress = now;
            m.position = Some(position);
        }
    }

    pub(super) fn beat(&mut self, member: MemberId, progress: u64, now: Instant) {
        let Some(m) = self.members.get_mut(&member) else { return };
        m.last_heard = now;
        if progress != m.progress {
            m.progress = progress;
            m.last_progress = now;
        }
    }

    pub(super) fn leaving(&mut self, member: MemberId, cluster: bool) {
        if let Some(m) = self.members.get_mut(&member) {
            m.draining = Some(if cluster { Fate::Leaves } else { Fate::Free });
        }
    }

    pub(super) fn failed(
        &mut self,
        member: MemberId,
        fatal: bool,
        why: &str,
        now: Instant,
        out: &mut Vec<Action>,
    ) {
        let Some(m) = self.members.get(&member) else { return };
        let text = format!("{}: {why}", m.name);
        if fatal {
            self.end(Err(text), out);
        } else {
            out.push(Action::Note(text));
            self.dismiss(member, why, Fate::Excluded, now, out);
        }
    }

    /// Sends a member away.
    pub(super) fn dismiss(
        &mut self,
        member: MemberId,
        reason: &str,
        fate: Fate,
        now: Instant,
        out: &mut Vec<Action>,
    ) {
        let Some(m) = self.members.get(&member) else { return };
        // Who was to go does not start over.
        let fate = if fate == Fate::Again { m.draining.unwrap_or(fate) } else { fate };
        let name = m.name.clone();
        release(out, member, reason, fate);
        self.remove(member, fate == Fate::Cut, now, out);
        if fate == Fate::Again {
            // It stays connected, and takes part again from the beginning.
            self.joined(member, name, true, now, out);
        }
    }

    /// Forgets a member, who `may_return` with its state. What it has contributed counts.
    pub(super) fn remove(
        &mut self,
        member: MemberId,
        may_return: bool,
        now: Instant,
        out: &mut Vec<Action>,
    ) {
        let Some(gone) = self.members.remove(&member) else { return };
        if self.snapshot_from == Some(member) {
            self.snapshot_from = None;
        }
        if let Some(round) = &mut self.round {
            round.give_up_on(member);
        }
        if !self.holds_the_state(&gone) {
            return;
        }
        if gone.stage == Stage::Active && gone.draining.is_none() {
            self.lost_at.get_or_insert(now);
        }
        if may_return {
            self.expected.insert(gone.name);
        }
        if self.in_stage(Stage::Active).is_empty() {
            self.suspend_round(out);
        }
        if self.in_stage(Stage::Done).is_empty() {
            // Others have still to say whether they are done.
            self.result = None;
        }
        if !self.members.values().any(|m| self.holds_the_state(m)) {
            // Who comes back has a newer state than the disk.
            self.hold = Some(now + self.settings.budget * 2);
        }
    }

    /// Whether it has the state before the round at hand, or all that it takes to get there.
    pub(super) fn holds_the_state(&self, m: &Member) -> bool {
        let leads_here =
            |position: &Position| position.round == self.next || self.led_here(position).is_some();
        matches!(m.stage, Stage::Active | Stage::Done)
            || m.position.as_ref().is_some_and(leads_here)
    }

    pub(super) fn set_stage(&mut self, id: MemberId, stage: Stage) {
        if let Some(m) = self.members.get_mut(&id) {
            m.stage = stage;
        }
    }

    /// There is one, or none.
    pub(super) fn connections(&self, name: &str) -> Vec<MemberId> {
        self.members.iter().filter(|(_, m)| m.name == name).map(|(id, _)| *id).collect()
    }

    pub(super) fn in_stage(&self, stage: Stage) -> Vec<MemberId> {
        self.members.iter().filter(|(_, m)| m.stage == stage).map(|(id, _)| *id).collect()
    }
}

/// What of a worker's preparation is not that of the others.
fn difference(ours: &Shape, theirs: &Shape) -> String {
    if ours.fingerprint != theirs.fingerprint {
        return format!(
            "its arithmetic would give other bits: it has {}, the run {}",
            theirs.fingerprint, ours.fingerprint
        );
    }
    format!(
        "its data or settings differ: model digest {} with {} parameters and {} chunks a step, \
         the run has {} with {} and {}",
        theirs.problem,
        theirs.parameters,
        theirs.chunks,
        ours.problem,
        ours.parameters,
        ours.chunks
    )
}
