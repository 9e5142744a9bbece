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

    /// The chunks of `ranges`, which must be ascending and share nothing; they may touch. None if
    /// they are not, or if one is empty.
    pub fn from_ranges(ranges: impl IntoIterator<Item = Range<u32>>) -> Option<Self> {
        let mut set = Self::default();
        let mut end = 0;
        for range in ranges {
            if range.is_empty() || range.start < end {
                return None;
            }
            end = range.end;
            set.push(range);
        }
        Some(set)
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
        self.ranges().flatten()
    }

    /// The largest ranges of chunks, ascending. None is empty, and no two touch.
    pub fn ranges(&self) -> impl ExactSizeIterator<Item = Range<u32>> {
        self.ranges.iter().cloned()
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

    /// True if all chunks are in `of`.
    pub fn is_subset(&self, of: &Self) -> bool {
        self.ranges.iter().all(|mine| {
            let around = |theirs: &Range<u32>| theirs.start <= mine.start && mine.end <= theirs.end;
            of.sharing(mine).first().is_some_and(around)
        })
    }

    /// True if no chunk is in both.
    pub fn is_disjoint(&self, other: &Self) -> bool {
        self.first_shared(other).is_none()
    }

    /// The chunks that are not in `other`.
    #[must_use]
    pub fn minus(&self, other: &Self) -> Self {
        let mut left = Self::default();
        for mine in &self.ranges {
            let mut start = mine.start;
            for theirs in other.sharing(mine) {
                left.push(start..theirs.start);
                start = theirs.end;
            }
            left.push(start..mine.end);
        }
        left
    }

    /// Removes the first `count` chunks, or all if there are fewer, and returns them.
    #[must_use = "they are no longer in the set"]
    pub fn take(&mut self, mut count: u32) -> Self {
        let mut taken = Self::default();
        for range in &mut self.ranges {
            let cut = range.start + count.min(range.len() as u32);
            taken.push(range.start..cut);
            count -= cut - range.start;
            range.start = cut;
        }
        self.ranges.retain(|range| range.start < range.end);
        taken
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
        if let Some(shared) = self.first_shared(other) {
            return Err(shared);
        }
        self.ranges.extend(other.ranges());
        self.ranges.sort_by_key(|r| r.start);
        for range in std::mem::take(&mut self.ranges) {
            self.push(range);
        }
        Ok(())
    }

    /// The first chunk that is in both.
    fn first_shared(&self, other: &Self) -> Option<u32> {
        let shared = |theirs| Some(self.sharing(theirs).first()?.start.max(theirs.start));
        other.ranges.iter().find_map(shared)
    }

    /// The ranges that share a chunk with `range`, which must not be empty.
    fn sharing(&self, range: &Range<u32>) -> &[Range<u32>] {
        let first = self.ranges.partition_point(|r| r.end <= range.start);
        let end = self.ranges.partition_point(|r| r.start < range.end);
        &self.ranges[first..end]
    }

    /// Adds a range that begins where the last one ends, or later. Ignores an empty one.
    fn push(&mut self, range: Range<u32>) {
        match self.ranges.last_mut() {
            _ if range.is_empty() => {}
            Some(last) if last.end == range.start => last.end = range.end,
            _ => self.ranges.push(range),
        }
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
            count in 0u32..60,
        ) {
            let (mut a, b) = (of(&first), of(&second));
            prop_assert_eq!(a.iter().collect::<BTreeSet<_>>(), first.clone());
            prop_assert_eq!(a.len() as usize, first.len());
            for (i, &chunk) in first.iter().enumerate() {
                prop_assert_eq!(a.get(i as u32), Some(chunk));
            }
            prop_assert_eq!(a.get(first.len() as u32), None);
            prop_assert!((0..50).all(|chunk| a.contains(chunk) == first.contains(&chunk)));
            prop_assert_eq!(a.is_subset(&b), first.is_subset(&second));
            prop_assert_eq!(a.is_disjoint(&b), first.is_disjoint(&second));
            prop_assert_eq!(a.minus(&b), of(&(&first - &second)));
            prop_assert!(a.minus(&b).is_subset(&a) && a.minus(&b).is_disjoint(&b));
            let mut rest = a.clone();
            let taken = rest.take(count);
            prop_assert_eq!(taken, of(&first.iter().copied().take(count as usize).collect()));
            prop_assert_eq!(rest, of(&first.iter().copied().skip(count as usize).collect()));
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

        /// Ranges are taken if and only if each holds something and begins after the one before.
        #[test]
        fn ranges_are_checked(ends in prop::collection::vec((0u32..20, 0u32..20), 0..4)) {
            let ranges = ends.iter().map(|&(start, end)| start..end);
            let sound = ends.iter().all(|(start, end)| start < end)
                && ends.windows(2).all(|pair| pair[0].1 <= pair[1].0);
            let set = ChunkSet::from_ranges(ranges.clone());
            prop_assert_eq!(set.is_some(), sound);
            if let Some(set) = set {
                prop_assert_eq!(set.iter().collect::<Vec<_>>(), ranges.flatten().collect::<Vec<_>>());
                let apart: Vec<Range<u32>> = set.ranges().collect();
                prop_assert!(apart.windows(2).all(|pair| pair[0].end < pair[1].start));
                prop_assert_eq!(ChunkSet::from_ranges(apart), Some(set));
            }
        }
    }
}
