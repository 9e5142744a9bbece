//! Short words for scripts.

use std::time::{Duration, Instant};

use snel_core::chunks::ChunkSet;

use crate::machine::{
    Action, Digest, Event, Fate, Machine, MemberId, Outcome, Past, PayloadId, Position, RoundId,
    Settings, Shape, Verdict,
};

pub(super) const CHUNKS: u32 = 12;
pub(super) const BUDGET: Duration = Duration::from_secs(10);
pub(super) const PATIENCE: Duration = Duration::from_mins(1);
/// All workers' digest of a state, and of a sum.
pub(super) const STATE: Digest = 7;
pub(super) const SUM: Digest = 70;

/// A machine and its clock.
pub(super) struct Play {
    pub(super) machine: Machine,
    /// Version of NCCL that workers have.
    pub(super) nccl: u32,
    now: Instant,
    payloads: u64,
}

pub(super) fn at(step: u64, attempt: u32) -> RoundId {
    RoundId { step, attempt }
}

pub(super) fn chunks(start: u32, end: u32) -> ChunkSet {
    ChunkSet::of(start..end)
}

pub(super) fn shape(fingerprint: &str) -> Shape {
    let (problem, fingerprint) = ("a".to_owned(), fingerprint.to_owned());
    Shape { parameters: 1, chunks: CHUNKS, carried: 0, chains: 0, problem, fingerprint }
}

pub(super) fn past(next_step: u64, disk_step: u64) -> Past {
    Past {
        epoch: 1,
        next_step,
        members: vec!["a".to_owned()],
        disk_step,
        last_committed: next_step.checked_sub(1).map(|step| (at(step, 1), SUM)),
        shape: Some(shape("x")),
    }
}

impl Play {
    pub(super) fn after(past: Past, wanted: usize) -> Self {
        let settings = Settings { wanted, budget: BUDGET, patience: PATIENCE };
        let now = Instant::now();
        Self { machine: Machine::new(settings, past, now), nccl: 0, now, payloads: 0 }
    }

    /// A run in which workers of these names are before round 1, with all chunks of it given out.
    pub(super) fn with(names: &[&str]) -> (Self, Vec<(MemberId, ChunkSet)>) {
        Self::with_nccl(names, 0)
    }

    /// The same of workers that have this version of NCCL.
    pub(super) fn with_nccl(names: &[&str], nccl: u32) -> (Self, Vec<(MemberId, ChunkSet)>) {
        let mut play = Self::after(Past::default(), names.len());
        play.nccl = nccl;
        for (i, name) in names.iter().enumerate() {
            play.join(i as u64 + 1, name, false);
        }
        let all = |i| MemberId(i as u64 + 1);
        for i in 0..names.len() {
            play.arrive(all(i), at(0, 0));
        }
        // The first to arrive has been given all.
        play.wait(f64::from(CHUNKS));
        play.contribute(MemberId(1), at(0, 0), chunks(0, CHUNKS), STATE);
        let actions = play.finish(at(0, 0), &(0..names.len()).map(all).collect::<Vec<_>>());
        let parts = given(&actions);
        for i in 0..names.len() {
            play.arrive(all(i), at(1, 0));
        }
        (play, parts)
    }

    pub(super) fn tell(&mut self, event: Event) -> Vec<Action> {
        self.machine.step(event, self.now)
    }

    pub(super) fn wait(&mut self, seconds: f64) {
        self.now += Duration::from_secs_f64(seconds);
    }

    pub(super) fn join(&mut self, id: u64, name: &str, has_state: bool) -> Vec<Action> {
        let member = MemberId(id);
        let mut actions = self.tell(Event::Joined { member, name: name.to_owned() });
        actions.extend(self.tell(Event::Prepared {
            member,
            shape: shape("x"),
            has_state,
            nccl: self.nccl,
        }));
        actions
    }

    pub(super) fn arrive(&mut self, member: MemberId, round: RoundId) -> Vec<Action> {
        self.arrive_with(member, round, ChunkSet::default(), false)
    }

    pub(super) fn arrive_with(
        &mut self,
        member: MemberId,
        round: RoundId,
        kept: ChunkSet,
        has_sum: bool,
    ) -> Vec<Action> {
        self.tell(Event::Arrived {
            member,
            position: Position { round, kept, sum: has_sum.then_some(SUM) },
        })
    }

    pub(super) fn contribute(
        &mut self,
        member: MemberId,
        round: RoundId,
        chunks: ChunkSet,
        digest: Digest,
    ) -> Vec<Action> {
        self.payloads += 1;
        let payload = PayloadId(self.payloads);
        self.tell(Event::Contributed { member, round, chunks, digest, payload })
    }

    /// The shell has the sum, and all have it from there.
    pub(super) fn finish(&mut self, round: RoundId, members: &[MemberId]) -> Vec<Action> {
        let verdict = Verdict::Step { digest: SUM, refused: false };
        let mut actions = self.tell(Event::Summed { round, verdict });
        for &member in members {
            actions.extend(self.tell(Event::Ready { member, round, digest: SUM }));
        }
        actions
    }
}

/// Who was asked for what.
pub(super) fn given(actions: &[Action]) -> Vec<(MemberId, ChunkSet)> {
    let one = |action: &Action| match action {
        Action::Compute { member, chunks, .. } => Some((*member, chunks.clone())),
        _ => None,
    };
    actions.iter().filter_map(one).collect()
}

pub(super) fn summed(actions: &[Action]) -> Option<Vec<PayloadId>> {
    actions.iter().find_map(|action| match action {
        Action::Sum { payloads, .. } => Some(payloads.clone()),
        _ => None,
    })
}

pub(super) fn released(actions: &[Action]) -> Vec<(MemberId, Fate, String)> {
    let one = |action: &Action| match action {
        Action::Release { member, reason, fate } => Some((*member, *fate, reason.clone())),
        _ => None,
    };
    actions.iter().filter_map(one).collect()
}

pub(super) fn end(actions: &[Action]) -> Option<(Result<Outcome, String>, u64)> {
    actions.iter().find_map(|action| match action {
        Action::End { outcome, step } => Some((outcome.clone(), *step)),
        _ => None,
    })
}
