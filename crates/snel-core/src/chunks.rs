//! Sets of chunk numbers.

use std::ops::Range;

use smallvec::{SmallVec, smallvec};

/// A set of chunks as sorted, disjoint, non-adjacent ranges: small however many chunks there are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ChunkSet {
    /// One or two are the common case, and need no memory of their own.
    ranges: SmallVec<[Range<u32>; 2]>,
}

impl ChunkSet {
    /// The chunks of one range.
    pub fn of(range: Range<u32>) -> Self {
        Self { ranges: if range.is_empty() { smallvec![] } else { smallvec![range] } }
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

    /// The chunk at `position` in ascending order.
    pub fn get(&self, mut position: u32) -> Option<u32> {
        for range in &self.ranges {
            if position < range.len() as u32 {
                return Some(range.start + position);
            }
            position -= range.len() as u32;
        }
        None
    }

    /// Removes all chunks.
    pub fn clear(&mut self) {
        self.ranges.clear();
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
        self.ranges.extend(other.ranges.iter().cloned());
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

    fn of(values: &BTreeSet<u32>) -> ChunkSet {
        let mut set = ChunkSet::default();
        values.iter().for_each(|&v| set.merge(&ChunkSet::of(v..v + 1)).unwrap());
        set
    }

    proptest! {
        #[test]
        fn behaves_as_a_set(
            first in prop::collection::btree_set(0u32..50, 0..60),
            second in prop::collection::btree_set(0u32..50, 0..60),
        ) {
            let (mut a, b) = (of(&first), of(&second));
            prop_assert_eq!(a.iter().collect::<BTreeSet<_>>(), first.clone());
            prop_assert_eq!(a.len() as usize, first.len());
            for (i, &chunk) in first.iter().enumerate() {
                prop_assert_eq!(a.get(i as u32), Some(chunk));
            }
            prop_assert_eq!(a.get(first.len() as u32), None);
            prop_assert!((0..50).all(|chunk| a.contains(chunk) == first.contains(&chunk)));
            let before = a.clone();
            match a.merge(&b) {
                Ok(()) => {
                    prop_assert!(first.is_disjoint(&second));
                    prop_assert_eq!(a.iter().collect::<BTreeSet<_>>(), &first | &second);
                }
                Err(chunk) => {
                    prop_assert!(first.contains(&chunk) && second.contains(&chunk));
                    prop_assert_eq!(a, before);
                }
            }
        }
    }
}
