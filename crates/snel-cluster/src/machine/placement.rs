//! Who takes part: from joining to leaving.

use std::time::{Duration, Instant};

use crate::machine::round::{Round, Work};
use crate::machine::{
    Action, Fate, Machine, MemberId, Outcome, Phase, Position, RoundId, Shape, release,
};
use crate::record::Entry;

/// A worker's connection, as the run sees it.
#[derive(Debug, Clone)]
pub(super) struct Member {
    pub(super) name: String,
    pub(super) stage: Stage,
    /// The last round that it stood before.
    pub(super) position: Option<Position>,
    /// Chunks a second, smoothed.
    pub(super) speed: Option<f64>,
    /// Where it is to go.
    pub(super) draining: Option<Fate>,
    last_heard: Instant,
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
}

/// How much longer than the first a worker may take to get to a round.
const LATENESS: u32 = 8;

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
        let twins: Vec<MemberId> =
            self.members.iter().filter(|(_, m)| m.name == name).map(|(id, _)| *id).collect();
        for twin in twins {
            self.remove(twin, now, out);
        }
        self.members.insert(
            member,
            Member {
                name,
                stage: Stage::Preparing,
                position: None,
                speed: None,
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
        has_state: bool,
        now: Instant,
        out: &mut Vec<Action>,
    ) {
        let Some(m) = self.members.get_mut(&member) else { return };
        if let Some(ours) = &self.shape
            && *ours != shape
        {
            let reason = difference(ours, &shape);
            self.dismiss(member, &reason, Fate::Excluded, now, out);
            return;
        }
        self.shape = Some(shape);
        if has_state {
            return;
        }
        m.stage = Stage::Waiting;
        m.position = None;
        self.gather_until.get_or_insert(now + self.settings.budget * 2);
    }

    pub(super) fn arrived(&mut self, member: MemberId, position: Position, now: Instant) {
        let Some(m) = self.members.get_mut(&member) else { return };
        m.last_progress = now;
        m.position = Some(position);
        if matches!(m.stage, Stage::Preparing | Stage::Waiting) {
            m.stage = Stage::Returning;
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
            out.push(Action::Note(text.clone()));
            self.dismiss(member, why, Fate::Excluded, now, out);
            // All who tried have failed: the run would wait for a better worker in silence.
            if self.members.is_empty() {
                self.end(Err(text), out);
            }
        }
    }

    pub(super) fn finished(
        &mut self,
        member: MemberId,
        step: u64,
        outcome: Outcome,
        now: Instant,
        out: &mut Vec<Action>,
    ) {
        let Some(m) = self.members.get(&member) else { return };
        if step != self.next.step {
            let reason = format!("ended at step {step}, the run is at {}", self.next.step);
            self.dismiss(member, &reason, Fate::Again, now, out);
            return;
        }
        match outcome {
            Outcome::Interrupted if self.phase != Phase::Stopping => {
                // The last worker goes; its checkpoint keeps its place.
                let fate = m.draining.unwrap_or(Fate::Again);
                self.dismiss(member, "stopped after a checkpoint", fate, now, out);
                self.hold = None;
            }
            _ => self.end(Ok(outcome), out),
        }
    }

    pub(super) fn snapshot(&mut self, member: MemberId, step: u64, out: &mut Vec<Action>) {
        if self.snapshot_from != Some(member) {
            return;
        }
        self.snapshot_from = None;
        // One who starts from it does not know that the step was tried before.
        if step != self.next.step || self.next.attempt > 0 {
            return;
        }
        let waiting = self.in_stage(Stage::Waiting);
        waiting.iter().for_each(|id| self.set_stage(*id, Stage::Learning));
        if waiting.is_empty() {
            return;
        }
        out.push(Action::StartFromSnapshot(waiting.clone()));
        self.send_sum_late(waiting, out);
    }

    /// Sends a member away, and gives its chunks to others.
    pub(super) fn dismiss(
        &mut self,
        member: MemberId,
        reason: &str,
        fate: Fate,
        now: Instant,
        out: &mut Vec<Action>,
    ) {
        release(out, member, reason, fate);
        let name = self.members.get(&member).map(|m| m.name.clone());
        self.remove(member, now, out);
        // It stays connected, and may take part again from the beginning.
        if fate == Fate::Again
            && let Some(name) = name
        {
            self.joined(member, name, true, now, out);
        }
    }

    /// Forgets a member.
    pub(super) fn remove(&mut self, member: MemberId, now: Instant, out: &mut Vec<Action>) {
        let Some(gone) = self.members.remove(&member) else { return };
        if self.snapshot_from == Some(member) {
            self.snapshot_from = None;
        }
        if gone.stage != Stage::Active {
            return;
        }
        if gone.draining.is_none() {
            self.lost_at.get_or_insert(now);
        }
        if self.in_stage(Stage::Active).is_empty() {
            // They may come back with a newer state than the disk has.
            self.round = None;
            self.hold = Some(now + self.settings.budget * 2);
            self.expected.clear();
            self.expected.insert(gone.name);
            return;
        }
        self.new_epoch(out);
        self.give_up_on(member, now, out);
    }

    /// Decides about everyone who does not take part yet.
    pub(super) fn place(&mut self, now: Instant, out: &mut Vec<Action>) {
        if !self.settle(now, out) {
            return;
        }
        let mut changed = false;
        let ids: Vec<MemberId> = self.members.keys().copied().collect();
        for id in ids {
            let Some(m) = self.members.get(&id) else { continue };
            let (Stage::Learning | Stage::Returning, Some(position)) = (m.stage, &m.position)
            else {
                continue;
            };
            let (round, has_sum) = (position.round, position.has_sum);
            let returning = m.stage == Stage::Returning;
            if round == self.next {
                self.set_stage(id, Stage::Active);
                changed = true;
                if returning {
                    self.send_sum_late(vec![id], out);
                }
            } else if let Some(redo) = self.follows(round)
                && has_sum
                && returning
            {
                // It missed the commit only. Its next round is the one at hand, so it can go on.
                self.set_stage(id, Stage::Learning);
                out.push(Action::Commit { round, redo, members: vec![id] });
                self.send_sum_late(vec![id], out);
            } else if returning || round > self.next {
                let reason = format!(
                    "its state is of step {}, the run is at step {}",
                    round.step, self.next.step
                );
                self.dismiss(id, &reason, Fate::Again, now, out);
            }
        }
        if changed {
            self.new_epoch(out);
        }
        self.release_the_drained(now, out);
        self.feed(now, out);
    }

    /// Whether `round` is the one before the current; then, whether it was repeated.
    fn follows(&self, round: RoundId) -> Option<bool> {
        if round.step == self.next.step && round.attempt + 1 == self.next.attempt {
            return Some(true);
        }
        (round.step + 1 == self.next.step && self.next.attempt == 0).then_some(false)
    }

    /// After a restart, or the loss of all workers, waits for those of before: they may be further
    /// than the record, and certainly further than the disk. False while that lasts.
    fn settle(&mut self, now: Instant, out: &mut Vec<Action>) -> bool {
        let Some(until) = self.hold else { return true };
        // A worker of the same name without a state died in between: nothing more will come.
        let has_come = |m: &Member| m.position.is_some() || m.stage == Stage::Waiting;
        let back = |name: &String| self.members.values().any(|m| m.name == *name && has_come(m));
        let all_back = !self.expected.is_empty() && self.expected.iter().all(back);
        if !all_back && now < until {
            return false;
        }
        self.hold = None;
        let positions = self.members.values().filter_map(|m| m.position.as_ref());
        if let Some(furthest) = positions.map(|p| p.round).max()
            && furthest > self.next
        {
            if furthest.step > self.next.step {
                out.push(Action::Record(Entry::Adopted { step: furthest.step }));
            }
            self.next = furthest;
        }
        true
    }

    /// Gives a state to those who wait for one.
    fn feed(&mut self, now: Instant, out: &mut Vec<Action>) {
        let waiting = self.in_stage(Stage::Waiting);
        if waiting.is_empty() || self.phase == Phase::Stopping || self.snapshot_from.is_some() {
            return;
        }
        let active = self.in_stage(Stage::Active);
        if let Some(&peer) = active.last() {
            self.snapshot_from = Some(peer);
            out.push(Action::WantSnapshot(peer));
            return;
        }
        // Nobody has a state to share, or will soon.
        let coming = |m: &Member| matches!(m.stage, Stage::Learning | Stage::Stopping);
        if self.members.values().any(coming) {
            return;
        }
        let gathered = waiting.len() >= self.settings.wanted;
        if !gathered && self.gather_until.is_some_and(|until| now < until) {
            return;
        }
        self.gather_until = None;
        if self.disk_step != self.next.step {
            out.push(Action::Record(Entry::Rewound { step: self.disk_step }));
            out.push(Action::Note(format!(
                "no worker has the state of step {}; going back to the checkpoint of step {}",
                self.next.step, self.disk_step
            )));
        }
        self.next = RoundId { step: self.disk_step, attempt: 0 };
        waiting.iter().for_each(|id| self.set_stage(*id, Stage::Learning));
        out.push(Action::StartFromDisk { members: waiting, step: self.disk_step });
    }

    /// Between rounds, lets those go who asked to.
    fn release_the_drained(&mut self, now: Instant, out: &mut Vec<Action>) {
        let draining: Vec<(MemberId, Fate)> =
            self.members.iter().filter_map(|(id, m)| Some((*id, m.draining?))).collect();
        for (id, fate) in draining {
            match self.members.get(&id).map(|m| m.stage) {
                None | Some(Stage::Stopping) => {}
                Some(Stage::Active) if self.round.is_some() => {}
                Some(Stage::Active) if !self.others_can_go_on(id) => {
                    self.set_stage(id, Stage::Stopping);
                    out.push(Action::Stop(vec![id]));
                }
                Some(_) => self.dismiss(id, "drained", fate, now, out),
            }
        }
    }

    fn others_can_go_on(&self, except: MemberId) -> bool {
        self.members
            .iter()
            .any(|(id, m)| *id != except && m.stage == Stage::Active && m.draining.is_none())
    }

    /// A new membership, and what follows from it.
    pub(super) fn new_epoch(&mut self, out: &mut Vec<Action>) {
        self.epoch += 1;
        let active = self.in_stage(Stage::Active);
        let members =
            active.iter().filter_map(|id| Some(self.members.get(id)?.name.clone())).collect();
        out.push(Action::Record(Entry::Epoch { epoch: self.epoch, members }));
        out.push(Action::Membership(active));
    }

    pub(super) fn set_stage(&mut self, id: MemberId, stage: Stage) {
        if let Some(m) = self.members.get_mut(&id) {
            m.stage = stage;
        }
    }

    pub(super) fn in_stage(&self, stage: Stage) -> Vec<MemberId> {
        self.members.iter().filter(|(_, m)| m.stage == stage).map(|(id, _)| *id).collect()
    }

    /// Finds members that are silent, or alive but getting nowhere.
    pub(super) fn look_for_the_stuck(&mut self, now: Instant, out: &mut Vec<Action>) {
        let budget = self.settings.budget;
        let since = |then: Instant| now.saturating_duration_since(then);
        let mut stuck = Vec::new();
        for (id, m) in &self.members {
            let silent = since(m.last_heard);
            if silent > budget {
                stuck.push((*id, format!("{} was silent for {silent:.1?}", m.name)));
            } else if let Some(limit) = self.deadline(*id)
                && since(m.last_progress) > limit
            {
                let waited = since(m.last_progress);
                let what = self.round.as_ref().map_or("training", |r| r.doing(*id));
                let text =
                    format!("{} lives, but made no progress for {waited:.1?} ({what})", m.name);
                stuck.push((*id, text));
            }
        }
        for (id, reason) in stuck {
            out.push(Action::Note(reason.clone()));
            self.dismiss(id, &reason, Fate::Cut, now, out);
        }
    }

    /// How long the current round may wait for a member; none if it does not.
    fn deadline(&self, id: MemberId) -> Option<Duration> {
        let round = self.round.as_ref()?;
        let m = self.members.get(&id)?;
        match round.awaited(id)? {
            Work::Vote => Some(self.settings.budget.max(round.longest * LATENESS)),
            Work::Chunks(n) => {
                // Not there yet: it validates, as all of them do. Others have shown how long.
                let here = m.position.as_ref().is_some_and(|p| p.round == self.next);
                let expected = m.speed.map(|s| Duration::from_secs_f64(f64::from(n) / s.max(1e-9)));
                match expected {
                    Some(expected) if here => Some(self.settings.budget.max(expected * LATENESS)),
                    _ => Some(self.settings.patience.max(round.longest * LATENESS)),
                }
            }
        }
    }

    /// Whom the run waits for, and why, for people.
    pub fn waiting_for(&self) -> Vec<String> {
        let Some(round) = &self.round else { return Vec::new() };
        let wait = |(id, m): (&MemberId, &Member)| {
            round.awaited(*id)?;
            Some(format!("{} ({})", m.name, round.doing(*id)))
        };
        self.members.iter().filter_map(wait).collect()
    }

    pub(super) fn round_mut(&mut self) -> Option<&mut Round> {
        self.round.as_mut()
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
