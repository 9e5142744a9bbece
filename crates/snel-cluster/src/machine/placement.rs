//! Who takes part: decides about everyone who does not yet, or not for long.

use std::time::Instant;

use crate::machine::member::{Member, Stage};
use crate::machine::{Action, Fate, Machine, MemberId, Phase, Position, RoundId};
use crate::record::Entry;

impl Machine {
    /// Decides about everyone who does not take part yet.
    pub(super) fn place(&mut self, now: Instant, out: &mut Vec<Action>) {
        if !self.settle(now, out) {
            return;
        }
        let ids: Vec<MemberId> = self.members.keys().copied().collect();
        for id in ids {
            let Some(m) = self.members.get(&id) else { continue };
            let (Stage::Learning | Stage::Returning, Some(position)) = (m.stage, &m.position)
            else {
                continue;
            };
            let (round, redo) = (position.round, self.led_here(position));
            let returning = m.stage == Stage::Returning;
            if round == self.next {
                self.set_stage(id, Stage::Active);
                self.expect_vote(id, now);
                if returning {
                    self.send_sum_late(vec![id], out);
                }
            } else if let Some(redo) = redo.filter(|_| returning) {
                // It missed the commit only. Its next round is the one at hand, so it can go on.
                self.teach(&[id], now);
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
        self.release_the_drained(now, out);
        self.feed(now, out);
    }

    /// If it takes no more than word of a decision to get from `position` to the round at hand:
    /// whether that is to repeat. The sum of a group that was given up may be any.
    pub(super) fn led_here(&self, position: &Position) -> Option<bool> {
        let decision = self.led_here.filter(|decision| decision.round == position.round)?;
        (position.sum == Some(decision.digest)).then_some(decision.redo)
    }

    /// After a restart, or the loss of all workers, waits for those of before: they may be further
    /// than the record, and certainly further than the disk. False while that lasts.
    fn settle(&mut self, now: Instant, out: &mut Vec<Action>) -> bool {
        let Some(until) = self.hold else { return true };
        if now < until && !self.expected.iter().all(|name| self.is_back(name)) {
            return false;
        }
        self.hold = None;
        self.expected.clear();
        let positions = self.members.values().filter_map(|m| m.position.as_ref());
        if let Some(furthest) = positions.map(|p| p.round).max()
            && furthest > self.next
        {
            if furthest.step > self.next.step {
                out.push(Action::Record(Entry::Adopted { step: furthest.step }));
            }
            self.next = furthest;
            self.led_here = None;
        }
        true
    }

    /// Whether a worker has said what it has. One that died in between has nothing.
    pub(super) fn is_back(&self, name: &str) -> bool {
        let has_come = |m: &Member| m.position.is_some() || m.stage == Stage::Waiting;
        self.members.values().any(|m| m.name == name && has_come(m))
    }

    pub(super) fn snapshot(
        &mut self,
        member: MemberId,
        step: u64,
        now: Instant,
        out: &mut Vec<Action>,
    ) {
        if self.snapshot_from != Some(member) {
            return;
        }
        self.snapshot_from = None;
        // Whoever starts from it begins with the first attempt, and gets all sums from there on.
        if self.next != (RoundId { step, attempt: 0 }) {
            return;
        }
        let waiting = self.in_stage(Stage::Waiting);
        if waiting.is_empty() {
            return;
        }
        self.teach(&waiting, now);
        out.push(Action::StartFromSnapshot(waiting.clone()));
        self.send_sum_late(waiting, out);
    }

    /// These are sent a state, and catch up from there.
    fn teach(&mut self, members: &[MemberId], now: Instant) {
        for id in members {
            if let Some(m) = self.members.get_mut(id) {
                m.stage = Stage::Learning;
                m.last_progress = now;
            }
        }
    }

    /// Gives a state to those who wait for one.
    fn feed(&mut self, now: Instant, out: &mut Vec<Action>) {
        let waiting = self.in_stage(Stage::Waiting);
        let ending = self.phase == Phase::Stopping || self.result.is_some();
        // While a group sums, there is no sum for who begins with the round at hand.
        let later = self.is_reducing();
        if waiting.is_empty() || ending || later || self.snapshot_from.is_some() {
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
        let step = self.disk_step;
        if step < self.next.step {
            out.push(Action::Record(Entry::Rewound { step }));
            out.push(Action::Note(format!(
                "no worker has the state of step {}; going back to the checkpoint of step {step}",
                self.next.step
            )));
        } else if step > self.next.step {
            // It arrived when the run had gone back behind it.
            out.push(Action::Record(Entry::Adopted { step }));
        }
        self.next = RoundId { step: self.disk_step, attempt: 0 };
        self.led_here = None;
        self.teach(&waiting, now);
        out.push(Action::StartFromDisk { members: waiting, step: self.disk_step });
    }

    /// Between rounds, lets those go who asked to.
    fn release_the_drained(&mut self, now: Instant, out: &mut Vec<Action>) {
        let draining: Vec<(MemberId, Fate)> =
            self.members.iter().filter_map(|(id, m)| Some((*id, m.draining?))).collect();
        for (id, fate) in draining {
            let Some(m) = self.members.get(&id) else { continue };
            let needed = self.holds_the_state(m) && !self.others_can_go_on(id);
            match m.stage {
                Stage::Stopping => {}
                Stage::Active if self.round.is_some() => {}
                Stage::Active if needed => self.ask_to_stop(vec![id], now, out),
                // It has still to apply the last step, and then is active; or to store the result.
                Stage::Learning | Stage::Done if needed => {}
                _ => self.dismiss(id, "drained", fate, now, out),
            }
        }
    }

    fn others_can_go_on(&self, except: MemberId) -> bool {
        self.members
            .iter()
            .filter(|(id, m)| **id != except && m.draining.is_none())
            .any(|(_, m)| matches!(m.stage, Stage::Active | Stage::Done))
    }

    /// Begins a new epoch if others take part than before.
    pub(super) fn announce(&mut self, now: Instant, out: &mut Vec<Action>) {
        let takes_part = |m: &Member| matches!(m.stage, Stage::Active | Stage::Done);
        let those = self.members.iter().filter(|(_, m)| takes_part(m));
        let (ids, names): (Vec<_>, Vec<_>) = those.map(|(id, m)| (*id, m.name.clone())).unzip();
        if ids.is_empty() || ids == self.membership {
            return;
        }
        self.epoch += 1;
        self.membership.clone_from(&ids);
        self.watch_the_leader(now);
        out.push(Action::Record(Entry::Epoch { epoch: self.epoch, members: names }));
        out.push(Action::Membership(ids));
    }
}
