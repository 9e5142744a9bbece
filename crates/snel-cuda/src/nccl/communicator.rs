//! The caller's end of a communicator.
//!
//! The calls of one communicator come from a thread of its own; this end asks, and waits for the
//! answers for as long as they may take. So even a call that NCCL promises to return from at once,
//! and does not, ends in an error here.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use crate::nccl::abi::UniqueId;
use crate::nccl::error::NcclError;
use crate::nccl::library::Library;
use crate::nccl::owner::{self, LastCall, Owner, Report, Request};
use crate::nccl::stream::Stream;

/// A rank and how many there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// From 0.
    pub rank: u32,
    /// Ranks in all.
    pub world: u32,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rank {} of {}", self.rank, self.world)
    }
}

/// How long operations may take before they are given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// Until all ranks have joined: seconds, for NCCL looks at all GPUs and networks.
    pub join: Duration,
    /// Until a sum is there: also those who begin last must have begun.
    pub reduce: Duration,
    /// Until all have said that they leave.
    pub leave: Duration,
    /// Until an abort returns, and by how much any call may exceed the above. When it is over, the
    /// process has to end.
    pub abort: Duration,
}

/// Ends waits from any thread: raised when somebody knows that a rank is lost.
#[derive(Debug, Clone, Default)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// The operation that is under way fails when its thread looks up from its wait, and so does any
    /// later one. Twice is as good as once.
    pub fn raise(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_raised(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

enum Condition {
    /// The owner waits for requests.
    Well(Sender<Request>),
    Ended,
    /// The owner never answered, and is left alone.
    Stuck,
}

/// A rank's membership of a group of GPUs.
///
/// Dropped, it is aborted; nothing is known of the other ranks then. [`Self::leave`] is for the
/// end of a run.
pub struct Communicator {
    place: Place,
    patience: Patience,
    condition: Condition,
    reports: Receiver<Report>,
    last_call: LastCall,
}

impl fmt::Debug for Communicator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "communicator of {}", self.place)
    }
}

impl Communicator {
    /// Joins those who have the same `id`; returns when all are there.
    ///
    /// # Errors
    /// [`NcclError`]; for example [`NcclError::Deadline`] if not all come.
    pub fn join(
        library: Arc<Library>,
        id: UniqueId,
        place: Place,
        stream: Box<dyn Stream>,
        patience: Patience,
        interrupt: Interrupt,
    ) -> Result<Self, NcclError> {
        if place.rank >= place.world || i32::try_from(place.world).is_err() {
            return Err(NcclError::NoSuchPlace { place });
        }
        if std::env::var_os("NCCL_COMM_BLOCKING").is_some_and(|value| value == "1") {
            // It goes over what the config says.
            return Err(NcclError::Blocking);
        }
        library.claim(id, place)?;
        let (requests, inbox) = channel();
        let (outbox, reports) = channel();
        let last_call = LastCall::default();
        let owner = Owner {
            library,
            stream,
            place,
            patience,
            interrupt,
            last_call: last_call.clone(),
            reports: outbox,
        };
        thread::Builder::new()
            .name(format!("snel-nccl-{}", place.rank))
            .spawn(move || owner::live(owner, id, &inbox))
            .map_err(|source| NcclError::Thread { place, source })?;
        let condition = Condition::Well(requests);
        let mut communicator = Self { place, patience, condition, reports, last_call };
        communicator.answer(patience.join)?;
        Ok(communicator)
    }

    /// Rank and number of ranks.
    pub fn place(&self) -> Place {
        self.place
    }

    /// Sums `count` integers of every rank, element by element; all ranks get the sum. Waits until
    /// the stream is idle.
    ///
    /// # Safety
    /// `send` and `receive` are addresses of `count` `i64` each on the GPU of the stream, the same
    /// or apart. The memory stays as it is until this returns; if it returns [`NcclError::Stuck`],
    /// until the process ends. All ranks give the same `count`.
    ///
    /// # Errors
    /// [`NcclError`]. The communicator has ended then, and what is at `receive` means nothing.
    pub unsafe fn all_reduce(
        &mut self,
        send: u64,
        receive: u64,
        count: usize,
    ) -> Result<(), NcclError> {
        self.ask(Request::AllReduce { send, receive, count }, self.patience.reduce)
    }

    /// Parts from the others, who leave too.
    ///
    /// # Errors
    /// [`NcclError`], for example if not all leave. The communicator has ended in any case.
    pub fn leave(mut self) -> Result<(), NcclError> {
        self.ask(Request::Leave, self.patience.leave)?;
        self.abort()
    }

    /// Ends the communicator without the others. If it has ended already, nothing happens.
    ///
    /// # Errors
    /// [`NcclError::Stuck`].
    pub fn abort(&mut self) -> Result<(), NcclError> {
        let well = matches!(self.condition, Condition::Well(_));
        let ended = matches!(self.condition, Condition::Ended) || (well && self.await_end());
        if ended { Ok(()) } else { Err(self.stuck(None)) }
    }

    fn ask(&mut self, request: Request, patience: Duration) -> Result<(), NcclError> {
        let place = self.place;
        match &self.condition {
            Condition::Ended => Err(NcclError::Ended { place }),
            Condition::Stuck => Err(self.stuck(None)),
            // If the owner is gone, so is its end of the reports.
            Condition::Well(requests) => {
                let _ = requests.send(request);
                self.answer(patience)
            }
        }
    }

    /// The owner's answer to what it was asked.
    fn answer(&mut self, patience: Duration) -> Result<(), NcclError> {
        // The owner looks at the time itself; the rest is for a call that does not return.
        match self.reports.recv_timeout(patience + self.patience.abort) {
            Ok(Report::Done) => Ok(()),
            Ok(Report::Failed(error)) if self.await_end() => Err(error),
            Ok(Report::Failed(error)) => Err(self.stuck(Some(error))),
            Ok(Report::Ended) => {
                self.condition = Condition::Ended;
                Err(NcclError::Ended { place: self.place })
            }
            Err(RecvTimeoutError::Disconnected) => {
                self.condition = Condition::Ended;
                Err(NcclError::Panicked { place: self.place })
            }
            Err(RecvTimeoutError::Timeout) => {
                self.condition = Condition::Stuck;
                Err(self.stuck(None))
            }
        }
    }

    /// Asks for nothing more and waits until the owner is done; false if it does not come to that.
    fn await_end(&mut self) -> bool {
        // Without its sender the owner's loop ends. Whether it gets there is to be seen.
        self.condition = Condition::Stuck;
        let ended = loop {
            match self.reports.recv_timeout(self.patience.abort) {
                Ok(Report::Ended) | Err(RecvTimeoutError::Disconnected) => break true,
                Ok(Report::Done | Report::Failed(_)) => {}
                Err(RecvTimeoutError::Timeout) => break false,
            }
        };
        if ended {
            self.condition = Condition::Ended;
        }
        ended
    }

    fn stuck(&self, cause: Option<NcclError>) -> NcclError {
        NcclError::Stuck {
            place: self.place,
            call: self.last_call.get(),
            patience: self.patience.abort,
            cause: cause.map(Box::new),
        }
    }
}

impl Drop for Communicator {
    /// Aborts. If that does not return there is nobody to tell; the next communicator on this GPU
    /// will find out.
    fn drop(&mut self) {
        let _ = self.abort();
    }
}
