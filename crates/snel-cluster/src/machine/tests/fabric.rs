//! NCCL as the machine's workers meet it: all who join by one id sum together, in the time that it
//! takes, or it fails some of them, or it never answers. Some may have a sum that others have not.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::dice::Dice;
use super::world::{Own, World};
use crate::machine::{Digest, GroupId, RoundId};

/// How a seed's workers sum.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mood {
    /// Workers in a hundred that can, and those of them that have another version.
    can: u64,
    odd: u64,
    /// Operations in a hundred that go wrong, while things may.
    trouble: u64,
    /// The longest that a join takes.
    join: Duration,
}

/// A worker's process.
type Process = (usize, u64);

/// What it hears.
#[derive(Debug, Clone, Copy)]
pub(super) enum News {
    /// An id was made for the group.
    Made(GroupId),
    Joined,
    Summed(RoundId, u128),
    Failed,
}

/// What a member gives to be summed, and what it takes that for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Gift {
    pub(super) round: RoundId,
    pub(super) state: Digest,
    pub(super) partial: u128,
}

/// Those who joined by one id.
#[derive(Default)]
struct Clique {
    joined: BTreeSet<Process>,
    gifts: BTreeMap<RoundId, BTreeMap<Process, Gift>>,
    /// Somebody has left.
    broken: bool,
}

#[derive(Default)]
pub(super) struct Fabric {
    cliques: BTreeMap<u64, Clique>,
    made: u64,
}

impl Mood {
    pub(super) fn roll(dice: &mut Dice) -> Self {
        let can = if dice.chance(60) { 100 } else { dice.within(0, 1) * 70 };
        let odd = if dice.chance(10) { 20 } else { 0 };
        let trouble = dice.within(0, 2) * 8;
        Self { can, odd, trouble, join: dice.up_to(Duration::from_millis(100)) }
    }

    /// A worker's version; 0 if it has none.
    pub(super) fn version(self, dice: &mut Dice) -> u32 {
        u32::from(dice.chance(self.can)) * if dice.chance(self.odd) { 2 } else { 1 }
    }
}

impl World {
    fn goes_wrong(&mut self) -> bool {
        self.deadline.is_none() && self.dice.chance(self.mood.trouble)
    }

    fn tell_process(&mut self, process: Process, id: u64, news: News, longest: Duration) {
        let at = self.now + self.dice.up_to(longest);
        let (worker, life) = process;
        self.at(at, Own::News { worker, life, id, news });
    }

    pub(super) fn make_id(&mut self, worker: usize, group: GroupId) {
        let process = (worker, self.workers[worker].life);
        self.fabric.made += 1;
        let id = self.fabric.made;
        if self.goes_wrong() {
            self.tell_process(process, id, News::Failed, self.mood.join);
        } else {
            self.tell_process(process, id, News::Made(group), self.mood.join / 4);
        }
    }

    pub(super) fn join_clique(&mut self, worker: usize, id: u64, world: usize) {
        let clique = self.fabric.cliques.entry(id).or_default();
        clique.joined.insert((worker, self.workers[worker].life));
        let joined: Vec<Process> = clique.joined.iter().copied().collect();
        if joined.len() < world || clique.broken || self.goes_wrong() {
            // All wait.
            return;
        }
        for process in joined {
            let news = if self.goes_wrong() { News::Failed } else { News::Joined };
            self.tell_process(process, id, news, self.mood.join);
        }
    }

    pub(super) fn give(&mut self, worker: usize, id: u64, gift: Gift) {
        let process = (worker, self.workers[worker].life);
        let clique = self.fabric.cliques.entry(id).or_default();
        let world = clique.joined.len();
        let gifts = clique.gifts.entry(gift.round).or_default();
        gifts.insert(process, gift);
        let gifts = gifts.clone();
        if clique.broken {
            if self.dice.chance(50) {
                self.tell_process(process, id, News::Failed, self.settings.budget);
            }
            return;
        }
        if gifts.len() < world || self.goes_wrong() {
            return;
        }
        // They compare what they sum before they use it.
        let agree = gifts.values().all(|other| other.state == gift.state);
        let total = gifts.values().fold(0u128, |sum, gift| sum.wrapping_add(gift.partial));
        let mut holders = 0;
        for process in gifts.keys() {
            let fails = !agree || self.goes_wrong();
            let garbled = self.goes_wrong() && self.dice.chance(30);
            let news = if fails {
                News::Failed
            } else {
                News::Summed(gift.round, total ^ u128::from(garbled))
            };
            holders += usize::from(!fails);
            self.tell_process(*process, id, news, Duration::from_millis(10));
        }
        if holders > 0 && holders < world {
            self.tally.saw("some of a group hold the sum");
        }
    }

    /// A process has left, or died: some of the others are told by their network.
    pub(super) fn break_clique(&mut self, worker: usize, id: u64) {
        let left = (worker, self.workers[worker].life);
        let clique = self.fabric.cliques.entry(id).or_default();
        clique.joined.remove(&left);
        if std::mem::replace(&mut clique.broken, true) {
            return;
        }
        for process in clique.joined.clone() {
            if self.dice.chance(30) {
                self.tell_process(process, id, News::Failed, self.settings.budget);
            }
        }
    }
}
