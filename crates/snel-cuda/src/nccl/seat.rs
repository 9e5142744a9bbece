//! What a worker needs to take part in one group after another, whatever its device is.

use std::sync::Arc;

use snel_core::partial::Partial;

use crate::device::{Device, DeviceError};
use crate::nccl::abi::UniqueId;
use crate::nccl::communicator::{Communicator, Interrupt, Patience, Place};
use crate::nccl::error::NcclError;
use crate::nccl::library::{Library, Version};
use crate::nccl::packed::Opinion;
use crate::nccl::reducer::{ReduceError, Reducer};
use crate::nccl::stream::Stream;

/// One rank of one group.
pub trait Summer: Send {
    /// Turns this rank's sums into those of all chunks, if all ranks are of one `opinion`.
    ///
    /// # Errors
    /// [`ReduceError`]; the partial is then as it was.
    fn sum(&mut self, partial: &mut Partial, opinion: &Opinion) -> Result<(), ReduceError>;

    /// Leaves without a word. If the group has ended already, nothing happens.
    ///
    /// # Errors
    /// [`NcclError::Stuck`]: the process must end.
    fn abort(&mut self) -> Result<(), NcclError>;
}

impl<D: Device> Summer for Reducer<D> {
    fn sum(&mut self, partial: &mut Partial, opinion: &Opinion) -> Result<(), ReduceError> {
        Reducer::sum(self, partial, opinion)
    }

    fn abort(&mut self) -> Result<(), NcclError> {
        Reducer::abort(self)
    }
}

/// A place from which groups can be joined: a library and a device.
pub trait Ground: Send + Sync {
    /// Version of the library, as NCCL counts. All ranks of a group must have the same.
    fn version(&self) -> Version;

    /// An id for a group that this process will take part in.
    ///
    /// # Errors
    /// [`NcclError`].
    fn unique_id(&self) -> Result<UniqueId, NcclError>;

    /// Joins those who have the same `id`; returns when all are there, or `interrupt` is raised.
    ///
    /// # Errors
    /// [`ReduceError`].
    fn join(
        &self,
        id: UniqueId,
        place: Place,
        interrupt: Interrupt,
    ) -> Result<Box<dyn Summer>, ReduceError>;
}

/// A device and a stream of it.
type Opened<D> = Result<(D, Box<dyn Stream>), DeviceError>;

/// The ground that consists of a library and a way to open the device once more.
pub struct Seat<D> {
    library: Arc<Library>,
    patience: Patience,
    open: Box<dyn Fn() -> Opened<D> + Send + Sync>,
}

impl<D: Device + 'static> Seat<D> {
    /// `open` gives a handle of the device, with a stream on which its copies are made.
    pub fn new(
        library: Arc<Library>,
        patience: Patience,
        open: impl Fn() -> Opened<D> + Send + Sync + 'static,
    ) -> Self {
        Self { library, patience, open: Box::new(open) }
    }
}

impl<D: Device + 'static> Ground for Seat<D> {
    fn version(&self) -> Version {
        self.library.version()
    }

    fn unique_id(&self) -> Result<UniqueId, NcclError> {
        self.library.unique_id(Place { rank: 0, world: 1 })
    }

    fn join(
        &self,
        id: UniqueId,
        place: Place,
        interrupt: Interrupt,
    ) -> Result<Box<dyn Summer>, ReduceError> {
        let (device, stream) = (self.open)()?;
        let library = self.library.clone();
        let communicator =
            Communicator::join(library, id, place, stream, self.patience, interrupt)?;
        Ok(Box::new(Reducer::new(communicator, device)))
    }
}
