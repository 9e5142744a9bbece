//! Counts what the seeds have seen, so that a fault that is never played is noticed.

use std::collections::BTreeMap;

use super::faults::Fault;
use super::ledger::Ledger;
use super::world::Ending;
use crate::machine::Fate;

/// How often.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) faults: BTreeMap<Fault, u64>,
    fates: BTreeMap<String, u64>,
    endings: BTreeMap<String, u64>,
    /// Rare turns.
    pub(super) seen: BTreeMap<&'static str, u64>,
    /// The largest part of the time that a run may take after the last fault, in percent.
    pub(super) longest: u64,
    pub(super) crashes: u64,
    pub(super) late: u64,
    rewinds: u64,
    adoptions: u64,
}

impl Tally {
    pub(super) fn fate(&mut self, fate: Fate) {
        *self.fates.entry(format!("{fate:?}")).or_default() += 1;
    }

    pub(super) fn saw(&mut self, what: &'static str) {
        *self.seen.entry(what).or_default() += 1;
    }

    /// How many in a thousand of so many seeds ended like this.
    pub(super) fn per_mille(&self, ending: Ending, seeds: u64) -> u64 {
        1000 * self.endings.get(&format!("{ending:?}")).copied().unwrap_or(0) / seeds
    }

    pub(super) fn seed(&mut self, ending: Ending, ledger: &Ledger) {
        *self.endings.entry(format!("{ending:?}")).or_default() += 1;
        self.rewinds += ledger.rewinds;
        self.adoptions += ledger.adoptions;
    }

    pub(super) fn add(&mut self, other: Self) {
        let sum = |mine: &mut BTreeMap<String, u64>, theirs: BTreeMap<String, u64>| {
            theirs.into_iter().for_each(|(key, count)| *mine.entry(key).or_default() += count);
        };
        sum(&mut self.fates, other.fates);
        sum(&mut self.endings, other.endings);
        for (fault, count) in other.faults {
            *self.faults.entry(fault).or_default() += count;
        }
        for (what, count) in other.seen {
            *self.seen.entry(what).or_default() += count;
        }
        self.longest = self.longest.max(other.longest);
        self.crashes += other.crashes;
        self.late += other.late;
        self.rewinds += other.rewinds;
        self.adoptions += other.adoptions;
    }
}
