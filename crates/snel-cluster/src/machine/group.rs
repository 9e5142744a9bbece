//! Sums between the members themselves, without the coordinator: by NCCL.
//!
//! A group is the active members of one epoch, if all of them can. One of them makes an id, all join
//! by it beside the steps, and from the next round on they sum among themselves and tell the machine
//! what came out. A group is never repaired: another one forms.
//!
//! Invariants
//! 1. A round is begun by a group only if its members are exactly the active ones and nobody else
//!    waits for the sum, which the coordinator does not have.
//! 2. It is committed only if all members hold the same sum.
//! 3. Whatever else happens ends the group, and the round goes on through the coordinator: what
//!    members have summed of it counts, and only the lost chunks are summed again.
//! 4. Nobody is sent away for a group's failure. It does not tell whose fault it was; the round that
//!    follows does.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use snel_core::chunks::ChunkSet;

use crate::machine::member::Member;
use crate::machine::round::{Round, State};
use crate::machine::{Action, Machine, MemberId, Phase, RoundId, Stage, Verdict, share};

/// One attempt at a group; a number that is never used again while the coordinator lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupId(pub u64);

/// The groups of a run.
#[derive(Debug, Clone, Default)]
pub(super) struct Groups {
    current: Option<Group>,
    begun: u64,
    /// Since the last step by a group.
    failures: u32,
    not_before: Option<Instant>,
}

#[derive(Debug, Clone)]
struct Group {
    id: GroupId,
    /// In the order of ranks.
    members: Vec<MemberId>,
    form: Form,
    since: Instant,
}

/// How far a group has come.
#[derive(Debug, Clone)]
enum Form {
    /// The first member makes an id.
    Wanted,
    /// These have not joined yet.
    Joining(BTreeSet<MemberId>),
}

/// A round that a group sums.
#[derive(Debug, Clone)]
pub(super) struct Reduction {
    group: GroupId,
    shares: BTreeMap<MemberId, ChunkSet>,
    /// What members say came out.
    votes: BTreeMap<MemberId, Verdict>,
}

impl Reduction {
    /// Chunks of a member that has not said what came out.
    pub(super) fn awaited(&self, id: MemberId) -> Option<u32> {
        let share = self.shares.get(&id)?;
        (!self.votes.contains_key(&id)).then(|| share.len())
    }

    /// What all say, once they do. Words that differ have ended the group before.
    pub(super) fn decided(&self) -> Option<Verdict> {
        let all = self.votes.len() == self.shares.len();
        self.votes.values().next().copied().filter(|_| all)
    }

    /// Those who had something to sum.
    pub(super) fn givers(&self) -> BTreeSet<MemberId> {
        let gives = |(id, share): (&MemberId, &ChunkSet)| (!share.is_empty()).then_some(*id);
        self.shares.iter().filter_map(gives).collect()
    }

    fn votes_differ(&self) -> bool {
        let mut votes = self.votes.values();
        let first = votes.next();
        votes.any(|vote| Some(vote) != first)
    }
}

impl Machine {
    /// Ends the group if its members are not those who take part, and begins another if that may
    /// last.
    pub(super) fn tend_group(&mut self, now: Instant, out: &mut Vec<Action>) {
        let active = self.in_stage(Stage::Active);
        if let Some(group) = &self.groups.current {
            let others_need_the_sum =
                self.is_reducing() && !self.in_stage(Stage::Learning).is_empty();
            if group.members != active || others_need_the_sum {
                self.end_group(now, out);
            }
        }
        if self.groups.current.is_none() && self.can_form(&active, now) {
            self.groups.begun += 1;
            let (id, member) = (GroupId(self.groups.begun), active[0]);
            self.groups.current =
                Some(Group { id, members: active, form: Form::Wanted, since: now });
            out.push(Action::WantGroupId { group: id, member });
        }
    }

    fn can_form(&self, active: &[MemberId], now: Instant) -> bool {
        let versions: BTreeSet<u32> =
            active.iter().filter_map(|id| Some(self.members.get(id)?.nccl)).collect();
        active.len() > 1
            && versions.len() == 1
            && !versions.contains(&0)
            && self.phase == Phase::Running
            && self.result.is_none()
            && self.is_settled()
            && self.groups.not_before.is_none_or(|time| now >= time)
    }

    /// Nobody is about to come or to go, as far as can be seen.
    fn is_settled(&self) -> bool {
        let stays = |m: &Member| match m.stage {
            Stage::Active => m.draining.is_none(),
            stage => stage == Stage::Preparing,
        };
        self.snapshot_from.is_none() && self.members.values().all(stays)
    }

    pub(super) fn is_reducing(&self) -> bool {
        matches!(self.round, Some(Round { state: State::Reducing(_), .. }))
    }

    pub(super) fn group_id(
        &mut self,
        member: MemberId,
        id: GroupId,
        now: Instant,
        out: &mut Vec<Action>,
    ) {
        let Some(group) = self.groups.current.as_mut().filter(|group| group.id == id) else {
            return;
        };
        if matches!(group.form, Form::Wanted) && group.members.first() == Some(&member) {
            group.form = Form::Joining(group.members.iter().copied().collect());
            group.since = now;
            out.push(Action::JoinGroup { group: id, members: group.members.clone() });
        }
    }

    pub(super) fn group_ready(&mut self, member: MemberId, id: GroupId) {
        if let Some(Group { form: Form::Joining(missing), .. }) =
            self.groups.current.as_mut().filter(|group| group.id == id)
        {
            missing.remove(&member);
        }
    }

    pub(super) fn group_failed(
        &mut self,
        member: MemberId,
        id: GroupId,
        why: &str,
        now: Instant,
        out: &mut Vec<Action>,
    ) {
        let theirs =
            self.groups.current.as_ref().is_some_and(|g| g.id == id && g.members.contains(&member));
        if let Some(m) = self.members.get(&member).filter(|_| theirs) {
            let why = format!("{}: {why}", m.name);
            self.give_group_up(&why, now, out);
        }
    }

    /// The state of a round that begins, if it is to be summed by the group.
    pub(super) fn begin_reduction(&mut self, now: Instant, out: &mut Vec<Action>) -> Option<State> {
        let group = self.groups.current.as_ref()?;
        let whole = matches!(&group.form, Form::Joining(missing) if missing.is_empty());
        if !whole || !self.is_settled() {
            return None;
        }
        let (group, members) = (group.id, group.members.clone());
        let chunks = ChunkSet::of(0..self.shape.as_ref()?.chunks);
        let workers: Vec<_> =
            self.speeds(&members).into_iter().map(|(id, speed)| (id, speed, 0)).collect();
        let shares = share::divide(chunks, &workers);
        for id in &members {
            if let Some(m) = self.members.get_mut(id) {
                m.last_progress = now;
            }
        }
        out.push(Action::Reduce { group, round: self.next, shares: shares.clone() });
        let shares = shares.into_iter().collect();
        Some(State::Reducing(Reduction { group, shares, votes: BTreeMap::new() }))
    }

    /// A member holds what its group has summed in `round`; its share `took` it so long.
    pub(super) fn reduced(
        &mut self,
        member: MemberId,
        group: GroupId,
        (round, verdict): (RoundId, Verdict),
        took: Duration,
        now: Instant,
        out: &mut Vec<Action>,
    ) {
        let Some(Round { state: State::Reducing(reduction), longest, .. }) = &mut self.round else {
            return;
        };
        if round != self.next || group != reduction.group || reduction.awaited(member).is_none() {
            return;
        }
        let share = reduction.shares.get(&member).map_or(0, ChunkSet::len);
        reduction.votes.insert(member, verdict);
        *longest = took.max(*longest);
        let differ = reduction.votes_differ();
        if let Some(m) = self.members.get_mut(&member) {
            m.last_progress = now;
            m.timed(share, took);
        }
        if differ {
            self.mismatches += 1;
            let why = format!("its members hold different sums of step {}", round.step);
            self.give_group_up(&why, now, out);
        }
    }

    /// A step was committed by the group: it works.
    pub(super) fn group_has_worked(&mut self) {
        self.groups.failures = 0;
    }

    /// Ends a group that takes too long: to form, or over a round if `all_late`.
    pub(super) fn look_after_group(&mut self, all_late: bool, now: Instant, out: &mut Vec<Action>) {
        let Some(group) = &self.groups.current else { return };
        let name = |id: &MemberId| self.members.get(id).map(|m| m.name.clone());
        let missing: Vec<String> = match &group.form {
            Form::Wanted => group.members.iter().take(1).filter_map(name).collect(),
            Form::Joining(missing) => missing.iter().filter_map(name).collect(),
        };
        let waited = now.saturating_duration_since(group.since);
        if all_late {
            self.give_group_up("its sum did not come", now, out);
        } else if !missing.is_empty() && waited > self.settings.patience {
            let why = format!("not joined by {} after {waited:.1?}", missing.join(", "));
            self.give_group_up(&why, now, out);
        }
    }

    /// Ends the group because it does not work; the next one is tried later each time.
    fn give_group_up(&mut self, why: &str, now: Instant, out: &mut Vec<Action>) {
        let wait = self.settings.budget * 2u32.pow(self.groups.failures.min(10));
        self.groups.failures += 1;
        self.groups.not_before = Some(now + wait);
        out.push(Action::Note(format!("no sums between workers for {wait:.1?}: {why}")));
        self.end_group(now, out);
    }

    /// Ends the group; its round, if there is one, goes on through the coordinator.
    pub(super) fn end_group(&mut self, now: Instant, out: &mut Vec<Action>) {
        let Some(group) = self.groups.current.take() else { return };
        let members: Vec<MemberId> =
            group.members.into_iter().filter(|id| self.members.contains_key(id)).collect();
        if !members.is_empty() && matches!(group.form, Form::Joining(_)) {
            out.push(Action::GroupOver { group: group.id, members });
        }
        let Some(round) = &mut self.round else { return };
        let State::Reducing(Reduction { shares, .. }) = &mut round.state else { return };
        let shares = std::mem::take(shares);
        round.state = State::Computing;
        for (id, share) in shares {
            // It has summed its share, or is at it: it is to finish that first.
            let position = self.members.get_mut(&id).and_then(|m| m.position.as_mut());
            if let Some(position) = position.filter(|position| position.round == self.next) {
                position.kept = share;
            }
        }
        if self.result.is_none() {
            self.deal(now, out);
        }
    }
}
