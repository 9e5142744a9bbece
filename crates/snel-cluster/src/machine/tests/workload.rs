//! What a worker has summed in a round, and what it has still to sum.

use std::collections::VecDeque;

use snel_core::chunks::ChunkSet;

use crate::machine::{GroupId, MemberId};

/// Chunks to sum together.
#[derive(Debug)]
struct Task {
    number: u64,
    /// The connection that asked for it: nobody else wants to hear of it.
    line: Option<MemberId>,
    chunks: ChunkSet,
    /// It is to be summed with others' there, and not sent.
    group: Option<GroupId>,
    begun: bool,
}

/// A task that is done: who asked, the chunks, their sum.
pub(super) struct Done {
    pub(super) line: Option<MemberId>,
    pub(super) group: Option<GroupId>,
    pub(super) chunks: ChunkSet,
    pub(super) partial: u128,
}

/// One round's work; each task is done after the one before.
#[derive(Debug, Default)]
pub(super) struct Workload {
    kept: Vec<(ChunkSet, u128)>,
    tasks: VecDeque<Task>,
    numbered: u64,
}

impl Workload {
    pub(super) fn add(&mut self, line: Option<MemberId>, group: Option<GroupId>, chunks: ChunkSet) {
        self.numbered += 1;
        let number = self.numbered;
        self.tasks.push_back(Task { number, line, chunks, group, begun: false });
    }

    /// Begins the first task, if that was not done yet: its number, and the chunks of it that were
    /// not summed before.
    pub(super) fn begin(&mut self) -> Option<(u64, u32)> {
        let task = self.tasks.front_mut().filter(|task| !task.begun)?;
        task.begun = true;
        let mut rest = task.chunks.clone();
        for (kept, _) in self.kept.iter().filter(|(kept, _)| kept.is_subset(&task.chunks)) {
            rest = rest.minus(kept);
        }
        Some((task.number, rest.len()))
    }

    /// The first task is done. Sets that it holds whole are not summed again.
    pub(super) fn done(&mut self, number: u64, sum: impl Fn(&ChunkSet) -> u128) -> Option<Done> {
        let task = self.tasks.pop_front_if(|task| task.number == number)?;
        let mut rest = task.chunks.clone();
        let mut partial = 0u128;
        self.kept.retain(|(kept, sum)| {
            let used = kept.is_subset(&rest);
            if used {
                rest = rest.minus(kept);
                partial = partial.wrapping_add(*sum);
            }
            !used
        });
        partial = partial.wrapping_add(sum(&rest));
        self.kept.push((task.chunks.clone(), partial));
        let Task { line, group, chunks, .. } = task;
        Some(Done { line, group, chunks, partial })
    }

    /// The connection is gone; what was begun is finished all the same.
    pub(super) fn stop_asking(&mut self) {
        self.tasks.retain(|task| task.begun);
    }

    /// The round is decided.
    pub(super) fn clear(&mut self) {
        self.kept.clear();
        self.tasks.clear();
    }

    pub(super) fn is_untouched(&self) -> bool {
        self.kept.is_empty() && self.tasks.is_empty()
    }

    /// All that is summed.
    pub(super) fn kept(&self) -> ChunkSet {
        let mut all = ChunkSet::default();
        for (chunks, _) in &self.kept {
            // Of sets that overlap, the first counts.
            let _ = all.merge(chunks);
        }
        all
    }
}
