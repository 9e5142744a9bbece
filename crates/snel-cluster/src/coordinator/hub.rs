//! All workers and runs of a coordinator, and who works on what.
//!
//! Invariants
//! 1. A worker is in one run at a time; a name belongs to one connection at a time.
//! 2. Free workers go to the run that lacks them most, the oldest first.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use snel_proto::v1;
use snel_proto::v1::work_response::Message;
use tonic::Status;

use crate::coordinator::journal::Journal;
use crate::coordinator::outbox::Outbox;
use crate::coordinator::runner::{Inbox, Input};
use crate::coordinator::status::{RunView, Seen};
use crate::machine::{Event, Fate, MemberId};

/// Faults that are remembered as said.
const SAID: usize = 1000;

/// Who is there and what there is to do.
pub(super) struct Hub {
    pub(super) incarnation: u64,
    pub(super) budget: Duration,
    pub(super) journal: Journal,
    say: fn(&str),
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    last_member: u64,
    workers: BTreeMap<MemberId, Worker>,
    runs: BTreeMap<String, Run>,
    /// Name and incarnation of workers that no run may take.
    quarantined: HashSet<(String, u64)>,
    /// What was said of which worker: a worker that comes back with the same fault again and
    /// again does not fill the log.
    said: HashSet<(String, String)>,
}

struct Worker {
    hello: v1::Hello,
    outbox: Outbox,
    run: Option<String>,
    leaving: bool,
    heard: Instant,
}

/// A run as the hub knows it.
pub(super) struct Run {
    /// The older, the smaller.
    pub(super) order: u64,
    /// Workers wanted; 0 for all.
    pub(super) wanted: u32,
    pub(super) inbox: Inbox,
    pub(super) view: RunView,
    /// Workers that failed it.
    pub(super) excluded: HashSet<String>,
    pub(super) ended: bool,
}

impl Hub {
    pub(super) fn new(incarnation: u64, budget: Duration, say: fn(&str)) -> Self {
        let (journal, state) = (Journal::default(), Mutex::default());
        Self { incarnation, budget, journal, say, state }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in a worker that said Hello.
    ///
    /// # Errors
    /// The status to refuse it with.
    pub(super) fn enter(&self, hello: v1::Hello, outbox: Outbox) -> Result<MemberId, Status> {
        if hello.name.is_empty() || hello.name.len() > 200 {
            return Err(Status::invalid_argument("a worker needs a name of up to 200 bytes"));
        }
        if hello.coordinator_incarnation > self.incarnation {
            return Err(Status::unavailable("this worker has met a newer coordinator"));
        }
        if hello.version != env!("CARGO_PKG_VERSION") {
            return Err(Status::failed_precondition(format!(
                "the worker is of version {}, the coordinator of {}",
                hello.version,
                env!("CARGO_PKG_VERSION")
            )));
        }
        let mut state = self.lock();
        if state.quarantined.contains(&(hello.name.clone(), hello.incarnation)) {
            return Err(Status::failed_precondition("this worker's arithmetic was found faulty"));
        }
        let twin = state.workers.iter().find(|(_, w)| w.hello.name == hello.name);
        if let Some((&id, twin)) = twin {
            let same = twin.hello.incarnation == hello.incarnation;
            if !same && twin.heard.elapsed() < self.budget {
                return Err(Status::unavailable(format!(
                    "another worker is called {} and lives; choose another --name",
                    hello.name
                )));
            }
            state.remove(id, "it dialled again");
        }
        state.last_member += 1;
        let member = MemberId(state.last_member);
        let run = hello.run.clone();
        let worker = Worker { hello, outbox, run: None, leaving: false, heard: Instant::now() };
        state.workers.insert(member, worker);
        if state.runs.get(&run).is_some_and(|run| !run.ended) {
            state.attach(member, &run);
        }
        state.balance();
        Ok(member)
    }

    /// Says once what is wrong with a worker.
    pub(super) fn complain(&self, worker: &str, fault: &str) {
        let mut state = self.lock();
        if state.said.len() >= SAID {
            state.said.clear();
        }
        if state.said.insert((worker.to_owned(), fault.to_owned())) {
            let plain: String = worker.chars().filter(|c| !c.is_control()).take(100).collect();
            (self.say)(&format!("worker {plain}: {fault}"));
        }
    }

    /// The connection is gone.
    pub(super) fn leave(&self, member: MemberId) {
        self.lock().remove(member, "its connection is gone");
    }

    pub(super) fn heard(&self, member: MemberId) {
        if let Some(worker) = self.lock().workers.get_mut(&member) {
            worker.heard = Instant::now();
        }
    }

    /// How long a worker has been silent.
    pub(super) fn silence(&self, member: MemberId) -> Option<Duration> {
        self.lock().workers.get(&member).map(|worker| worker.heard.elapsed())
    }

    /// Where messages of a worker about `run` go; none if it is not in that run (any more).
    pub(super) fn inbox(&self, member: MemberId, run: Option<&str>) -> Option<Inbox> {
        let state = self.lock();
        let in_run = state.workers.get(&member)?.run.as_deref()?;
        if run.is_some_and(|run| run != in_run) {
            return None;
        }
        Some(state.runs.get(in_run)?.inbox.clone())
    }

    /// A worker wants to leave the cluster, or is wanted to.
    pub(super) fn drain(&self, member: MemberId) {
        let mut state = self.lock();
        let Some(worker) = state.workers.get_mut(&member) else { return };
        worker.leaving = true;
        let Some(run) = worker.run.clone() else {
            let release = v1::Release { reason: "drained".to_owned(), leave: true, error: None };
            worker.outbox.send(Message::Release(release));
            return;
        };
        state.tell(&run, Input::Event(Event::Leaving { member, cluster: true }));
    }

    /// The same by name.
    pub(super) fn drain_by_name(&self, name: &str) -> bool {
        let found =
            self.lock().workers.iter().find(|(_, w)| w.hello.name == name).map(|(id, _)| *id);
        found.inspect(|id| self.drain(*id)).is_some()
    }

    /// A run sends a worker away.
    pub(super) fn released(&self, member: MemberId, fate: Fate, reason: &str) {
        let mut state = self.lock();
        let Some(worker) = state.workers.get_mut(&member) else { return };
        let name = worker.hello.name.clone();
        if matches!(fate, Fate::Excluded | Fate::Quarantined | Fate::Cut) {
            drop(state);
            self.complain(&name, reason);
            state = self.lock();
        }
        let Some(worker) = state.workers.get_mut(&member) else { return };
        let run = if fate == Fate::Again { None } else { worker.run.take() };
        let release =
            |leave| Message::Release(v1::Release { reason: reason.to_owned(), leave, error: None });
        match fate {
            // The new assignment says it.
            Fate::Again => return,
            Fate::Free => {
                worker.outbox.send(release(worker.leaving));
            }
            Fate::Leaves => {
                worker.leaving = true;
                worker.outbox.send(release(true));
            }
            Fate::Excluded => {
                worker.outbox.send(release(worker.leaving));
                if let Some(run) = run.and_then(|run| state.runs.get_mut(&run)) {
                    run.excluded.insert(name);
                }
            }
            Fate::Quarantined => {
                worker.outbox.refuse(reason);
                let incarnation = worker.hello.incarnation;
                state.workers.remove(&member);
                state.quarantined.insert((name, incarnation));
            }
            Fate::Cut => {
                worker.outbox.cut(reason);
                state.workers.remove(&member);
            }
        }
        state.balance();
    }

    /// Adds or replaces a run.
    pub(super) fn insert_run(&self, name: &str, run: Run) {
        let mut state = self.lock();
        state.runs.insert(name.to_owned(), run);
        state.balance();
    }

    /// What a run shows of itself.
    pub(super) fn view(&self, run: &str) -> Option<RunView> {
        self.lock().runs.get(run).map(|run| run.view.clone())
    }

    /// All runs, the oldest first.
    pub(super) fn views(&self) -> Vec<(String, u32, RunView)> {
        let state = self.lock();
        let mut runs: Vec<_> = state.runs.iter().collect();
        runs.sort_by_key(|(_, run)| run.order);
        runs.into_iter().map(|(name, run)| (name.clone(), run.wanted, run.view.clone())).collect()
    }

    /// Where a run can be told something.
    pub(super) fn run_inbox(&self, run: &str) -> Option<Inbox> {
        self.lock().runs.get(run).map(|run| run.inbox.clone())
    }

    pub(super) fn wanted(&self, run: &str) -> u32 {
        self.lock().runs.get(run).map_or(0, |run| run.wanted)
    }

    pub(super) fn next_order(&self) -> u64 {
        self.lock().runs.values().map(|run| run.order + 1).max().unwrap_or(0)
    }

    /// True once all runs have ended.
    pub(super) fn has_ended(&self, run: &str) -> Option<bool> {
        self.lock().runs.get(run).map(|run| run.ended)
    }

    /// A run has ended: its workers are free for others.
    pub(super) fn ended(&self, run: &str) {
        let mut state = self.lock();
        if let Some(run) = state.runs.get_mut(run) {
            run.ended = true;
        }
        state.balance();
    }

    /// Changes the number of workers of a run; surplus ones leave it at the next boundary.
    pub(super) fn scale(&self, run: &str, wanted: u32) {
        let mut state = self.lock();
        if let Some(run) = state.runs.get_mut(run) {
            run.wanted = wanted;
        }
        let members: Vec<MemberId> = state
            .workers
            .iter()
            .filter(|(_, w)| w.run.as_deref() == Some(run))
            .map(|(id, _)| *id)
            .collect();
        if wanted > 0 {
            for &member in members.iter().skip(wanted as usize) {
                state.tell(run, Input::Event(Event::Leaving { member, cluster: false }));
            }
        }
        state.balance();
    }

    /// All workers, for people.
    pub(super) fn workers(&self) -> Vec<Seen> {
        let state = self.lock();
        state
            .workers
            .iter()
            .map(|(id, w)| Seen {
                member: *id,
                hello: w.hello.clone(),
                run: w.run.clone().unwrap_or_default(),
                leaving: w.leaving,
                silent: w.heard.elapsed(),
            })
            .collect()
    }
}

impl State {
    fn tell(&self, run: &str, input: Input) {
        if let Some(run) = self.runs.get(run) {
            run.inbox.put(input);
        }
    }

    fn remove(&mut self, member: MemberId, why: &str) {
        let Some(worker) = self.workers.remove(&member) else { return };
        worker.outbox.cut(why);
        if let Some(run) = worker.run {
            let silence = worker.heard.elapsed();
            self.tell(&run, Input::Lost { member, silence });
        }
        self.balance();
    }

    fn attach(&mut self, member: MemberId, run: &str) {
        let Some(worker) = self.workers.get_mut(&member) else { return };
        worker.run = Some(run.to_owned());
        let (name, outbox) = (worker.hello.name.clone(), worker.outbox.clone());
        self.tell(run, Input::Join { member, name, outbox });
    }

    /// Gives free workers to runs that want more.
    fn balance(&mut self) {
        loop {
            let count = |name: &str| {
                self.workers.values().filter(|w| w.run.as_deref() == Some(name)).count()
            };
            let mut needy: Vec<(usize, u64, &String, &Run)> = self
                .runs
                .iter()
                .filter(|(_, run)| !run.ended)
                .map(|(name, run)| (count(name), run.order, name, run))
                .filter(|(count, _, _, run)| run.wanted == 0 || *count < run.wanted as usize)
                .collect();
            needy.sort_by_key(|(count, order, _, _)| (*count, *order));
            let free = |run: &Run| {
                self.workers
                    .iter()
                    .find(|(_, w)| {
                        w.run.is_none() && !w.leaving && !run.excluded.contains(&w.hello.name)
                    })
                    .map(|(id, _)| *id)
            };
            let found =
                needy.iter().find_map(|(_, _, name, run)| Some(((*name).clone(), free(run)?)));
            let Some((run, member)) = found else { return };
            self.attach(member, &run);
        }
    }
}
