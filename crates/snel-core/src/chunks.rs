//! Sets of chunk numbers.

use std::ops::Range;

/// A set of chunks as sorted, disjoint, non-adjacent ranges: small however many chunks there are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ChunkSet {
    ranges: Vec<Range<u32>>,
}

impl ChunkSet {
    /// The chunks of one range.
    pub fn of(range: Range<u32>) -> Self {
        Self { ranges: if range.is_empty() { vec![] } else { vec![range] } }
    }

    /// Number of chunks.
    pub fn len(&self) -> u32 {
        self.ranges.iter().map(ExactSizeIterator::len).sum::<usize>() as u32
    }

    /// True if there is no chunk.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// True if `chunk` is in the set.
    pub fn contains(&self, chunk: u32) -> bool {
        let after = self.ranges.partition_point(|r| r.start <= chunk);
        after > 0 && self.ranges[after - 1].contains(&chunk)
    }

    /// All chunks, ascending.
    pub fn iter(&self) -> impl Iterator<Item = u32> {
        self.ranges.iter().cloned().flatten()
    }

    /// Adds `chunk`; false if it was there already.
    pub fn insert(&mut self, chunk: u32) -> bool {
        if self.contains(chunk) {
            return false;
        }
        let at = self.ranges.partition_point(|r| r.start < chunk);
        self.ranges.insert(at, chunk..chunk + 1);
        self.join();
        true
    }

    /// Adds all of `other`.
    ///
    /// # Errors
    /// A chunk that both have; the set is then as it was.
    pub fn merge(&mut self, other: &Self) -> Result<(), u32> {
        for theirs in &other.ranges {
            let overlap = self.ranges.iter().find(|r| r.start < theirs.end && theirs.start < r.end);
            if let Some(mine) = overlap {
                return Err(mine.start.max(theirs.start));
            }
        }
        self.ranges.extend_from_slice(&other.ranges);
        self.ranges.sort_by_key(|r| r.start);
        self.join();
        Ok(())
    }

    /// Joins ranges that touch.
    fn join(&mut self) {
        self.ranges.dedup_by(|next, last| {
            let touch = last.end == next.start;
            if touch {
                last.end = next.end;
            }
            touch
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn behaves_as_a_set(first in prop::collection::vec(0u32..50, 0..60), second in prop::collection::vec(0u32..50, 0..60)) {
            let build = |values: &[u32]| {
                let (mut set, mut model) = (ChunkSet::default(), BTreeSet::new());
                for &v in values {
                    assert_eq!(set.insert(v), model.insert(v));
                }
                (set, model)
            };
            let (mut a, model_a) = build(&first);
            let (b, model_b) = build(&second);
            prop_assert_eq!(a.iter().collect::<Vec<_>>(), model_a.iter().copied().collect::<Vec<_>>());
            prop_assert_eq!(a.len() as usize, model_a.len());
            let before = a.clone();
            match a.merge(&b) {
                Ok(()) => {
                    prop_assert!(model_a.is_disjoint(&model_b));
                    prop_assert_eq!(a.iter().collect::<BTreeSet<_>>(), &model_a | &model_b);
                }
                Err(chunk) => {
                    prop_assert!(model_a.contains(&chunk) && model_b.contains(&chunk));
                    prop_assert_eq!(a, before);
                }
            }
        }
    }
}
