//! Partials of a step, summed over the ranks of a communicator by way of a device's memory.
//!
//! Invariants
//! 1. A rank ends with the sums of all ranks, or with an error; then its partial is as it was.
//! 2. A verdict that all ranks come to, such as that one of them has another state, leaves the
//!    communicator: an abort could keep it from those who have yet to read it.

use snel_core::partial::Partial;

use crate::device::{Device, DeviceError, Memory};
use crate::nccl::communicator::{Communicator, Place};
use crate::nccl::error::NcclError;
use crate::nccl::packed::{Opinion, PackedPartial, UnpackError};

/// Why partials were not summed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReduceError {
    /// NCCL failed, and the communicator has ended.
    #[error(transparent)]
    Nccl(#[from] NcclError),
    /// This rank's device failed. The others wait until the communicator is aborted.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// The ranks do not sum the same. All of them see it.
    #[error(transparent)]
    Verdict(#[from] UnpackError),
}

/// One rank's part in the sums of one step after another.
pub struct Reducer<D: Device> {
    // Before the memory that it uses, so that it ends first.
    communicator: Communicator,
    device: D,
    packed: PackedPartial,
    /// On the device.
    room: Option<D::Memory>,
    /// Words of the last reduction, which all ranks know of each other.
    agreed: Option<usize>,
}

impl<D: Device> Reducer<D> {
    /// Of a communicator whose stream is that of `device`: what is copied to the device comes before
    /// what NCCL does.
    pub fn new(communicator: Communicator, device: D) -> Self {
        Self { communicator, device, packed: PackedPartial::default(), room: None, agreed: None }
    }

    /// Rank and number of ranks.
    pub fn place(&self) -> Place {
        self.communicator.place()
    }

    /// Turns this rank's sums into those of all chunks, if all ranks are of one `opinion`.
    ///
    /// # Errors
    /// [`ReduceError`].
    pub fn sum(&mut self, partial: &mut Partial, opinion: &Opinion) -> Result<(), ReduceError> {
        let place = self.place();
        self.agree(PackedPartial::n_words(partial, place.world))?;
        self.packed.pack(partial, place, opinion);
        self.reduce()?;
        Ok(self.packed.unpack(partial, place, opinion)?)
    }

    /// Ends the communicator without the others. If it has ended already, nothing happens.
    ///
    /// # Errors
    /// [`NcclError::Stuck`].
    pub fn abort(&mut self) -> Result<(), NcclError> {
        self.communicator.abort()
    }

    /// Parts from the others, who leave too.
    ///
    /// # Errors
    /// [`NcclError`]; the communicator has ended in any case.
    pub fn leave(self) -> Result<(), NcclError> {
        self.communicator.leave()
    }

    /// The sum of `packed` over all ranks, in its place.
    fn reduce(&mut self) -> Result<(), ReduceError> {
        let words = self.packed.words().len();
        let room = match self.room.take().filter(|room| room.bytes() >= 8 * words) {
            Some(room) => room,
            None => self.device.allocate(8 * words)?,
        };
        let room = self.room.insert(room);
        self.device.upload(self.packed.bytes(), room)?;
        let address = room.address();
        // SAFETY: the memory is the device's and has room for the words; it is kept in `self`, and
        // for ever below if NCCL may still be using it. `agree` has made sure of the count.
        let done = unsafe { self.communicator.all_reduce(address, address, words) };
        if let Err(error) = done {
            if error.is_stuck() {
                std::mem::forget(self.room.take());
            }
            return Err(error.into());
        }
        Ok(self.device.download(room, self.packed.bytes_mut())?)
    }

    /// Makes sure that all ranks mean as many words: NCCL would wait for the missing ones.
    fn agree(&mut self, words: usize) -> Result<(), ReduceError> {
        if self.agreed == Some(words) {
            return Ok(());
        }
        let place = self.place();
        self.packed.greet(words as i64, place);
        self.reduce()?;
        let other = self.packed.words().iter().position(|said| *said != words as i64);
        if let Some(rank) = other {
            let (rank, mine, what) = (rank as u32, place.rank, "number of parameters");
            return Err(UnpackError::Opinion { rank, mine, what }.into());
        }
        self.agreed = Some(words);
        Ok(())
    }
}
