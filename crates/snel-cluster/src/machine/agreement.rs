//! Whose training state is that of the majority.

use std::collections::{BTreeMap, BTreeSet};

use crate::machine::Digest;

/// What workers think of the state before a round.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Agreement {
    /// All have the same, or nobody was asked.
    All,
    /// Most have this one.
    Most(Digest),
    /// No state has more workers than each other one.
    Tie,
}

/// Counts workers, by name: neither one that contributed twice nor one that came back on another
/// connection has two votes.
pub(super) fn agreement<'a>(opinions: impl IntoIterator<Item = (&'a str, Digest)>) -> Agreement {
    let mut camps: BTreeMap<Digest, BTreeSet<&str>> = BTreeMap::new();
    for (name, digest) in opinions {
        camps.entry(digest).or_default().insert(name);
    }
    let most = camps.values().map(BTreeSet::len).max().unwrap_or(0);
    let mut largest = camps.iter().filter(|(_, camp)| camp.len() == most);
    match (camps.len(), largest.next(), largest.next()) {
        (0 | 1, ..) => Agreement::All,
        (_, Some((digest, _)), None) => Agreement::Most(*digest),
        _ => Agreement::Tie,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_workers_and_not_contributions() {
        assert_eq!(agreement([]), Agreement::All);
        assert_eq!(agreement([("a", 1), ("b", 1)]), Agreement::All);
        assert_eq!(agreement([("a", 1), ("b", 2), ("c", 1)]), Agreement::Most(1));
        assert_eq!(agreement([("a", 1), ("b", 2), ("a", 1)]), Agreement::Tie);
        assert_eq!(agreement([("a", 1), ("b", 2), ("a", 2)]), Agreement::Most(2));
        assert_eq!(agreement([("a", 1), ("b", 2), ("c", 3)]), Agreement::Tie);
    }
}
