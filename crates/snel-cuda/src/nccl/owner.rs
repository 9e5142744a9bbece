//! One communicator's life, on the one thread that calls into it.
//!
//! joining → summing, again and again → leaving, or aborting from anywhere.
//!
//! Invariants
//! 1. The communicator is null before it is made and after it has ended; nothing but
//!    [`Life::leave`] and the end of [`Life`], which aborts, ends it.
//! 2. An operation that fails is reported before the abort and the end after it, so that who waits
//!    knows that the abort has begun, and when it does not return.

use std::ffi::c_int;
use std::sync::mpsc::{Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::nccl::abi::{self, Config, RawCommunicator, UniqueId};
use crate::nccl::communicator::{Interrupt, Patience, Place};
use crate::nccl::error::{NcclError, ResultCode};
use crate::nccl::library::Library;
use crate::nccl::stream::Stream;

/// What the owner is asked.
pub(super) enum Request {
    /// To sum over all ranks. Both addresses are those of `count` integers that outlive the answer.
    AllReduce { send: u64, receive: u64, count: usize },
    /// To part in peace.
    Leave,
}

/// What the owner says.
pub(super) enum Report {
    /// What was asked is done; first of all, the joining.
    Done,
    /// It failed, and the communicator is being aborted.
    Failed(NcclError),
    /// There is no communicator any more.
    Ended,
}

/// The function that the owner is in or was in last, for those who wait for it.
#[derive(Clone, Default)]
pub(super) struct LastCall(Arc<Mutex<&'static str>>);

impl LastCall {
    fn set(&self, call: &'static str) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = call;
    }

    pub(super) fn get(&self) -> &'static str {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All that the thread has.
pub(super) struct Owner {
    pub(super) library: Arc<Library>,
    pub(super) stream: Box<dyn Stream>,
    pub(super) place: Place,
    pub(super) patience: Patience,
    pub(super) interrupt: Interrupt,
    pub(super) last_call: LastCall,
    pub(super) reports: Sender<Report>,
}

/// Joins, does what it is asked, and ends the communicator in any case. Nobody may be left to hear
/// the reports; that is no failure.
pub(super) fn live(owner: Owner, id: UniqueId, requests: &Receiver<Request>) {
    let reports = owner.reports.clone();
    let mut life = Life { owner, communicator: std::ptr::null_mut() };
    if let Err(error) = life.work(id, requests) {
        let _ = reports.send(Report::Failed(error));
    }
    drop(life);
    let _ = reports.send(Report::Ended);
}

struct Life {
    owner: Owner,
    communicator: RawCommunicator,
}

/// What is waited for, and until when.
#[derive(Clone, Copy)]
struct Wait {
    call: &'static str,
    what: &'static str,
    patience: Duration,
    since: Instant,
}

impl Wait {
    fn new(call: &'static str, what: &'static str, patience: Duration) -> Self {
        Self { call, what, patience, since: Instant::now() }
    }
}

impl Life {
    fn work(&mut self, id: UniqueId, requests: &Receiver<Request>) -> Result<(), NcclError> {
        self.owner.stream.enter().map_err(|source| self.stream_failed(source))?;
        self.join(id)?;
        self.report_done();
        // Ends when the caller has dropped its end.
        for request in requests {
            match request {
                Request::AllReduce { send, receive, count } => {
                    self.all_reduce(send, receive, count)?;
                }
                Request::Leave => {
                    self.leave()?;
                    self.report_done();
                    return Ok(());
                }
            }
            self.report_done();
        }
        Ok(())
    }

    fn report_done(&self) {
        let _ = self.owner.reports.send(Report::Done);
    }

    fn join(&mut self, id: UniqueId) -> Result<(), NcclError> {
        let Place { rank, world } = self.owner.place;
        let wait = Wait::new("ncclCommInitRankConfig", "joining", self.owner.patience.join);
        let mut config = Config::not_blocking();
        self.owner.last_call.set(wait.call);
        // SAFETY: a place for the communicator, and a config that is laid out as NCCL's. NCCL copies
        // both the id and the config before it returns.
        let code = unsafe {
            (self.owner.library.functions.init_rank_config)(
                &raw mut self.communicator,
                world as c_int,
                id,
                rank as c_int,
                &raw mut config,
            )
        };
        self.begun(wait.call, code)?;
        self.wait(wait, Self::has_settled)
    }

    fn all_reduce(&mut self, send: u64, receive: u64, count: usize) -> Result<(), NcclError> {
        let wait = Wait::new("ncclAllReduce", "a sum", self.owner.patience.reduce);
        self.owner.last_call.set(wait.call);
        // SAFETY: the communicator is one that has been made and not ended; the memory is the
        // caller's of `Communicator::all_reduce`, who keeps it until this has been answered.
        let code = unsafe {
            (self.owner.library.functions.all_reduce)(
                send as *const _,
                receive as *mut _,
                count,
                abi::INT64,
                abi::SUM,
                self.communicator,
                self.owner.stream.handle() as *mut _,
            )
        };
        self.begun(wait.call, code)?;
        self.wait(wait, |life, call| {
            // Until it has settled, the sum may not be on the stream yet, which then seems idle.
            let settled = life.has_settled(call)?;
            let idle = life.owner.stream.is_idle().map_err(|source| life.stream_failed(source))?;
            Ok(settled && idle)
        })
    }

    fn leave(&mut self) -> Result<(), NcclError> {
        let wait = Wait::new("ncclCommFinalize", "leaving", self.owner.patience.leave);
        self.owner.last_call.set(wait.call);
        // SAFETY: the communicator has been made and not ended.
        let code = unsafe { (self.owner.library.functions.finalize)(self.communicator) };
        self.begun(wait.call, code)?;
        self.wait(wait, Self::has_settled)?;
        let call = "ncclCommDestroy";
        self.owner.last_call.set(call);
        let communicator = std::mem::replace(&mut self.communicator, std::ptr::null_mut());
        // SAFETY: it has been finalised, and this was the last copy of the pointer.
        let code = unsafe { (self.owner.library.functions.destroy)(communicator) };
        // What it pointed to may be gone, so NCCL is not asked about it.
        self.check(call, code, std::ptr::null_mut())
    }

    /// Waits until `done`, for as long as nothing speaks against it.
    fn wait(
        &self,
        wait: Wait,
        done: impl Fn(&Self, &'static str) -> Result<bool, NcclError>,
    ) -> Result<(), NcclError> {
        let Wait { call, what, patience, since } = wait;
        let place = self.owner.place;
        let mut pauses = 0;
        loop {
            if self.owner.interrupt.is_raised() {
                return Err(NcclError::Interrupted { place, what });
            }
            if done(self, call)? {
                return Ok(());
            }
            if since.elapsed() > patience {
                return Err(NcclError::Deadline { place, what, patience });
            }
            pause(pauses);
            pauses += 1;
        }
    }

    /// True if what was begun has been done or handed to the stream.
    fn has_settled(&self, begun: &'static str) -> Result<bool, NcclError> {
        let call = "ncclCommGetAsyncError";
        let mut code = ResultCode::SUCCESS;
        self.owner.last_call.set(call);
        // SAFETY: the communicator has been made and not ended; a place for the code.
        let answer = unsafe {
            (self.owner.library.functions.get_async_error)(self.communicator, &raw mut code)
        };
        self.check(call, answer, self.communicator)?;
        self.check(begun, code, self.communicator)?;
        Ok(code == ResultCode::SUCCESS)
    }

    fn begun(&self, call: &'static str, code: ResultCode) -> Result<(), NcclError> {
        self.check(call, code, self.communicator)
    }

    fn check(
        &self,
        call: &'static str,
        code: ResultCode,
        of: RawCommunicator,
    ) -> Result<(), NcclError> {
        match code {
            ResultCode::SUCCESS | ResultCode::IN_PROGRESS => Ok(()),
            code => Err(self.owner.library.failure(self.owner.place, call, code, of)),
        }
    }

    fn stream_failed(&self, source: crate::nccl::StreamError) -> NcclError {
        NcclError::Stream { place: self.owner.place, source }
    }
}

impl Drop for Life {
    /// Aborts the communicator if there still is one, also if a panic ends the thread. What NCCL
    /// answers is of no use: there is nothing more that could be done to it.
    fn drop(&mut self) {
        if !self.communicator.is_null() {
            self.owner.last_call.set("ncclCommAbort");
            // SAFETY: it has not ended, this is the last use of the pointer, and no other thread
            // is inside a call on it.
            let _ = unsafe { (self.owner.library.functions.abort)(self.communicator) };
        }
    }
}

/// Short sums are looked at all the time; of a long wait a tenth of a millisecond does not matter.
fn pause(before: u32) {
    const LOOKS: u32 = 200;
    if before < LOOKS { thread::yield_now() } else { thread::sleep(Duration::from_micros(100)) }
}
