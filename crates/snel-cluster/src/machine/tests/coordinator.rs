//! The shell around the machine: turns messages into events, does what it is told, keeps payloads,
//! sums, record and disk, and looks at every action for what must not be.

use std::collections::{BTreeMap, BTreeSet};

use snel_core::chunks::ChunkSet;

use super::grouped::Group;
use super::ledger::Check;
use super::network::{Down, Up};
use super::problem::{State, Sum};
use super::worker::Guilt;
use super::world::{Ending, Own, World};
use crate::machine::{
    Action, Digest, Event, GroupId, Machine, MemberId, PayloadId, RoundId, Shape, Stage, Verdict,
};
use crate::record::Entry;

/// A contribution, with what the machine is not told.
pub(super) struct Payload {
    pub(super) round: RoundId,
    pub(super) name: String,
    pub(super) member: MemberId,
    pub(super) chunks: ChunkSet,
    pub(super) digest: Digest,
    pub(super) partial: u128,
    pub(super) sound: bool,
}

/// A coordinator's process.
pub(super) struct Coordinator {
    pub(super) machine: Machine,
    pub(super) incarnation: u64,
    /// Those whom the machine may speak to.
    pub(super) members: BTreeMap<MemberId, String>,
    pub(super) payloads: BTreeMap<PayloadId, Payload>,
    pub(super) received: u64,
    /// The last sum, and the last snapshot that arrived.
    pub(super) sum: Option<Sum>,
    pub(super) snapshot: Option<State>,
    /// The last round that chunks were given out for.
    pub(super) round: Option<RoundId>,
    /// What each was asked for in this round, and has not given.
    pub(super) owed: BTreeMap<MemberId, ChunkSet>,
    /// Who has said that it holds a sum.
    pub(super) ready: BTreeSet<(MemberId, RoundId)>,
    /// Those who take part.
    pub(super) membership: Vec<MemberId>,
    pub(super) groups: BTreeMap<GroupId, Group>,
    /// Versions of NCCL, as members said.
    pub(super) versions: BTreeMap<MemberId, u32>,
    /// The group that sums the last round.
    pub(super) reducing: Option<GroupId>,
    /// Those who want to go: out of the cluster, and how many commits they were told of since.
    pub(super) leaving: BTreeMap<MemberId, (bool, u32)>,
}

impl Coordinator {
    pub(super) fn new(machine: Machine, incarnation: u64) -> Self {
        Self {
            machine,
            incarnation,
            members: BTreeMap::new(),
            payloads: BTreeMap::new(),
            received: 0,
            sum: None,
            snapshot: None,
            round: None,
            owed: BTreeMap::new(),
            ready: BTreeSet::new(),
            membership: Vec::new(),
            groups: BTreeMap::new(),
            versions: BTreeMap::new(),
            reducing: None,
            leaving: BTreeMap::new(),
        }
    }
}

impl World {
    /// A message has arrived at the coordinator.
    pub(super) fn receive(&mut self, member: MemberId, message: Up) -> Check {
        let worker = self.worker_of(member);
        let name = self.workers[worker].name.clone();
        let Some(shell) = &mut self.shell else { return Ok(()) };
        let event = match message {
            Up::Hello => {
                let twins: Vec<MemberId> =
                    shell.members.extract_if(.., |_, other| *other == name).map(|t| t.0).collect();
                shell.members.insert(member, name.clone());
                twins.into_iter().for_each(|twin| self.hang_up(twin));
                Event::Joined { member, name }
            }
            Up::Prepared { has_state, nccl } => {
                shell.versions.insert(member, nccl);
                Event::Prepared { member, shape: self.shape(worker), has_state, nccl }
            }
            Up::Arrived(position) => Event::Arrived { member, position },
            Up::Beat(progress) => Event::Beat { member, progress },
            Up::Contributed { round, chunks, digest, partial, sound } => {
                shell.received += 1;
                let payload = PayloadId(shell.received);
                let kept = chunks.clone();
                if let Some(owed) =
                    shell.owed.get_mut(&member).filter(|_| shell.round == Some(round))
                {
                    *owed = owed.minus(&chunks);
                }
                shell.payloads.insert(
                    payload,
                    Payload { round, name, member, chunks: kept, digest, partial, sound },
                );
                Event::Contributed { member, round, chunks, digest, payload }
            }
            Up::Ready { round, digest } => {
                if shell.sum.is_some_and(|sum| sum.round == round && sum.digest() == digest) {
                    shell.ready.insert((member, round));
                }
                Event::Ready { member, round, digest }
            }
            Up::Reduced { .. } | Up::GroupId { .. } | Up::GroupReady(_) | Up::GroupFailed(_) => {
                self.heard_of_group(member, message)
            }
            Up::Snapshot(state) | Up::Checkpoint(state)
                if self.workers[worker].guilty == Some(Guilt::Corrupt)
                    && self.problem.states.get(state.step as usize) != Some(&state) =>
            {
                // It is handed on before the others could compare it with theirs.
                self.ending = Some(Ending::Undetectable);
                return Ok(());
            }
            Up::Snapshot(state) => {
                shell.snapshot = Some(state);
                Event::Snapshot { member, step: state.step }
            }
            Up::Checkpoint(state) => return self.store(state),
            Up::Leave { cluster } => {
                shell.leaving.entry(member).or_default().0 = cluster;
                Event::Leaving { member, cluster }
            }
            Up::Finished { step, outcome } => {
                shell.owed.remove(&member);
                Event::Finished { member, step, outcome }
            }
            Up::Failed => Event::Failed { member, fatal: false, why: "no memory".to_owned() },
            Up::Closed => {
                shell.members.remove(&member);
                Event::Lost { member }
            }
        };
        self.tell(event)
    }

    fn shape(&self, worker: usize) -> Shape {
        let fingerprint = if self.workers[worker].alien { "other" } else { "usual" };
        Shape {
            parameters: 1,
            chunks: self.problem.chunks,
            carried: 0,
            chains: 0,
            problem: "a number".to_owned(),
            fingerprint: fingerprint.to_owned(),
        }
    }

    /// A checkpoint has arrived.
    fn store(&mut self, state: State) -> Check {
        if state.step >= self.disk.step {
            self.disk = state;
        }
        self.tell(Event::CheckpointStored { step: state.step })?;
        let Some(shell) = &self.shell else { return Ok(()) };
        let members: Vec<MemberId> = shell.members.keys().copied().collect();
        for member in members {
            self.send(member, Down::Stored(state.step));
        }
        Ok(())
    }

    /// Gives the machine an event and does what it says, unless the coordinator dies before.
    pub(super) fn tell(&mut self, event: Event) -> Check {
        let now = self.instant();
        let Some(shell) = &mut self.shell else { return Ok(()) };
        if self.verbose && !matches!(event, Event::Beat { .. } | Event::Tick) {
            println!("{:>10.3?} {event:?}", self.now);
        }
        let actions = shell.machine.step(event, now);
        for action in actions {
            if let Some(fuse) = &mut self.fuse {
                if *fuse == 0 {
                    self.crash();
                    return Ok(());
                }
                *fuse -= 1;
            }
            if self.verbose {
                println!("{:>10.3?}     {action:?}", self.now);
            }
            let told = format!("{action:?}");
            self.act(action).map_err(|broken| format!("{broken}\n  at {told}"))?;
            if self.ending.is_some_and(|ending| ending == Ending::Undetectable) {
                return Ok(());
            }
        }
        Ok(())
    }

    fn act(&mut self, action: Action) -> Check {
        match action {
            Action::Prepare { member, restart } => {
                self.addressed(&[member])?;
                self.send(member, Down::Prepare { restart });
            }
            Action::StartFromDisk { members, step } => {
                self.addressed(&members)?;
                if self.disk.step != step {
                    return Err(format!("the disk has step {}", self.disk.step));
                }
                self.tally.saw("start from disk");
                let state = self.disk;
                self.send_all(&members, &Down::Start { state, stored: true });
            }
            Action::StartFromSnapshot(members) => {
                self.addressed(&members)?;
                let snapshot = self.shell.as_ref().and_then(|shell| shell.snapshot);
                let Some(state) = snapshot else { return Err("there is no snapshot".to_owned()) };
                self.tally.saw("start from a snapshot");
                self.send_all(&members, &Down::Start { state, stored: false });
            }
            Action::WantSnapshot(member) => {
                self.addressed(&[member])?;
                self.send(member, Down::WantSnapshot);
            }
            Action::Compute { member, round, chunks } => {
                self.addressed(&[member])?;
                self.given_out(member, round, &chunks)?;
                self.send(member, Down::Compute { round, chunks });
            }
            Action::WantGroupId { .. }
            | Action::JoinGroup { .. }
            | Action::Reduce { .. }
            | Action::GroupOver { .. } => self.act_on_group(action)?,
            Action::Forget(payloads) => {
                for payload in payloads {
                    let shell = self.shell.as_mut();
                    if shell.and_then(|shell| shell.payloads.remove(&payload)).is_none() {
                        return Err("the payload is not there".to_owned());
                    }
                }
            }
            Action::Sum { round, payloads } => self.add_up(round, &payloads)?,
            Action::SendSum { round, members } => {
                self.addressed(&members)?;
                let sum = self.shell.as_ref().and_then(|shell| shell.sum);
                let Some(sum) = sum.filter(|sum| sum.round == round) else {
                    return Err("the shell does not have this sum".to_owned());
                };
                if self.is_late(&members) {
                    self.tally.saw("sum sent late");
                }
                self.send_all(&members, &Down::Sum(sum));
            }
            Action::Record(entry) => {
                if let Entry::Commit { step, attempt, .. } = entry {
                    self.all_hold_the_sum(RoundId { step, attempt })?;
                    self.the_group_is_whole()?;
                }
                self.ledger.write(entry, &self.problem, self.disk.step)?;
            }
            Action::Commit { round, redo, members } => {
                self.addressed(&members)?;
                if !redo && !self.ledger.holds(round.step) {
                    return Err("the commit is not on record".to_owned());
                }
                if let Some(shell) = &mut self.shell {
                    shell.payloads.retain(|_, payload| payload.round != round);
                }
                self.nobody_is_kept(&members)?;
                self.count_group_rounds(round, redo, &members);
                match (self.is_late(&members), redo) {
                    (true, true) => self.tally.saw("repetition told late"),
                    (true, false) => self.tally.saw("commit told late"),
                    (false, true) => self.tally.saw("repetition"),
                    (false, false) => {}
                }
                self.send_all(&members, &Down::Commit { round, redo });
            }
            Action::Membership(members) => {
                self.addressed(&members)?;
                for (i, &member) in members.iter().enumerate() {
                    self.send(member, Down::Membership { leader: i == 0 });
                }
                if let Some(shell) = &mut self.shell {
                    shell.membership = members;
                }
                if self.finishing() {
                    self.tally.saw("membership at the end");
                }
            }
            Action::Stop(members) => {
                self.addressed(&members)?;
                self.send_all(&members, &Down::Stop);
            }
            Action::Release { member, reason, fate } => self.let_go(member, &reason, fate)?,
            Action::End { outcome, step } => self.ended(outcome, step)?,
            Action::Recovered(_) | Action::Note(_) => {}
        }
        Ok(())
    }

    fn send_all(&mut self, members: &[MemberId], message: &Down) {
        for &member in members {
            self.send(member, message.clone());
        }
    }

    /// Not what all are told.
    pub(super) fn is_late(&self, members: &[MemberId]) -> bool {
        let takes_part = |id| self.shell.as_ref().is_some_and(|s| s.membership.contains(id));
        !members.iter().any(takes_part)
    }

    fn finishing(&self) -> bool {
        let shell = self.shell.as_ref();
        shell.is_some_and(|s| s.machine.members().any(|(_, _, stage, _)| stage == Stage::Done))
    }

    fn add_up(&mut self, round: RoundId, payloads: &[PayloadId]) -> Check {
        let Some(shell) = &mut self.shell else { return Ok(()) };
        let (mut seen, mut total, mut culprit) = (ChunkSet::default(), 0u128, None);
        let mut odd = 0;
        for id in payloads {
            let Some(payload) = shell.payloads.get(id) else {
                return Err(format!("{id:?} is not there"));
            };
            if payload.round != round {
                return Err(format!("{id:?} is of {:?}", payload.round));
            }
            seen.merge(&payload.chunks).map_err(|chunk| format!("chunk {chunk} is there twice"))?;
            total = total.wrapping_add(payload.partial);
            if !payload.sound {
                culprit = Some(payload.member);
            }
            let right = self.problem.states.get(round.step as usize).map(|state| state.digest());
            odd += usize::from(right != Some(payload.digest));
        }
        if seen != self.problem.all() {
            return Err(format!("only {seen:?} are there"));
        }
        if odd == payloads.len() && culprit.is_none() {
            // No other worker had a say: nothing could have told.
            self.ending = Some(Ending::Undetectable);
        } else if odd > 0 {
            return Err("workers of different states are summed".to_owned());
        }
        let incarnation = shell.incarnation;
        let sum = self.problem.sum(round, total);
        let at = self.now + self.delay();
        self.at(at, Own::Summed { incarnation, sum, culprit });
        Ok(())
    }

    /// The shell has added up a round.
    pub(super) fn summed(&mut self, sum: Sum, culprit: Option<MemberId>) -> Check {
        if let Some(shell) = &mut self.shell {
            shell.sum = Some(sum);
        }
        let verdict = culprit.map_or(sum.verdict, |member| Verdict::Unsound { member });
        self.tell(Event::Summed { round: sum.round, verdict })
    }
}
