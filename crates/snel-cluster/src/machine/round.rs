//! One round: chunks given out, sums collected, votes counted, the step committed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use snel_core::chunks::ChunkSet;

use crate::machine::{
    Action, Digest, Fate, Machine, MemberId, Outcome, PayloadId, Phase, RoundId, Stage, Verdict,
    share,
};
use crate::record::Entry;

/// Share of the old value in a member's speed.
const SMOOTH: f64 = 0.7;

/// A round in progress.
#[derive(Debug, Clone)]
pub(super) struct Round {
    /// What each member still owes.
    owed: BTreeMap<MemberId, (ChunkSet, Instant)>,
    contributions: Vec<Contribution>,
    state: State,
    /// The longest that a member took for its first part.
    pub(super) longest: Duration,
}

/// Sums of some chunks.
#[derive(Debug, Clone)]
pub(super) struct Contribution {
    pub(super) member: MemberId,
    pub(super) chunks: ChunkSet,
    pub(super) digest: Digest,
    pub(super) payload: PayloadId,
}

#[derive(Debug, Clone)]
enum State {
    /// Chunks are being summed.
    Computing,
    /// The shell adds the contributions.
    Summing,
    /// The sum is on its way.
    Voting { verdict: Verdict, digest: Digest, missing: BTreeSet<MemberId> },
}

/// What a round waits for.
pub(super) enum Work {
    Chunks(u32),
    Vote,
}

impl Round {
    /// What the round waits for from a member.
    pub(super) fn awaited(&self, id: MemberId) -> Option<Work> {
        match &self.state {
            State::Voting { missing, .. } => missing.contains(&id).then_some(Work::Vote),
            _ => self.owed.get(&id).map(|(chunks, _)| Work::Chunks(chunks.len())),
        }
    }

    /// The same in words.
    pub(super) fn doing(&self, id: MemberId) -> &'static str {
        match self.awaited(id) {
            Some(Work::Chunks(_)) => "computing its chunks",
            Some(Work::Vote) => "confirming the sum",
            None => "nothing",
        }
    }

    fn owe(&mut self, member: MemberId, chunks: ChunkSet, now: Instant) {
        let (owed, _) = self.owed.entry(member).or_insert_with(|| (ChunkSet::default(), now));
        // Parts of a division are disjoint from each other and from what was given before.
        let _ = owed.merge(&chunks);
    }
}

impl Machine {
    /// Begins the next round if the run may and can.
    pub(super) fn start_round(&mut self, now: Instant, out: &mut Vec<Action>) {
        if self.round.is_some() || self.hold.is_some() || self.phase == Phase::Ended {
            return;
        }
        if self.phase == Phase::Stopping {
            self.stop_all(out);
            return;
        }
        let Some(shape) = &self.shape else { return };
        let all = ChunkSet::of(0..shape.chunks);
        if self.phase == Phase::Paused || self.able().is_empty() {
            return;
        }
        self.round = Some(Round {
            owed: BTreeMap::new(),
            contributions: Vec::new(),
            state: State::Computing,
            longest: Duration::ZERO,
        });
        self.give_out(all, now, out);
    }

    /// Asks everyone for a checkpoint; the run ends when the first has sent it.
    fn stop_all(&mut self, out: &mut Vec<Action>) {
        let active = self.in_stage(Stage::Active);
        active.iter().for_each(|id| self.set_stage(*id, Stage::Stopping));
        if !active.is_empty() {
            out.push(Action::Stop(active));
        } else if self.in_stage(Stage::Stopping).is_empty() {
            self.end(Ok(Outcome::Interrupted), out);
        }
    }

    /// Members that can be given chunks.
    fn able(&self) -> Vec<MemberId> {
        let able = |m: &super::Member| m.stage == Stage::Active && m.draining.is_none();
        self.members.iter().filter(|(_, m)| able(m)).map(|(id, _)| *id).collect()
    }

    /// Divides `chunks`; what a member has summed already it gets first.
    fn give_out(&mut self, chunks: ChunkSet, now: Instant, out: &mut Vec<Action>) {
        let mut able = self.able();
        if able.is_empty() {
            // Those who leave must finish what nobody else can.
            able = self.in_stage(Stage::Active);
        }
        let mut left = chunks;
        let mut parts: BTreeMap<MemberId, ChunkSet> = BTreeMap::new();
        let known: Vec<f64> = able.iter().filter_map(|id| self.members.get(id)?.speed).collect();
        let usual = known.iter().sum::<f64>() / known.len().max(1) as f64;
        let usual = if usual > 0.0 { usual } else { 1.0 };
        let mut workers = Vec::with_capacity(able.len());
        for id in able {
            let Some(m) = self.members.get(&id) else { continue };
            let kept = m.position.as_ref().filter(|p| p.round == self.next).map(|p| &p.kept);
            let kept = kept.filter(|kept| !kept.is_empty() && kept.is_subset(&left)).cloned();
            let has = kept.as_ref().map_or(0, ChunkSet::len);
            if let Some(kept) = kept {
                left = left.minus(&kept);
                parts.insert(id, kept);
            }
            workers.push((id, m.speed.unwrap_or(usual), has));
        }
        for (id, part) in share::divide(left, &workers) {
            let _ = parts.entry(id).or_default().merge(&part);
        }
        let round = self.next;
        for (member, chunks) in parts {
            if chunks.is_empty() {
                continue;
            }
            if let Some(m) = self.members.get_mut(&member) {
                m.last_progress = now;
                // A second division must not count on them again.
                if let Some(p) = &mut m.position {
                    p.kept.clear();
                }
            }
            if let Some(round) = self.round_mut() {
                round.owe(member, chunks.clone(), now);
            }
            out.push(Action::Compute { member, round, chunks });
        }
    }

    pub(super) fn contributed(
        &mut self,
        round: RoundId,
        share: Contribution,
        now: Instant,
        out: &mut Vec<Action>,
    ) {
        let member = share.member;
        let current = round == self.next;
        let Some(owed) = self
            .round
            .as_mut()
            .filter(|r| current && matches!(r.state, State::Computing))
            .and_then(|r| r.owed.get_mut(&member))
            .filter(|(owed, _)| !share.chunks.is_empty() && share.chunks.is_subset(owed))
        else {
            out.push(Action::Forget(vec![share.payload]));
            // Late or twice is harmless; what nobody asked for is not.
            let asked = |m: &super::Member| m.stage != Stage::Active;
            if current && self.round.is_some() && !self.members.get(&member).is_none_or(asked) {
                self.dismiss(
                    member,
                    "it sent sums of chunks that it was not given",
                    Fate::Quarantined,
                    now,
                    out,
                );
            }
            return;
        };
        let took = now.saturating_duration_since(owed.1);
        owed.0 = owed.0.minus(&share.chunks);
        let done = owed.0.is_empty();
        let count = share.chunks.len();
        if let Some(r) = self.round_mut() {
            if done {
                r.owed.remove(&member);
            }
            r.longest = r.longest.max(took);
            r.contributions.push(share);
        }
        if let Some(m) = self.members.get_mut(&member) {
            m.last_progress = now;
            let speed = f64::from(count) / took.as_secs_f64().max(1e-6);
            m.speed = Some(m.speed.map_or(speed, |old| SMOOTH * old + (1.0 - SMOOTH) * speed));
        }
        self.close(now, out);
    }

    /// Goes on to the sum once every chunk is there and all agree about the state before.
    fn close(&mut self, now: Instant, out: &mut Vec<Action>) {
        let Some(r) = &self.round else { return };
        if !matches!(r.state, State::Computing) || !r.owed.is_empty() {
            return;
        }
        match odd_ones(&r.contributions) {
            Agreement::All => {}
            Agreement::Most(odd) => {
                self.mismatches += 1;
                self.quarantine(&odd, now, out);
                return;
            }
            Agreement::Tie => {
                self.mismatches += 1;
                let step = self.next.step;
                self.end(
                    Err(format!(
                        "workers disagree about the state before step {step}, and there is no \
                         majority: {}",
                        self.opinions()
                    )),
                    out,
                );
                return;
            }
        }
        let round = self.next;
        if let Some(r) = self.round_mut() {
            r.state = State::Summing;
            let payloads = r.contributions.iter().map(|c| c.payload).collect();
            out.push(Action::Sum { round, payloads });
        }
    }

    fn opinions(&self) -> String {
        let opinion = |c: &Contribution| {
            let name = self.members.get(&c.member).map_or("a worker that left", |m| &m.name);
            format!("{name} has {:08x}", c.digest >> 96)
        };
        let r = self.round.iter().flat_map(|r| &r.contributions);
        r.map(opinion).collect::<Vec<_>>().join(", ")
    }

    /// Takes back what members of another state contributed, and sends them away for good.
    fn quarantine(&mut self, odd: &BTreeSet<MemberId>, now: Instant, out: &mut Vec<Action>) {
        let mut again = ChunkSet::default();
        if let Some(r) = self.round_mut() {
            let (bad, good) = std::mem::take(&mut r.contributions)
                .into_iter()
                .partition(|c| odd.contains(&c.member));
            r.contributions = good;
            let bad: Vec<Contribution> = bad;
            for c in &bad {
                let _ = again.merge(&c.chunks);
            }
            out.push(Action::Forget(bad.iter().map(|c| c.payload).collect()));
        }
        for &member in odd {
            let name = self.members.get(&member).map_or_else(String::new, |m| m.name.clone());
            let text = format!(
                "{name} has another state than the others before step {}: its memory or its \
                 arithmetic is faulty",
                self.next.step
            );
            out.push(Action::Note(text.clone()));
            self.dismiss(member, &text, Fate::Quarantined, now, out);
        }
        if self.round.is_some() {
            self.give_out(again, now, out);
        }
    }

    /// A member is gone: others sum what it owed, and nobody waits for its vote.
    pub(super) fn give_up_on(&mut self, member: MemberId, now: Instant, out: &mut Vec<Action>) {
        let Some(r) = self.round_mut() else { return };
        let owed = r.owed.remove(&member).map(|(chunks, _)| chunks);
        if let State::Voting { missing, .. } = &mut r.state {
            missing.remove(&member);
        }
        if let Some(chunks) = owed.filter(|c| !c.is_empty()) {
            self.give_out(chunks, now, out);
        }
        self.close(now, out);
        self.commit(now, out);
    }

    pub(super) fn summed(
        &mut self,
        round: RoundId,
        verdict: Verdict,
        now: Instant,
        out: &mut Vec<Action>,
    ) {
        let summing = self.round.as_ref().is_some_and(|r| matches!(r.state, State::Summing));
        if round != self.next || !summing {
            return;
        }
        let digest = match verdict {
            Verdict::Step { digest, .. } | Verdict::Redo { digest } => digest,
            Verdict::Unsound { member } => {
                if let Some(r) = self.round_mut() {
                    r.state = State::Computing;
                }
                self.quarantine(&BTreeSet::from([member]), now, out);
                return;
            }
        };
        let voters = self.in_stage(Stage::Active);
        let mut members = voters.clone();
        members.extend(self.in_stage(Stage::Learning));
        if let Some(r) = self.round_mut() {
            r.state = State::Voting { verdict, digest, missing: voters.iter().copied().collect() };
        }
        for id in &voters {
            if let Some(m) = self.members.get_mut(id) {
                m.last_progress = now;
            }
        }
        out.push(Action::SendSum { round, members });
    }

    /// To members that came after the sum was sent.
    pub(super) fn send_sum_late(&self, members: Vec<MemberId>, out: &mut Vec<Action>) {
        let voting = |r: &Round| matches!(r.state, State::Voting { .. });
        if self.round.as_ref().is_some_and(voting) {
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
        if round != self.next {
            return;
        }
        let Some(Round { state: State::Voting { digest: sent, missing, .. }, .. }) =
            &mut self.round
        else {
            return;
        };
        if digest != *sent {
            let reason = "the sum that it received is not the one that was sent";
            self.dismiss(member, reason, Fate::Quarantined, now, out);
            return;
        }
        missing.remove(&member);
        self.commit(now, out);
    }

    /// Decides the round once nobody's vote is missing.
    fn commit(&mut self, now: Instant, out: &mut Vec<Action>) {
        let Some(Round { state: State::Voting { verdict, digest, missing }, .. }) = &self.round
        else {
            return;
        };
        if !missing.is_empty() {
            return;
        }
        let round = self.next;
        let redo = matches!(verdict, Verdict::Redo { .. });
        if redo {
            self.next.attempt += 1;
        } else {
            out.push(Action::Record(Entry::Commit {
                step: round.step,
                epoch: self.epoch,
                digest: *digest,
                refused: matches!(verdict, Verdict::Step { refused: true, .. }),
            }));
            self.next = RoundId { step: round.step + 1, attempt: 0 };
        }
        if let Some(lost) = self.lost_at.take() {
            out.push(Action::Recovered(now.saturating_duration_since(lost)));
        }
        let mut members = self.in_stage(Stage::Active);
        members.extend(self.in_stage(Stage::Learning));
        for m in self.members.values_mut() {
            if m.stage == Stage::Active {
                m.last_progress = now;
            }
        }
        out.push(Action::Commit { round, redo, members });
        self.round = None;
        self.place(now, out);
        self.start_round(now, out);
    }
}

enum Agreement {
    All,
    /// All but these.
    Most(BTreeSet<MemberId>),
    Tie,
}

/// Which members' state is not that of the majority.
fn odd_ones(contributions: &[Contribution]) -> Agreement {
    let mut camps: BTreeMap<Digest, BTreeSet<MemberId>> = BTreeMap::new();
    for c in contributions {
        camps.entry(c.digest).or_default().insert(c.member);
    }
    if camps.len() < 2 {
        return Agreement::All;
    }
    let mut camps: Vec<BTreeSet<MemberId>> = camps.into_values().collect();
    camps.sort_by_key(BTreeSet::len);
    let largest = camps.pop().map_or(0, |camp| camp.len());
    if camps.last().is_some_and(|camp| camp.len() == largest) {
        return Agreement::Tie;
    }
    Agreement::Most(camps.into_iter().flatten().collect())
}
