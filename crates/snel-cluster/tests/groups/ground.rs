//! Places from which groups are joined, watched, and left without a word.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use snel_core::partial::Partial;
use snel_cuda::nccl::{
    Ground, Interrupt, NcclError, Opinion, Patience, Place, ReduceError, Seat, Stream, Summer,
    UniqueId, Version,
};

use crate::host::{Fake, HostDevice, PATIENCE};

/// When a worker dies: as it is to give its sums for the time of this number, or as it holds the sum.
#[derive(Clone, Copy)]
pub(crate) enum Death {
    Never,
    Before(u64),
    After(u64),
}

/// A ground of one worker.
pub(crate) struct Watched {
    seat: Seat<HostDevice>,
    death: Death,
    sums: Arc<AtomicU64>,
    joins: AtomicU64,
}

impl Watched {
    pub(crate) fn new(fake: &Arc<Fake>, death: Death) -> Arc<Self> {
        Self::patient(fake, death, PATIENCE.abort)
    }

    /// One that waits so long for an abort.
    pub(crate) fn patient(fake: &Arc<Fake>, death: Death, abort: Duration) -> Arc<Self> {
        let streams = fake.clone();
        let patience = Patience { abort, ..PATIENCE };
        let seat = Seat::new(fake.library.clone(), patience, move || {
            let stream: Box<dyn Stream> = Box::new(streams.stream());
            Ok((HostDevice { is_well: true }, stream))
        });
        Arc::new(Self { seat, death, sums: Arc::default(), joins: AtomicU64::new(0) })
    }

    /// Sums that it got.
    pub(crate) fn sums(&self) -> u64 {
        self.sums.load(Ordering::Relaxed)
    }

    /// Groups that it was in.
    pub(crate) fn joins(&self) -> u64 {
        self.joins.load(Ordering::Relaxed)
    }
}

impl Ground for Watched {
    fn version(&self) -> Version {
        self.seat.version()
    }

    fn unique_id(&self) -> Result<UniqueId, NcclError> {
        self.seat.unique_id()
    }

    fn join(
        &self,
        id: UniqueId,
        place: Place,
        interrupt: Interrupt,
    ) -> Result<Box<dyn Summer>, ReduceError> {
        let summer = self.seat.join(id, place, interrupt)?;
        self.joins.fetch_add(1, Ordering::Relaxed);
        Ok(Box::new(Mortal { summer, death: self.death, sums: self.sums.clone() }))
    }
}

struct Mortal {
    summer: Box<dyn Summer>,
    death: Death,
    sums: Arc<AtomicU64>,
}

impl Summer for Mortal {
    fn sum(&mut self, partial: &mut Partial, opinion: &Opinion) -> Result<(), ReduceError> {
        let before = self.sums.load(Ordering::Relaxed);
        // A thread that panics takes its connection with it, as a process that dies.
        assert!(!matches!(self.death, Death::Before(n) if n == before), "it dies");
        self.summer.sum(partial, opinion)?;
        self.sums.fetch_add(1, Ordering::Relaxed);
        assert!(!matches!(self.death, Death::After(n) if n == before), "it dies");
        Ok(())
    }

    fn abort(&mut self) -> Result<(), NcclError> {
        self.summer.abort()
    }
}
