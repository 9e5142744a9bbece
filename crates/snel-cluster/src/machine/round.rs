//! The first half of a round: chunks are given out and their sums collected.
//!
//! One rule deals all chunks, at the beginning, after a loss, and when sums turn out to be wrong:
//! what is neither summed nor owed by anyone is given out.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use snel_core::chunks::ChunkSet;

use crate::machine::agreement::{Agreement, agreement};
use crate::machine::group::Reduction;
use crate::machine::{
    Action, Digest, Fate, Machine, MemberId, PayloadId, Phase, RoundId, Stage, Verdict, share,
};

/// A round in progress.
#[derive(Debug, Clone)]
pub(super) struct Round {
    owed: BTreeMap<MemberId, Debt>,
    contributions: Vec<Contribution>,
    pub(super) state: State,
    /// The longest that a member took for a part.
    pub(super) longest: Duration,
}

/// What a member still owes.
#[derive(Debug, Clone)]
struct Debt {
    chunks: ChunkSet,
    /// When it was asked, or last gave.
    since: Instant,
    /// Some of it was summed before: the time it takes says nothing about its speed.
    summed_before: bool,
}

/// Sums as they arrive.
pub(super) struct Sums {
    pub(super) chunks: ChunkSet,
    pub(super) digest: Digest,
    pub(super) payload: PayloadId,
}

/// Sums that count, and whose they are: the worker may be gone.
#[derive(Debug, Clone)]
pub(super) struct Contribution {
    pub(super) member: MemberId,
    pub(super) name: String,
    pub(super) chunks: ChunkSet,
    pub(super) digest: Digest,
    pub(super) payload: PayloadId,
}

#[derive(Debug, Clone)]
pub(super) enum State {
    /// Chunks are being summed.
    Computing,
    /// The same by a group, which adds the sums as well.
    Reducing(Reduction),
    /// The shell adds the contributions.
    Summing,
    /// The sum is on its way; those who are missing have not said that they hold it.
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
            State::Reducing(reduction) => reduction.awaited(id).map(Work::Chunks),
            _ => self.owed.get(&id).map(|debt| Work::Chunks(debt.chunks.len())),
        }
    }

    /// Waits no more for a member; what it has contributed counts.
    pub(super) fn give_up_on(&mut self, member: MemberId) {
        self.owed.remove(&member);
        if let State::Voting { missing, .. } = &mut self.state {
            missing.remove(&member);
        }
    }

    /// What of `chunks` is neither summed nor owed.
    fn unclaimed(&self, chunks: ChunkSet) -> ChunkSet {
        let summed = self.contributions.iter().map(|c| &c.chunks);
        let owed = self.owed.values().map(|debt| &debt.chunks);
        summed.chain(owed).fold(chunks, |left, taken| left.minus(taken))
    }

    fn owe(&mut self, member: MemberId, chunks: &ChunkSet, summed_before: bool, now: Instant) {
        let debt = self.owed.entry(member).or_insert_with(|| Debt {
            chunks: ChunkSet::default(),
            since: now,
            summed_before,
        });
        // Nobody has claimed these chunks, so they are not there yet.
        let _ = debt.chunks.merge(chunks);
        debt.summed_before |= summed_before;
    }

    /// Those who have contributed.
    pub(super) fn givers(&self) -> BTreeSet<MemberId> {
        match &self.state {
            State::Reducing(reduction) => reduction.givers(),
            _ => self.contributions.iter().map(|c| c.member).collect(),
        }
    }

    fn payloads(&self) -> Vec<PayloadId> {
        self.contributions.iter().map(|c| c.payload).collect()
    }
}

impl Machine {
    /// Begins the next round if the run may and can.
    pub(super) fn start_round(&mut self, now: Instant, out: &mut Vec<Action>) {
        let over = self.phase == Phase::Ended || self.result.is_some();
        if over || self.round.is_some() || self.hold.is_some() {
            return;
        }
        if self.phase == Phase::Stopping {
            self.stop_all(now, out);
            return;
        }
        if self.phase == Phase::Paused || self.able().is_empty() {
            return;
        }
        let by_the_group = self.begin_reduction(now, out);
        self.round = Some(Round {
            owed: BTreeMap::new(),
            contributions: Vec::new(),
            state: by_the_group.unwrap_or(State::Computing),
            longest: Duration::ZERO,
        });
        self.advance(now, out);
    }

    /// Ends the round undecided; it begins anew when somebody has the state for it.
    pub(super) fn suspend_round(&mut self, out: &mut Vec<Action>) {
        if let Some(round) = self.round.take() {
            forget(round.payloads(), out);
        }
    }

    /// Takes the round as far as it can go.
    pub(super) fn advance(&mut self, now: Instant, out: &mut Vec<Action>) {
        if self.result.is_some() {
            // There is no such round; that will be clear when the result is on disk.
            return;
        }
        self.deal(now, out);
        self.close(now, out);
        self.commit(now, out);
    }

    /// Members that can be given chunks.
    fn able(&self) -> Vec<MemberId> {
        let able = |m: &super::Member| m.stage == Stage::Active && m.draining.is_none();
        self.members.iter().filter(|(_, m)| able(m)).map(|(id, _)| *id).collect()
    }

    /// Chunks a second of each, or a guess.
    pub(super) fn speeds(&self, members: &[MemberId]) -> Vec<(MemberId, f64)> {
        let speed = |id: &MemberId| self.members.get(id).and_then(|m| m.speed);
        let known: Vec<f64> = members.iter().filter_map(speed).collect();
        let usual =
            if known.is_empty() { 1.0 } else { known.iter().sum::<f64>() / known.len() as f64 };
        members.iter().map(|id| (*id, speed(id).unwrap_or(usual))).collect()
    }

    /// Gives out what is unclaimed; what a member has summed already it gets first.
    pub(super) fn deal(&mut self, now: Instant, out: &mut Vec<Action>) {
        let (Some(r), Some(shape)) = (&self.round, &self.shape) else { return };
        let mut left = r.unclaimed(ChunkSet::of(0..shape.chunks));
        if left.is_empty() || !matches!(r.state, State::Computing) {
            return;
        }
        let mut able = self.able();
        if able.is_empty() {
            // Those who leave must finish what nobody else can.
            able = self.in_stage(Stage::Active);
        }
        let mut parts: BTreeMap<MemberId, ChunkSet> = BTreeMap::new();
        let mut workers = Vec::with_capacity(able.len());
        let mut kept_by = BTreeSet::new();
        for (id, speed) in self.speeds(&able) {
            let Some(m) = self.members.get(&id) else { continue };
            let kept = m.position.as_ref().filter(|p| p.round == self.next).map(|p| &p.kept);
            let kept = kept.filter(|kept| !kept.is_empty() && kept.is_subset(&left));
            workers.push((id, speed, kept.map_or(0, ChunkSet::len)));
            if let Some(kept) = kept {
                left = left.minus(kept);
                parts.insert(id, kept.clone());
                kept_by.insert(id);
            }
        }
        for (id, part) in share::divide(left, &workers) {
            let _ = parts.entry(id).or_default().merge(&part);
        }
        parts.retain(|_, part| !part.is_empty());
        let round = self.next;
        for (member, chunks) in parts {
            if let Some(r) = &mut self.round {
                r.owe(member, &chunks, kept_by.contains(&member), now);
            }
            if let Some(m) = self.members.get_mut(&member) {
                m.last_progress = now;
            }
            out.push(Action::Compute { member, round, chunks });
        }
    }

    pub(super) fn contributed(
        &mut self,
        member: MemberId,
        round: RoundId,
        Sums { chunks, digest, payload }: Sums,
        now: Instant,
        out: &mut Vec<Action>,
    ) {
        let taking_part = self.members.get_mut(&member).filter(|m| m.stage == Stage::Active);
        let current = self.round.as_mut().filter(|_| round == self.next);
        let (Some(m), Some(r)) = (taking_part, current) else {
            // Late, which is harmless.
            forget(vec![payload], out);
            return;
        };
        let Some(debt) =
            r.owed.get_mut(&member).filter(|d| !chunks.is_empty() && chunks.is_subset(&d.chunks))
        else {
            forget(vec![payload], out);
            // Twice is harmless; what nobody asked for is not.
            if !r.contributions.iter().any(|c| c.member == member && c.chunks == chunks) {
                let reason = "it sent sums of chunks that it was not given";
                self.dismiss(member, reason, Fate::Quarantined, now, out);
            }
            return;
        };
        let took = now.saturating_duration_since(debt.since);
        if !debt.summed_before {
            m.timed(chunks.len(), took);
        }
        m.last_progress = now;
        debt.since = now;
        debt.chunks = debt.chunks.minus(&chunks);
        if debt.chunks.is_empty() {
            r.owed.remove(&member);
        }
        r.longest = r.longest.max(took);
        let name = m.name.clone();
        r.contributions.push(Contribution { member, name, chunks, digest, payload });
    }

    /// Goes on to the sum once every chunk is there and all agree about the state before.
    fn close(&mut self, now: Instant, out: &mut Vec<Action>) {
        let (Some(r), Some(shape)) = (&mut self.round, &self.shape) else { return };
        let whole = r.owed.is_empty() && r.unclaimed(ChunkSet::of(0..shape.chunks)).is_empty();
        if !matches!(r.state, State::Computing) || !whole {
            return;
        }
        match agreement(r.contributions.iter().map(|c| (c.name.as_str(), c.digest))) {
            Agreement::All => {
                r.state = State::Summing;
                out.push(Action::Sum { round: self.next, payloads: r.payloads() });
            }
            Agreement::Most(state) => {
                self.mismatches += 1;
                let reason = "its state is not that of the others: its memory or its arithmetic \
                              is faulty";
                self.take_back(|c| c.digest == state, reason, now, out);
                self.announce(now, out);
                self.deal(now, out);
            }
            Agreement::Tie => {
                self.mismatches += 1;
                let opinion = |c: &Contribution| format!("{} has {:08x}", c.name, c.digest >> 96);
                let opinions: BTreeSet<String> = r.contributions.iter().map(opinion).collect();
                let opinions: Vec<String> = opinions.into_iter().collect();
                let why = format!(
                    "workers disagree about the state before step {}, and there is no majority: {}",
                    self.next.step,
                    opinions.join(", ")
                );
                self.end(Err(why), out);
            }
        }
    }

    /// Takes back all contributions but the `good` ones, and sends those who made them away for
    /// good, on whichever connection they are now.
    pub(super) fn take_back(
        &mut self,
        good: impl Fn(&Contribution) -> bool,
        reason: &str,
        now: Instant,
        out: &mut Vec<Action>,
    ) {
        let Some(r) = &mut self.round else { return };
        let (keep, bad): (Vec<_>, Vec<_>) =
            std::mem::take(&mut r.contributions).into_iter().partition(good);
        r.contributions = keep;
        forget(bad.iter().map(|c| c.payload).collect(), out);
        let names: BTreeSet<String> = bad.into_iter().map(|c| c.name).collect();
        for name in names {
            out.push(Action::Note(format!("{name}, step {}: {reason}", self.next.step)));
            for member in self.connections(&name) {
                self.dismiss(member, reason, Fate::Quarantined, now, out);
            }
        }
    }
}

fn forget(payloads: Vec<PayloadId>, out: &mut Vec<Action>) {
    if !payloads.is_empty() {
        out.push(Action::Forget(payloads));
    }
}
