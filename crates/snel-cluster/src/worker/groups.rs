//! The worker's place in a group that sums without the coordinator.
//!
//! Invariants
//! 1. It is in one group at most. One that is left has ended, here at least, before another begins.
//! 2. Ids are made and groups joined on threads of their own: no step waits for that.
//! 3. Whoever waits in a group is called away by the connection's thread, when that hears that the
//!    group is over or loses the connection.
//! 4. A communicator that does not end makes the process end: nothing that it does with its device
//!    can be relied on.

use std::error::Error;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use bytes::Bytes;
use snel_core::partial::Partial;
use snel_cuda::nccl::{
    Ground, Interrupt, NcclError, Opinion, Place, ReduceError, Summer, UniqueId,
};
use snel_proto::v1;
use snel_proto::v1::work_request::Message as Out;
use tokio::sync::mpsc;

use crate::wire;
use crate::worker::link::{Shared, request};

/// Why the worker cannot sum with a group.
#[derive(Debug, thiserror::Error)]
pub(super) enum GroupError {
    /// It has no NCCL, though it was asked to use it.
    #[error("this worker has no NCCL")]
    Unable,
    /// It has left it, or never joined.
    #[error("this worker is not in group {0}")]
    Elsewhere(u64),
    /// Not an id.
    #[error("an id of {found} bytes; NCCL's have {expected}", expected = UniqueId::BYTES)]
    Id {
        /// Bytes.
        found: usize,
    },
    /// NCCL or the device.
    #[error(transparent)]
    Reduce(#[from] ReduceError),
    /// A thread could not be started.
    #[error("cannot start a thread")]
    Thread(#[from] std::io::Error),
}

/// The group that the worker is in, or joins.
struct Current {
    number: u64,
    interrupt: Interrupt,
    /// Whoever joins leaves it here.
    joining: Receiver<Box<dyn Summer>>,
    summer: Option<Box<dyn Summer>>,
}

/// Where threads that do not belong to the training loop leave word that the process has to end.
type Stuck = Arc<Mutex<Option<String>>>;

/// One worker's groups.
pub(super) struct Groups {
    ground: Option<Arc<dyn Ground>>,
    shared: Arc<Shared>,
    current: Option<Current>,
    stuck: Stuck,
}

impl Groups {
    pub(super) fn new(ground: Option<Arc<dyn Ground>>, shared: Arc<Shared>) -> Self {
        Self { ground, shared, current: None, stuck: Stuck::default() }
    }

    /// Version of the NCCL that it can use, as NCCL counts; 0 if it cannot.
    pub(super) fn version(&self) -> u32 {
        self.ground.as_ref().map_or(0, |ground| ground.version().number())
    }

    /// Why the process has to end, if it has to.
    pub(super) fn stuck(&self) -> Option<String> {
        self.stuck.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Makes an id for a group; what comes of it goes to the coordinator.
    pub(super) fn make_id(&self, group: u64, speaker: Speaker) {
        let Some(ground) = self.ground.clone() else {
            return speaker.failed(group, &GroupError::Unable);
        };
        let spare = speaker.clone();
        let work = move || match ground.unique_id() {
            Ok(id) => speaker.made(group, Bytes::copy_from_slice(&id.to_bytes())),
            Err(error) => speaker.failed(group, &GroupError::from(ReduceError::from(error))),
        };
        if let Err(error) = spawn(work) {
            spare.failed(group, &error);
        }
    }

    /// Begins to join a group; what comes of it goes to the coordinator.
    pub(super) fn join(&mut self, group: &v1::Group, speaker: Speaker) {
        self.leave();
        if let Err(error) = self.begin_to_join(group, speaker.clone()) {
            speaker.failed(group.group, &error);
        }
    }

    fn begin_to_join(&mut self, group: &v1::Group, speaker: Speaker) -> Result<(), GroupError> {
        let ground = self.ground.clone().ok_or(GroupError::Unable)?;
        let id: [u8; UniqueId::BYTES] =
            (&group.id[..]).try_into().map_err(|_| GroupError::Id { found: group.id.len() })?;
        let place = Place { rank: group.rank, world: group.world };
        let (number, interrupt) = (group.group, Interrupt::default());
        let (joined, joining) = channel();
        self.shared.enter_group(number, interrupt.clone());
        self.current =
            Some(Current { number, interrupt: interrupt.clone(), joining, summer: None });
        let stuck = self.stuck.clone();
        spawn(move || {
            let summer = ground.join(UniqueId::from_bytes(id), place, interrupt);
            hand_over(number, summer, &joined, &speaker, &stuck);
        })
    }

    /// Whether it is in the group, or joins it, and has not been called away.
    pub(super) fn is_in(&self, group: u64) -> bool {
        self.current.as_ref().is_some_and(|current| current.number == group)
    }

    /// Turns this worker's sums into those of all chunks.
    ///
    /// # Errors
    /// [`GroupError`]; the partial is then as it was, and the worker has left the group.
    pub(super) fn sum(
        &mut self,
        group: u64,
        partial: &mut Partial,
        opinion: &Opinion,
    ) -> Result<(), GroupError> {
        let done = self.try_to_sum(group, partial, opinion);
        if done.is_err() {
            self.leave();
        }
        done
    }

    fn try_to_sum(
        &mut self,
        group: u64,
        partial: &mut Partial,
        opinion: &Opinion,
    ) -> Result<(), GroupError> {
        let elsewhere = || GroupError::Elsewhere(group);
        let current = self.current.as_mut().filter(|current| current.number == group);
        let current = current.ok_or_else(elsewhere)?;
        if current.summer.is_none() {
            // It is there before the coordinator hears of it.
            current.summer = current.joining.try_recv().ok();
        }
        Ok(current.summer.as_mut().ok_or_else(elsewhere)?.sum(partial, opinion)?)
    }

    /// The group of this number is over.
    pub(super) fn over(&mut self, group: u64) {
        if self.is_in(group) {
            self.leave();
        }
    }

    /// Leaves the group, if there is one.
    pub(super) fn leave(&mut self) {
        let Some(mut current) = self.current.take() else { return };
        self.shared.leave_group();
        current.interrupt.raise();
        // One that is still being joined is aborted by the thread that joins it.
        let joined = current.summer.take().or_else(|| current.joining.try_recv().ok());
        if let Some(mut summer) = joined {
            end(&mut *summer, &self.stuck);
        }
    }
}

/// Gives a group that was joined to the training loop, and tells the coordinator what came of it.
fn hand_over(
    number: u64,
    summer: Result<Box<dyn Summer>, ReduceError>,
    joined: &Sender<Box<dyn Summer>>,
    speaker: &Speaker,
    stuck: &Stuck,
) {
    match summer {
        // The training loop has left meanwhile.
        Ok(summer) => match joined.send(summer) {
            Ok(()) => speaker.ready(number),
            Err(mut unwanted) => end(&mut *unwanted.0, stuck),
        },
        Err(error) => {
            if let ReduceError::Nccl(nccl) = &error
                && nccl.is_stuck()
            {
                note(nccl, stuck);
            }
            speaker.failed(number, &GroupError::from(error));
        }
    }
}

fn end(summer: &mut dyn Summer, stuck: &Stuck) {
    if let Err(error) = summer.abort() {
        note(&error, stuck);
    }
}

fn note(error: &NcclError, stuck: &Stuck) {
    let text = wire::error_text(&wire::error_to_wire("nccl", error, None));
    stuck.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(text);
}

fn spawn(work: impl FnOnce() + Send + 'static) -> Result<(), GroupError> {
    thread::Builder::new().name("snel-group".to_owned()).spawn(work)?;
    Ok(())
}

/// Says to the coordinator of one connection what becomes of a group. Nobody may hear it; then the
/// group is over as well.
#[derive(Clone)]
pub(super) struct Speaker {
    pub(super) run: String,
    pub(super) outbox: Option<mpsc::Sender<v1::WorkRequest>>,
}

impl Speaker {
    fn say(&self, message: Out) {
        if let Some(outbox) = &self.outbox {
            let _ = outbox.blocking_send(request(message));
        }
    }

    fn made(&self, group: u64, id: Bytes) {
        self.say(Out::GroupId(v1::GroupId { run: self.run.clone(), group, id }));
    }

    fn ready(&self, group: u64) {
        self.say(Out::GroupReady(v1::GroupReady { run: self.run.clone(), group }));
    }

    pub(super) fn failed(&self, group: u64, error: &(dyn Error + 'static)) {
        let error = Some(wire::error_to_wire("group", error, None));
        self.say(Out::GroupFailed(v1::GroupFailed { run: self.run.clone(), group, error }));
    }
}
