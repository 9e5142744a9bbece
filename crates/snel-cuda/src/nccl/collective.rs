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
//!    all ranks come to, such as that one of them has another state, leaves the communicator: an
//!    abort could keep it from those who have yet to read it.

use std::sync::Arc;

use snel_core::chunks::ChunkSet;
use snel_core::collective::{Collective, CollectiveError};
use snel_core::engine::Engine;
use snel_core::partial::Partial;
use snel_core::plan::StepPlan;

use crate::device::{Device, DeviceError, Memory};
use crate::nccl::communicator::{Communicator, Place};
use crate::nccl::error::NcclError;
use crate::nccl::packed::{Opinion, PackedPartial, UnpackError};

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
    // Before the memory that it uses, so that it ends first.
    communicator: Communicator,
    device: D,
    shares: Shares,
    packed: PackedPartial,
    /// On the device.
    room: Option<D::Memory>,
    /// Words of the last reduction, which all ranks know of each other.
    agreed: Option<usize>,
    failure: Option<Arc<NcclError>>,
}

impl<D: Device> NcclCollective<D> {
    /// The collective of a communicator whose stream is that of `device`: what is copied to the
    /// device comes before what NCCL does.
    pub fn new(communicator: Communicator, device: D, shares: Shares) -> Self {
        Self {
            communicator,
            device,
            shares,
            packed: PackedPartial::default(),
            room: None,
            agreed: None,
            failure: None,
        }
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
        self.communicator.leave()
    }

    /// This rank's share, if the shares are a partition.
    fn share_of(&self, shares: &[ChunkSet], plan: &StepPlan) -> Result<ChunkSet, CollectiveError> {
        let Place { rank, world } = self.communicator.place();
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
        let place = self.communicator.place();
        let shares = (self.shares)(plan);
        let mine = self.share_of(&shares, plan)?;
        let opinion = Opinion::new(plan, &shares, engine.digest());
        engine.accumulate(plan, &mine, partial)?;
        if let Err(verdict) = self.agree(PackedPartial::n_words(partial, place.world))? {
            return Ok(Err(verdict));
        }
        self.packed.pack(partial, place, &opinion);
        self.reduce()?;
        Ok(self.packed.unpack(partial, place, &opinion))
    }

    /// The sum of `packed` over all ranks, in its place.
    fn reduce(&mut self) -> Result<(), CollectiveError> {
        let words = self.packed.words().len();
        let room = match self.room.take().filter(|room| room.bytes() >= 8 * words) {
            Some(room) => room,
            None => self.device.allocate(8 * words).map_err(device_failed)?,
        };
        let room = self.room.insert(room);
        self.device.upload(self.packed.bytes(), room).map_err(device_failed)?;
        let address = room.address();
        // SAFETY: the memory is the device's and has room for the words; it is kept in `self`, and
        // for ever below if NCCL may still be using it. `agree` has made sure of the count.
        let done = unsafe { self.communicator.all_reduce(address, address, words) };
        if let Err(error) = done {
            if error.is_stuck() {
                std::mem::forget(self.room.take());
            }
            return Err(self.failed(error));
        }
        self.device.download(room, self.packed.bytes_mut()).map_err(device_failed)
    }

    /// Makes sure that all ranks mean as many words: NCCL would wait for the missing ones.
    fn agree(&mut self, words: usize) -> Result<Result<(), UnpackError>, CollectiveError> {
        if self.agreed == Some(words) {
            return Ok(Ok(()));
        }
        let Place { rank, world } = self.communicator.place();
        self.packed.greet(words as i64, Place { rank, world });
        self.reduce()?;
        let other = self.packed.words().iter().position(|said| *said != words as i64);
        if let Some(rank) = other {
            let mine = self.communicator.place().rank;
            let what = "number of parameters";
            return Ok(Err(UnpackError::Opinion { rank: rank as u32, mine, what }));
        }
        self.agreed = Some(words);
        Ok(Ok(()))
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
                if let Err(stuck) = self.communicator.abort() {
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

fn device_failed(error: DeviceError) -> CollectiveError {
    transport(error)
}
