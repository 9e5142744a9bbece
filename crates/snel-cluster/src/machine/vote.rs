//! The second half of a round: all get the sum and say so, and the step is committed.

use std::collections::BTreeSet;
use std::time::Instant;

use crate::machine::round::{Round, State};
use crate::machine::{Action, Decision, Digest, Fate, Machine, MemberId, RoundId, Stage, Verdict};
use crate::record::Entry;

/// A member that was given nothing is thought to be so much faster in the next round.
const HOPE: f64 = 1.1;

impl Machine {
    pub(super) fn summed(
        &mut self,
        round: RoundId,
        verdict: Verdict,
        now: Instant,
        out: &mut Vec<Action>,
    ) {
        let Some(r) = &mut self.round else { return };
        if round != self.next || !matches!(r.state, State::Summing) {
            return;
        }
        let digest = match verdict {
            Verdict::Step { digest, .. } | Verdict::Redo { digest } => digest,
            Verdict::Unsound { member } => {
                r.state = State::Computing;
                self.take_back(|c| c.member != member, "its sums do not fit together", now, out);
                return;
            }
        };
        r.state = State::Voting { verdict, digest, missing: BTreeSet::new() };
        let mut members = self.in_stage(Stage::Active);
        members.iter().for_each(|id| self.expect_vote(*id, now));
        members.extend(self.in_stage(Stage::Learning));
        out.push(Action::SendSum { round, members });
    }

    /// If the sum is on its way already: the round is not committed before this member holds it.
    pub(super) fn expect_vote(&mut self, member: MemberId, now: Instant) {
        if let Some(Round { state: State::Voting { missing, .. }, .. }) = &mut self.round {
            missing.insert(member);
            if let Some(m) = self.members.get_mut(&member) {
                m.last_progress = now;
            }
        }
    }

    /// To members that came after the sum was sent.
    pub(super) fn send_sum_late(&self, members: Vec<MemberId>, out: &mut Vec<Action>) {
        if matches!(self.round, Some(Round { state: State::Voting { .. }, .. })) {
            out.push(Action::SendSum { round: self.next, members });
        }
    }

    pub(super) fn ready(
        &mut self,
        member: MemberId,
        round: RoundId,
        digest: Digest,
        now: Instant,
        out: &mut Vec<Action>,
    ) {
        let Some(Round { state: State::Voting { digest: sent, missing, .. }, .. }) =
            &mut self.round
        else {
            return;
        };
        if round != self.next || !missing.contains(&member) {
            return;
        }
        if digest == *sent {
            missing.remove(&member);
        } else {
            let reason = "the sum that it received is not the one that was sent";
            self.dismiss(member, reason, Fate::Quarantined, now, out);
        }
    }

    /// Decides the round once nobody's vote is missing.
    pub(super) fn commit(&mut self, now: Instant, out: &mut Vec<Action>) {
        let verdict = match self.round.as_ref().map(|round| &round.state) {
            Some(State::Voting { verdict, missing, .. }) if missing.is_empty() => *verdict,
            Some(State::Reducing(reduction)) => {
                let Some(verdict) = reduction.decided() else { return };
                self.group_has_worked();
                verdict
            }
            _ => return,
        };
        let (Verdict::Step { digest, .. } | Verdict::Redo { digest }) = verdict else { return };
        let round = self.next;
        let RoundId { step, attempt } = round;
        let redo = matches!(verdict, Verdict::Redo { .. });
        if redo {
            self.next.attempt += 1;
        } else {
            out.push(Action::Record(Entry::Commit {
                step,
                attempt,
                epoch: self.epoch,
                digest,
                refused: matches!(verdict, Verdict::Step { refused: true, .. }),
            }));
            self.next = RoundId { step: step + 1, attempt: 0 };
        }
        self.led_here = Some(Decision { round, redo, digest });
        let gave = self.round.take().map(|round| round.givers()).unwrap_or_default();
        self.expected.clear();
        if let Some(lost) = self.lost_at.take() {
            out.push(Action::Recovered(now.saturating_duration_since(lost)));
        }
        let mut members = self.in_stage(Stage::Active);
        members.extend(self.in_stage(Stage::Learning));
        out.push(Action::Commit { round, redo, members });
        for (_, m) in self.members.iter_mut().filter(|(id, _)| !gave.contains(*id)) {
            // Too slow to be given anything, by what is known; that may have been chance.
            m.speed = m.speed.map(|speed| speed * HOPE);
        }
    }
}
