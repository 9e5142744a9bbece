//! A worker: dials the coordinator, takes part in one run after another.
//!
//! The training loop is the one of `snel train`. It runs on the thread that calls [`work`]; the
//! connection lives on a thread of its own ([`link`]), so that the heart beats while chunks are
//! summed. What the loop needs of the group comes through three small doors: [`collective`] sums
//! a step (with others of its [`groups`], if it can), [`store`] keeps checkpoints and the best model, [`sink`] reports metrics.

mod collective;
mod groups;
mod link;
mod session;
mod sink;
mod store;
mod task;

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub use link::LinkError;
use snel_cuda::nccl::Ground;

use snel_train::compute::Compute;

use crate::security::ClientSecurity;
use crate::worker::collective::lock;
use crate::worker::session::{Ask, Session};
use crate::worker::task::Task;

/// What a worker is told on its command line.
pub struct WorkerSettings {
    /// How to reach the coordinator.
    pub dial: ClientSecurity,
    /// Its address, for people.
    pub address: String,
    /// Its name; unique among the workers of a coordinator.
    pub name: String,
    /// What to compute with.
    pub compute: Compute,
    /// Raised from outside to leave in good order.
    pub drain: Arc<AtomicBool>,
    /// Where it says what it does, for people.
    pub say: fn(&str),
    /// Where it can sum with other workers without the coordinator; none if it cannot.
    pub ground: Option<Arc<dyn Ground>>,
    /// Give up if the coordinator cannot be reached for so long; never if none.
    pub give_up: Option<Duration>,
}

/// Works until it is sent away or asked to leave.
///
/// # Errors
/// [`LinkError`] if the coordinator refuses it, or cannot be reached for too long, or if the process
/// has to end.
pub fn work(settings: WorkerSettings) -> Result<(), LinkError> {
    let (compute, say) = (settings.compute, settings.say);
    let session = Arc::new(Mutex::new(Session::start(settings)?));
    let mut task: Option<Task> = None;
    loop {
        // The lock is this thread's alone; the doors of the training loop take it in turn.
        let ask = lock(&session).ask()?;
        match ask {
            Ask::Leave(reason) => {
                say(&reason);
                return Ok(());
            }
            Ask::Release(reason) => {
                say(&reason);
                task = None;
            }
            Ask::Assignment(assignment) => {
                // Data that was read for this very run before is still good.
                let known = task.take().filter(|task| task.is_of(&assignment));
                match known.map_or_else(|| Task::prepare(&assignment, &compute), Ok) {
                    Ok(mut prepared) => {
                        task::take_part(&mut prepared, &session, say);
                        task = Some(prepared);
                    }
                    Err(error) => lock(&session).fail(&assignment.run, &error),
                }
            }
        }
    }
}
