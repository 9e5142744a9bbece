//! What the machine promises, looked at in every action.

use std::collections::BTreeMap;

use snel_core::chunks::ChunkSet;

use super::coordinator::Coordinator;
use super::ledger::Check;
use super::network::Down;
use super::world::{Ending, World};
use crate::machine::{Digest, Fate, MemberId, Outcome, Phase, RoundId};

impl Coordinator {
    /// Chunks of `round` are given out, perhaps for the first time.
    pub(super) fn enter(&mut self, round: RoundId) -> Check {
        if self.round == Some(round) {
            return Ok(());
        }
        if self.machine.phase() != Phase::Running {
            return Err("a round begins though the run is held".to_owned());
        }
        if self.payloads.values().any(|payload| payload.round != round) {
            return Err("payloads of the round before are still kept".to_owned());
        }
        self.round = Some(round);
        self.owed.clear();
        self.reducing = None;
        Ok(())
    }
}

impl World {
    /// Whoever is spoken to must be there.
    pub(super) fn addressed(&self, members: &[MemberId]) -> Check {
        let there = |id| self.shell.as_ref().is_some_and(|shell| shell.members.contains_key(id));
        match members.iter().find(|id| !there(id)) {
            Some(id) => Err(format!("{id:?} is gone")),
            None => Ok(()),
        }
    }

    pub(super) fn given_out(
        &mut self,
        member: MemberId,
        round: RoundId,
        chunks: &ChunkSet,
    ) -> Check {
        let Some(shell) = &mut self.shell else { return Ok(()) };
        if chunks.is_empty() || !chunks.is_subset(&self.problem.all()) {
            return Err("there are no such chunks".to_owned());
        }
        if shell.reducing.is_some() && shell.round == Some(round) {
            return Err("its group sums that round".to_owned());
        }
        if self.workers[self.net.lines[&member].worker].alien {
            return Err("its arithmetic is another".to_owned());
        }
        shell.enter(round)?;
        let members = &shell.members;
        shell.owed.retain(|id, _| members.contains_key(id));
        let summed = shell.payloads.values().map(|payload| &payload.chunks);
        if summed.chain(shell.owed.values()).any(|taken| !taken.is_disjoint(chunks)) {
            return Err("somebody has summed some of it, or will".to_owned());
        }
        let owed = shell.owed.entry(member).or_default();
        owed.merge(chunks).map_err(|chunk| format!("chunk {chunk} is there twice"))
    }

    pub(super) fn all_hold_the_sum(&self, round: RoundId) -> Check {
        let Some(shell) = &self.shell else { return Ok(()) };
        let holds = |id: &MemberId| shell.ready.contains(&(*id, round));
        match shell.membership.iter().find(|id| !holds(id) && shell.members.contains_key(id)) {
            Some(id) => Err(format!("{id:?} does not hold the sum")),
            None => Ok(()),
        }
    }

    /// Whoever wants to go is told of the round at hand, and of no other if there are more.
    pub(super) fn nobody_is_kept(&mut self, members: &[MemberId]) -> Check {
        let Some(shell) = &mut self.shell else { return Ok(()) };
        let more = shell.membership.iter().any(|id| !shell.leaving.contains_key(id));
        for id in members {
            if let Some((_, commits)) = shell.leaving.get_mut(id) {
                *commits += 1;
                if *commits > 2 && more {
                    return Err(format!("{id:?} wants to go"));
                }
            }
        }
        Ok(())
    }

    /// A worker is sent away: nobody without reason.
    pub(super) fn let_go(&mut self, member: MemberId, reason: &str, fate: Fate) -> Check {
        self.addressed(&[member])?;
        let worker = self.worker_of(member);
        let leaves = self.shell.as_ref().and_then(|shell| shell.leaving.get(&member).copied());
        let (name, guilty) = (self.workers[worker].name.clone(), self.workers[worker].guilty);
        // A process that was started anew answers for the one before.
        let innocent = guilty.is_none() && !self.workers[worker].had_a_guilty_life;
        match fate {
            Fate::Quarantined if innocent => return Err(format!("{name} is innocent")),
            Fate::Excluded if !self.workers[worker].alien && !self.failed.contains(&name) => {
                return Err(format!("{name} fits the run"));
            }
            Fate::Again if leaves.is_some() => return Err(format!("{name} is to leave")),
            Fate::Free if leaves.is_some_and(|(cluster, _)| cluster) => {
                return Err(format!("{name} is to leave the cluster"));
            }
            Fate::Leaves if !leaves.is_some_and(|(cluster, _)| cluster) => {
                return Err(format!("{name} is not to leave the cluster"));
            }
            Fate::Cut => {
                if !reason.contains(&name) {
                    return Err(format!("{name} is not named"));
                }
                let disturbed = self.net.lines.get(&member).is_some_and(|line| line.disturbed);
                if !disturbed && guilty.is_none() {
                    return Err(format!("{name} was well"));
                }
                self.hang_up(member);
            }
            _ => {}
        }
        self.send(member, Down::Release(fate));
        if let Some(shell) = &mut self.shell {
            shell.owed.remove(&member);
            if fate != Fate::Again {
                shell.members.remove(&member);
            }
        }
        self.tally.fate(fate);
        Ok(())
    }

    pub(super) fn ended(&mut self, outcome: Result<Outcome, String>, step: u64) -> Check {
        if step != self.ledger.next {
            return Err(format!("{} steps are committed", self.ledger.next));
        }
        let disk = self.disk.step;
        match outcome {
            Ok(Outcome::Interrupted) => {
                if !self.stop_asked {
                    return Err("nobody asked the run to stop".to_owned());
                }
                if disk != step && self.gentle {
                    return Err(format!("the disk has step {disk} only"));
                }
                self.ending = Some(Ending::Interrupted);
            }
            Ok(outcome) => {
                if outcome != self.problem.outcome || step != self.problem.end {
                    return Err(format!("the run was to end at {}", self.problem.end));
                }
                if disk != step {
                    return Err(format!("the disk has step {disk} only"));
                }
                self.ending = Some(Ending::Finished);
                self.finishers =
                    self.shell.as_ref().map(|s| s.membership.clone()).unwrap_or_default();
            }
            Err(why) => {
                self.tie(&why)?;
                self.ending = Some(Ending::Tie);
            }
        }
        Ok(())
    }

    /// The run may end without a majority if there was none, and must say who is of which mind.
    fn tie(&self, why: &str) -> Check {
        let Some(shell) = &self.shell else { return Ok(()) };
        let mut camps: BTreeMap<Digest, Vec<&str>> = BTreeMap::new();
        for payload in shell.payloads.values() {
            let camp = camps.entry(payload.digest).or_default();
            if !camp.contains(&payload.name.as_str()) {
                camp.push(&payload.name);
            }
        }
        let most = camps.values().map(Vec::len).max().unwrap_or(0);
        if camps.values().filter(|camp| camp.len() == most).count() < 2 {
            return Err(format!("there was a majority: {camps:?}"));
        }
        match camps.values().flatten().find(|name| !why.contains(**name)) {
            Some(name) => Err(format!("{name} is not named")),
            None => Ok(()),
        }
    }
}
