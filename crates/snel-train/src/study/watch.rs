//! Who looks on while a study runs, and how a long sum is shown to them.

use snel_core::chunks::ChunkSet;
use snel_core::collective::{Collective, CollectiveError};
use snel_core::engine::Engine;
use snel_core::partial::Partial;
use snel_core::plan::StepPlan;

/// Points that are summed between two looks at the stop flag.
const SLICE: u64 = 1 << 20;

/// Shows progress and may stop a study. Work is in units that are proportional to its time.
pub trait Watcher: Sync {
    /// So much work is left in all.
    fn begin(&self, work: u64);
    /// This cell is next.
    fn cell(&self, name: &str);
    /// So much work was done.
    fn did(&self, work: u64);
    /// The study is to end; what was not finished is measured the next time.
    fn stopped(&self) -> bool;
}

/// Nobody looks on.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unwatched;

impl Watcher for Unwatched {
    fn begin(&self, _work: u64) {}
    fn cell(&self, _name: &str) {}
    fn did(&self, _work: u64) {}
    fn stopped(&self) -> bool {
        false
    }
}

/// A worker alone that computes a step slice by slice. Sums are exact, so the slices do not show.
pub(crate) struct Sliced<'a> {
    pub(crate) watcher: &'a dyn Watcher,
    /// Work of a point.
    pub(crate) work: u64,
}

impl Collective for Sliced<'_> {
    fn sum(
        &mut self,
        plan: &StepPlan,
        engine: &mut dyn Engine,
        partial: &mut Partial,
    ) -> Result<(), CollectiveError> {
        let slice = (SLICE / plan.chunk_size()).max(1) as u32;
        let all = plan.n_chunks();
        for start in (0..all).step_by(slice as usize) {
            if self.watcher.stopped() {
                return Err(CollectiveError::Stopped);
            }
            let chunks = start..(start + slice).min(all);
            let points = chunks.len() as u64 * plan.chunk_size();
            engine.accumulate(plan, &ChunkSet::of(chunks), partial)?;
            self.watcher.did(points * self.work);
        }
        Ok(())
    }
}
