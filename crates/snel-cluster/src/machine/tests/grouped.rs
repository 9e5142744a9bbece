//! Groups of workers that sum without the coordinator: how a worker takes part, what the shell does,
//! and what must never come of it.

use std::collections::BTreeSet;

use snel_core::chunks::ChunkSet;

use super::dice::Dice;
use super::fabric::{Gift, News};
use super::ledger::Check;
use super::network::{Down, Up};
use super::problem::{Problem, State};
use super::worker::{Effect, Worker};
use super::world::World;
use crate::machine::{Action, Event, GroupId, MemberId, RoundId};

/// A group as the shell knows it.
#[derive(Default)]
pub(super) struct Group {
    /// By which its members find each other.
    id: Option<u64>,
    members: Vec<MemberId>,
    ready: BTreeSet<MemberId>,
    over: bool,
}

impl Worker {
    /// The id by which it has joined others.
    pub(super) fn communicator(&self) -> Option<u64> {
        self.group.map(|(_, id)| id)
    }

    /// The connection's thread reads ahead: who waits for a sum is called away from it.
    pub(super) fn look_ahead(&mut self, out: &mut Vec<Effect>) {
        let Some((group, _)) = self.group.filter(|_| !self.frozen && self.reducing.is_some())
        else {
            return;
        };
        let over = self.inbox.iter().any(|(line, message)| {
            let ends = match message {
                Down::GroupOver(over) => *over == group,
                Down::Closed => true,
                _ => false,
            };
            ends && self.line == Some(*line)
        });
        if over {
            self.drop_group(out);
        }
    }

    pub(super) fn drop_group(&mut self, out: &mut Vec<Effect>) {
        if let Some((group, id)) = self.group.take() {
            out.push(Effect::Abort(id));
            if self.reducing.take().is_some() {
                self.busy = false;
                out.push(Effect::Send(Up::GroupFailed(group)));
            }
        }
    }

    /// Its share is summed.
    pub(super) fn reduce(
        &mut self,
        group: GroupId,
        (round, state): (RoundId, State),
        chunks: &ChunkSet,
        partial: u128,
        out: &mut Vec<Effect>,
    ) {
        if let Some((_, id)) = self.group.filter(|(mine, _)| *mine == group) {
            self.busy = true;
            self.reducing = Some(self.pace.chunk * chunks.len());
            let gift = Gift { round, state: state.digest(), partial };
            out.push(Effect::Give { id, gift });
        }
    }

    /// Something came of what it does with others.
    pub(super) fn hear(
        &mut self,
        id: u64,
        news: News,
        problem: &Problem,
        dice: &mut Dice,
    ) -> Vec<Effect> {
        let mut out = Vec::new();
        match (news, self.group.filter(|(_, mine)| *mine == id)) {
            (News::Made(group), _) => out.push(Effect::Send(Up::GroupId { group, id })),
            (News::Joined, Some((group, _))) => {
                out.push(Effect::Send(Up::GroupReady(group)));
            }
            (News::Summed(round, total), Some((group, _))) => {
                if let Some(took) = self.reducing.take() {
                    let sum = problem.sum(round, total);
                    self.busy = false;
                    self.progress += 1;
                    self.sum = Some(sum);
                    let verdict = sum.verdict;
                    out.push(Effect::Send(Up::Reduced { group, round, verdict, took }));
                }
            }
            (News::Failed, Some((group, _))) => {
                self.drop_group(&mut out);
                out.push(Effect::Send(Up::GroupFailed(group)));
            }
            (_, None) => {}
        }
        out.extend(self.read(problem, dice));
        out
    }
}

impl World {
    /// What a member says of its group.
    pub(super) fn heard_of_group(&mut self, member: MemberId, message: Up) -> Event {
        let truth = |round: RoundId| {
            let state = self.problem.states[round.step as usize];
            let total = Problem::partial(state, round.attempt, &self.problem.all());
            self.problem.sum(round, total).verdict
        };
        match message {
            Up::Reduced { group, round, verdict, took } => {
                let right = truth(round) == verdict;
                if let Some(shell) = &mut self.shell {
                    let counts = shell.reducing == Some(group) && shell.round == Some(round);
                    if counts && right {
                        shell.ready.insert((member, round));
                    } else {
                        self.tally.saw("a sum that does not count");
                    }
                    if counts && !right {
                        self.tally.saw("sums of a group differ");
                    }
                }
                Event::Reduced { member, group, round, verdict, took }
            }
            Up::GroupId { group, id } => {
                if let Some(known) = self.shell.as_mut().and_then(|s| s.groups.get_mut(&group)) {
                    known.id = Some(id);
                }
                Event::GroupId { member, group }
            }
            Up::GroupReady(group) => {
                if let Some(known) = self.shell.as_mut().and_then(|s| s.groups.get_mut(&group)) {
                    known.ready.insert(member);
                }
                Event::GroupReady { member, group }
            }
            Up::GroupFailed(group) => {
                Event::GroupFailed { member, group, why: "a cable".to_owned() }
            }
            _ => Event::Tick,
        }
    }

    pub(super) fn act_on_group(&mut self, action: Action) -> Check {
        match action {
            Action::WantGroupId { group, member } => {
                self.addressed(&[member])?;
                let Some(shell) = &mut self.shell else { return Ok(()) };
                if shell.groups.insert(group, Group::default()).is_some() {
                    return Err(format!("{group:?} was there before"));
                }
                self.send(member, Down::WantGroupId(group));
            }
            Action::JoinGroup { group, members } => {
                self.addressed(&members)?;
                self.all_can(&members)?;
                let Some(shell) = &mut self.shell else { return Ok(()) };
                let takes_part = shell.membership == members;
                let known = shell.groups.get_mut(&group).filter(|known| !known.over);
                let Some((known, id)) =
                    known.and_then(|known| Some((known.id?, known))).map(|(id, known)| (known, id))
                else {
                    return Err(format!("{group:?} has no id"));
                };
                if !takes_part {
                    return Err("they are not those who take part".to_owned());
                }
                known.members.clone_from(&members);
                let world = members.len();
                for member in members {
                    self.send(member, Down::JoinGroup { group, id, world });
                }
            }
            Action::Reduce { group, round, shares } => {
                self.reduce_by(group, round, &shares)?;
                for (member, chunks) in shares {
                    self.send(member, Down::Reduce { group, round, chunks });
                }
            }
            Action::GroupOver { group, members } => {
                self.addressed(&members)?;
                let Some(shell) = &mut self.shell else { return Ok(()) };
                if let Some(known) = shell.groups.get_mut(&group) {
                    known.over = true;
                }
                if shell.reducing == Some(group) {
                    shell.reducing = None;
                    self.tally.saw("group over in a round");
                }
                members.into_iter().for_each(|m| self.send(m, Down::GroupOver(group)));
            }
            _ => {}
        }
        Ok(())
    }

    fn all_can(&self, members: &[MemberId]) -> Check {
        let Some(shell) = &self.shell else { return Ok(()) };
        let versions: BTreeSet<u32> =
            members.iter().map(|id| shell.versions.get(id).copied().unwrap_or(0)).collect();
        if versions.len() == 1 && !versions.contains(&0) {
            Ok(())
        } else {
            Err("they cannot sum together".to_owned())
        }
    }

    /// A group is whole when it is used, and given each chunk once.
    fn reduce_by(&mut self, id: GroupId, round: RoundId, shares: &[(MemberId, ChunkSet)]) -> Check {
        let members: Vec<MemberId> = shares.iter().map(|(member, _)| *member).collect();
        self.addressed(&members)?;
        let Some(shell) = &mut self.shell else { return Ok(()) };
        if shell.round == Some(round) {
            return Err("the round has begun without it".to_owned());
        }
        shell.enter(round)?;
        let Some(group) = shell.groups.get(&id).filter(|group| !group.over) else {
            return Err("there is no such group".to_owned());
        };
        if group.members != members || group.ready.len() != members.len() {
            return Err("not all of it are ready".to_owned());
        }
        if shell.membership != members || shell.members.len() < members.len() {
            return Err("others take part".to_owned());
        }
        let mut all = ChunkSet::default();
        for (_, share) in shares {
            all.merge(share).map_err(|chunk| format!("chunk {chunk} is there twice"))?;
        }
        if all != self.problem.all() {
            return Err(format!("only {all:?} are given out"));
        }
        shell.reducing = Some(id);
        Ok(())
    }

    /// A sum that a group made is committed only by exactly those who take part.
    pub(super) fn the_group_is_whole(&self) -> Check {
        let Some(shell) = &self.shell else { return Ok(()) };
        let Some(group) = shell.reducing.and_then(|id| shell.groups.get(&id)) else {
            return Ok(());
        };
        if group.over || group.members != shell.membership {
            return Err("the sum is of a group that is over".to_owned());
        }
        Ok(())
    }

    pub(super) fn count_group_rounds(&mut self, round: RoundId, redo: bool, members: &[MemberId]) {
        let by_group = |shell: &super::coordinator::Coordinator| {
            shell.reducing.is_some() && shell.round == Some(round)
        };
        if self.shell.as_ref().is_some_and(by_group) && !self.is_late(members) {
            self.tally.saw(if redo { "repetition by a group" } else { "step by a group" });
        }
    }
}
