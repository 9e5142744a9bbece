//! A step's sum between the GPUs of a fixed group.
//!
//! Each rank computes the share of the chunks that an assignment gives it, and one reduction brings
//! the shares together.
//!
//! Invariants
//! 1. All ranks end with the sums of one worker who computed everything, or with an error.
//! 2. When a member has left, `partial` holds this rank's own sums: the step can be finished another
//!    way, and only the lost chunks need to be computed.
//! 3. A rank that fails aborts, so that the others need not wait for their deadline. A verdict that
//!    all ranks come to leaves the communicator.

use std::sync::Arc;

use snel_core::chunks::ChunkSet;
use snel_core::collective::{Collective, CollectiveError};
use snel_core::engine::Engine;
use snel_core::partial::Partial;
use snel_core::plan::StepPlan;

use crate::device::Device;
use crate::nccl::communicator::{Communicator, Place};
use crate::nccl::error::NcclError;
use crate::nccl::packed::{Opinion, UnpackError};
use crate::nccl::reducer::{ReduceError, Reducer};

/// Which chunks of a step each rank computes, in the order of ranks. All ranks must get the same
/// from it: whoever differs is found out before its sums are used.
pub type Shares = Box<dyn FnMut(&StepPlan) -> Vec<ChunkSet> + Send>;

/// Shares as equal as they can be.
pub fn even_shares(world: u32) -> Shares {
    Box::new(move |plan| {
        let edge =
            |rank: u32| (u64::from(plan.n_chunks()) * u64::from(rank) / u64::from(world)) as u32;
        (0..world).map(|rank| ChunkSet::of(edge(rank)..edge(rank + 1))).collect()
    })
}

/// Why an assignment cannot be worked by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SharesError {
    /// There must be one a rank.
    #[error("{found} shares for {world} ranks")]
    Number {
        /// Shares.
        found: usize,
        /// Ranks.
        world: u32,
    },
    /// They must be all chunks of the step, and no others.
    #[error("the shares are not all of the step's {chunks} chunks and nothing else")]
    Others {
        /// Chunks of the step.
        chunks: u32,
    },
}

/// One rank of a group.
pub struct NcclCollective<D: Device> {
    reducer: Reducer<D>,
    shares: Shares,
    failure: Option<Arc<NcclError>>,
}

impl<D: Device> NcclCollective<D> {
    /// The collective of a communicator whose stream is that of `device`: what is copied to the
    /// device comes before what NCCL does.
    pub fn new(communicator: Communicator, device: D, shares: Shares) -> Self {
        Self { reducer: Reducer::new(communicator, device), shares, failure: None }
    }

    /// What NCCL said when a sum failed last. If it [is stuck](NcclError::is_stuck), the process
    /// must end.
    pub fn failure(&self) -> Option<&NcclError> {
        self.failure.as_deref()
    }

    /// Parts from the others, who leave too.
    ///
    /// # Errors
    /// [`NcclError`]; the communicator has ended in any case.
    pub fn leave(self) -> Result<(), NcclError> {
        self.reducer.leave()
    }

    /// This rank's share, if the shares are a partition.
    fn share_of(&self, shares: &[ChunkSet], plan: &StepPlan) -> Result<ChunkSet, CollectiveError> {
        let Place { rank, world } = self.reducer.place();
        let found = shares.len();
        let mine = shares.get(rank as usize).filter(|_| found == world as usize);
        let mine = mine.ok_or(SharesError::Number { found, world }).map_err(transport)?;
        let mut all = ChunkSet::default();
        for share in shares {
            all.merge(share).map_err(snel_core::partial::PartialError::DuplicateChunk)?;
        }
        let chunks = plan.n_chunks();
        if all != ChunkSet::of(0..chunks) {
            return Err(transport(SharesError::Others { chunks }));
        }
        Ok(mine.clone())
    }

    /// This rank's failure, or the verdict on the sum that all ranks come to.
    fn exchange(
        &mut self,
        plan: &StepPlan,
        engine: &mut dyn Engine,
        partial: &mut Partial,
    ) -> Result<Result<(), UnpackError>, CollectiveError> {
        let shares = (self.shares)(plan);
        let mine = self.share_of(&shares, plan)?;
        let opinion = Opinion::new(plan, &shares, engine.digest());
        engine.accumulate(plan, &mine, partial)?;
        match self.reducer.sum(partial, &opinion) {
            Ok(()) => Ok(Ok(())),
            Err(ReduceError::Verdict(verdict)) => Ok(Err(verdict)),
            Err(ReduceError::Device(error)) => Err(transport(error)),
            Err(ReduceError::Nccl(error)) => Err(self.failed(error)),
        }
    }

    fn failed(&mut self, error: NcclError) -> CollectiveError {
        let error = Arc::new(error);
        let told = if error.is_of_others() {
            CollectiveError::MemberLeft
        } else {
            transport(error.clone())
        };
        self.failure = Some(error);
        told
    }
}

impl<D: Device> Collective for NcclCollective<D> {
    fn sum(
        &mut self,
        plan: &StepPlan,
        engine: &mut dyn Engine,
        partial: &mut Partial,
    ) -> Result<(), CollectiveError> {
        match self.exchange(plan, engine, partial) {
            Ok(verdict) => verdict.map_err(transport),
            Err(error) => {
                if let Err(stuck) = self.reducer.abort() {
                    self.failure.get_or_insert(Arc::new(stuck));
                }
                Err(error)
            }
        }
    }
}

fn transport(error: impl std::error::Error + Send + Sync + 'static) -> CollectiveError {
    CollectiveError::Transport(Box::new(error))
}
