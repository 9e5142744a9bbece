//! What the worker knows of the group, and the messages it waits for.
//!
//! Invariants
//! 1. Nothing that arrives is lost: what the caller does not want now, it gets later.
//! 2. After a reconnection the worker says where it is before it waits for anything else.
//! 3. What came by a lost connection is not acted on: the coordinator has given it to others.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use snel_core::collective::CollectiveError;
use snel_proto::v1;
use snel_proto::v1::work_request::Message as Out;
use snel_proto::v1::work_response::Message as In;
use tokio::sync::mpsc;

use crate::frame::{self, Label};
use crate::machine::{Position, Shape};
use crate::wire;
use crate::worker::WorkerSettings;
use crate::worker::groups::{Groups, Speaker};
use crate::worker::link::{self, Identity, Incoming, LinkError, Shared, request};

/// What a worker without work is asked.
pub(super) enum Ask {
    Assignment(v1::Assignment),
    /// Out of the run, with the reason.
    Release(String),
    /// Out of the cluster.
    Leave(String),
}

/// The worker's end of the conversation.
pub(super) struct Session {
    inbox: mpsc::Receiver<Incoming>,
    /// None while there is no connection.
    outbox: Option<mpsc::Sender<v1::WorkRequest>>,
    shared: Arc<Shared>,
    /// What ended the work on a run, for the loop that gives out work.
    aside: VecDeque<In>,
    /// Messages that came while the caller waited for others.
    later: VecDeque<In>,
    /// Those that a caller keeps for the next one; see [`Self::hold`].
    held: Vec<In>,
    /// The run that it is in the middle of.
    run: Option<InRun>,
    membership: v1::Membership,
    stored_best: Option<u64>,
    stored_checkpoint: Option<u64>,
    snapshot_wanted: bool,
    groups: Groups,
    end: Option<LinkError>,
}

/// What it says after a reconnection.
#[derive(Clone)]
struct InRun {
    name: String,
    shape: Shape,
    /// None while it waits for a state to start from.
    position: Option<Position>,
}

impl Session {
    pub(super) fn start(settings: WorkerSettings) -> Result<Self, LinkError> {
        let WorkerSettings { dial, address, name, compute, drain, give_up, ground, .. } = settings;
        let hello = v1::Hello {
            name,
            incarnation: incarnation(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            threads: compute.threads as u32,
            host: host(),
            ..v1::Hello::default()
        };
        let (inbox, shared) = link::start(Identity { hello, dial, address, give_up }, drain)?;
        let groups = Groups::new(ground, shared.clone());
        Ok(Self::new(inbox, shared, groups))
    }

    fn new(inbox: mpsc::Receiver<Incoming>, shared: Arc<Shared>, groups: Groups) -> Self {
        Self {
            inbox,
            outbox: None,
            shared,
            aside: VecDeque::new(),
            later: VecDeque::new(),
            held: Vec::new(),
            run: None,
            membership: v1::Membership::default(),
            stored_best: None,
            stored_checkpoint: None,
            snapshot_wanted: false,
            groups,
            end: None,
        }
    }

    /// Waits for work.
    pub(super) fn ask(&mut self) -> Result<Ask, LinkError> {
        self.set_run(None);
        loop {
            if let Some(end) = self.end.take().or_else(|| self.stuck()) {
                return Err(end);
            }
            // An idle worker that is not connected may go at once.
            if self.shared.drain.load(Ordering::Relaxed) && self.outbox.is_none() {
                return Ok(Ask::Leave("leaving".to_owned()));
            }
            let kept = self.aside.pop_front().or_else(|| self.later.pop_front());
            let message = match kept {
                Some(message) => message,
                None => match self.receive()? {
                    Some(message) => message,
                    None => continue,
                },
            };
            match message {
                In::Assignment(assignment) => return Ok(Ask::Assignment(assignment)),
                In::Release(release) if release.leave => return Ok(Ask::Leave(release.reason)),
                In::Release(release) => return Ok(Ask::Release(release.reason)),
                _ => {} // late messages of a run that is over
            }
        }
    }

    /// Why the process has to end, if a communicator does not.
    fn stuck(&self) -> Option<LinkError> {
        self.groups.stuck().map(LinkError::Stuck)
    }

    /// The next message, or none if the connection was lost or made.
    fn receive(&mut self) -> Result<Option<In>, LinkError> {
        match self.inbox.blocking_recv() {
            Some(incoming) => self.note(incoming),
            None => Err(LinkError::Refused("the connection's thread has ended".to_owned())),
        }
    }

    fn note(&mut self, incoming: Incoming) -> Result<Option<In>, LinkError> {
        match incoming {
            Incoming::Message(message) => return Ok(Some(message)),
            Incoming::Connected(outbox) => self.outbox = Some(outbox),
            Incoming::Lost => {
                // What is left of the old connection was meant for a membership that is over.
                self.outbox = None;
                self.groups.leave();
                self.later.clear();
                self.held.clear();
                self.snapshot_wanted = false;
            }
            Incoming::End(error) => return Err(error),
        }
        Ok(None)
    }

    /// Begins to take part in a run.
    pub(super) fn enter(&mut self, run: &str, shape: Shape) {
        self.set_run(Some(InRun { name: run.to_owned(), shape, position: None }));
        self.snapshot_wanted = false;
        self.stored_best = None;
        self.stored_checkpoint = None;
        self.membership = v1::Membership::default();
        self.say_prepared();
    }

    fn set_run(&mut self, run: Option<InRun>) {
        self.groups.leave();
        self.shared.set_run(run.as_ref().map_or("", |run| &run.name));
        self.run = run;
    }

    fn say_prepared(&mut self) {
        let Some(InRun { name, shape, position }) = self.run.clone() else { return };
        self.send(Out::Prepared(v1::Prepared {
            run: name,
            parameters: shape.parameters,
            chunks: shape.chunks,
            problem: shape.problem,
            fingerprint: shape.fingerprint,
            has_state: position.is_some(),
            // The words that groups add have no place for what chunks carry.
            nccl: if shape.carried == 0 { self.groups.version() } else { 0 },
            carried: shape.carried,
            chains: shape.chains,
        }));
        self.say_arrived();
    }

    fn say_arrived(&mut self) {
        let Some(InRun { name, position: Some(position), .. }) = self.run.clone() else { return };
        self.send(Out::Arrived(v1::Arrived {
            run: name,
            round: Some(wire::round_to_wire(position.round, self.membership.epoch)),
            kept: wire::chunks_to_wire(&position.kept),
            sum: position.sum.map(wire::digest_to_wire).unwrap_or_default(),
        }));
    }

    /// Says that it stands before a round.
    pub(super) fn arrive(&mut self, position: Position) {
        self.stand(position);
        self.say_arrived();
    }

    /// What it will say of its position if it is asked.
    pub(super) fn stand(&mut self, position: Position) {
        if let Some(run) = &mut self.run {
            run.position = Some(position);
        }
    }

    /// The next message that concerns the run. What concerns the group is taken note of on its way.
    ///
    /// # Errors
    /// [`CollectiveError::SentAway`] if the run goes on without this worker, or the coordinator
    /// is gone for good; [`CollectiveError::Stopped`] if the run stops here.
    pub(super) fn next(&mut self) -> Result<In, CollectiveError> {
        loop {
            if let Some(stuck) = self.stuck() {
                return Err(self.gone(stuck));
            }
            let message = match self.later.pop_front() {
                Some(message) => message,
                None => match self.receive() {
                    Ok(Some(message)) => message,
                    Ok(None) => continue,
                    Err(error) => return Err(self.gone(error)),
                },
            };
            match message {
                In::Membership(membership) if membership.epoch < self.membership.epoch => {}
                In::Membership(membership) => {
                    self.membership = membership;
                    return Ok(In::Membership(membership));
                }
                In::Stored(stored) => {
                    let known = match stored.kind() {
                        v1::ArtifactKind::Best => &mut self.stored_best,
                        _ => &mut self.stored_checkpoint,
                    };
                    *known = (*known).max(Some(stored.step));
                    return Ok(In::Stored(stored));
                }
                In::GroupIdWanted(wanted) => self.groups.make_id(wanted.group, self.speaker()),
                In::Group(group) => {
                    let speaker = self.speaker();
                    self.groups.join(&group, speaker);
                }
                In::GroupOver(over) => self.groups.over(over.group),
                In::SnapshotWanted(_) => self.snapshot_wanted = true,
                In::Assignment(assignment) if self.is_of(&assignment) => self.say_prepared(),
                In::Assignment(_) => {
                    self.aside.push_back(message);
                    return Err(CollectiveError::SentAway("it begins anew".to_owned()));
                }
                In::Release(ref release) => {
                    let reason = release.reason.clone();
                    self.aside.push_back(message);
                    return Err(CollectiveError::SentAway(reason));
                }
                In::Stop(_) => return Err(CollectiveError::Stopped),
                message => return Ok(message),
            }
        }
    }

    /// The run goes on without this worker, which has to go.
    fn gone(&mut self, error: LinkError) -> CollectiveError {
        let text = error.to_string();
        self.end = Some(error);
        CollectiveError::SentAway(text)
    }

    /// For those who join groups beside the work on steps.
    pub(super) fn speaker(&self) -> Speaker {
        Speaker { run: self.run_name(), outbox: self.outbox.clone() }
    }

    /// Those with whom this worker can sum without the coordinator.
    pub(super) fn groups(&mut self) -> &mut Groups {
        &mut self.groups
    }

    fn is_of(&self, assignment: &v1::Assignment) -> bool {
        !assignment.restart && self.run.as_ref().is_some_and(|run| run.name == assignment.run)
    }

    /// True once if the state that others start from is wanted. What has arrived by now counts.
    pub(super) fn take_snapshot_wanted(&mut self) -> bool {
        while let Ok(incoming) = self.inbox.try_recv() {
            if let Err(error) = self.note(incoming).map(|message| self.later.extend(message)) {
                self.end = Some(error);
            }
        }
        let before = self.later.len();
        self.later.retain(|message| !matches!(message, In::SnapshotWanted(_)));
        std::mem::take(&mut self.snapshot_wanted) || self.later.len() < before
    }

    /// Where things stand with what the leader sends.
    pub(super) fn is_stored(&self, kind: v1::ArtifactKind, step: u64) -> bool {
        let known = match kind {
            v1::ArtifactKind::Best => self.stored_best,
            _ => self.stored_checkpoint,
        };
        known.is_some_and(|known| known >= step)
    }

    pub(super) fn set_stored(&mut self, start: &v1::Start) {
        self.stored_best = start.stored_best;
        self.stored_checkpoint = start.stored_checkpoint;
    }

    pub(super) fn has_best(&self) -> bool {
        self.stored_best.is_some()
    }

    pub(super) fn is_leader(&self) -> bool {
        self.membership.leader
    }

    /// Keeps a message for who calls [`Self::next`] after [`Self::let_go`].
    pub(super) fn hold(&mut self, message: In) {
        self.held.push(message);
    }

    /// What was held comes next, but for what came by a connection that was lost meanwhile.
    pub(super) fn let_go(&mut self) {
        for message in self.held.drain(..).rev() {
            self.later.push_front(message);
        }
    }

    pub(super) fn epoch(&self) -> u64 {
        self.membership.epoch
    }

    /// Work was done.
    pub(super) fn progress(&self) {
        self.shared.progress.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn run_name(&self) -> String {
        self.run.as_ref().map_or_else(String::new, |run| run.name.clone())
    }

    /// Sends, if there is a connection; after the next one the worker says anew where it is.
    pub(super) fn send(&mut self, message: Out) {
        if let Some(outbox) = &self.outbox
            && outbox.blocking_send(request(message)).is_err()
        {
            self.outbox = None;
        }
    }

    /// Sends a body in frames.
    pub(super) fn send_body(&mut self, label: &Label, body: &Bytes, wrap: fn(v1::Frame) -> Out) {
        for frame in frame::split(label, body) {
            self.send(wrap(frame));
        }
    }

    /// Says that this worker cannot go on with a run.
    pub(super) fn fail(&mut self, run: &str, error: &v1::Error) {
        let position = self.run.as_ref().and_then(|run| run.position.as_ref());
        let step = position.map_or(0, |position| position.round.step);
        let epoch = self.membership.epoch;
        let error = v1::Error { run: run.to_owned(), epoch, step, ..error.clone() };
        self.set_run(None);
        self.send(Out::Failed(v1::Failed { run: run.to_owned(), error: Some(error) }));
    }
}

/// A number that no other start of a worker has.
fn incarnation() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(std::process::id())
}

fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    format!("{} pid {}", name.trim(), std::process::id())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compute(step: u64) -> In {
        let round = Some(v1::Round { step, ..v1::Round::default() });
        In::Compute(v1::Compute { round, ..v1::Compute::default() })
    }

    /// A worker that waits for the disk is asked to compute, loses its connection, and is asked for
    /// something else by the next: only that counts.
    #[test]
    fn what_a_lost_connection_brought_is_forgotten() {
        let (tx, inbox) = mpsc::channel(16);
        let shared = Arc::new(Shared::default());
        let mut session = Session::new(inbox, shared.clone(), Groups::new(None, shared));
        let (outbox, _requests) = mpsc::channel(16);
        let connected = || Incoming::Connected(outbox.clone());
        let incoming = [
            connected(),
            Incoming::Message(compute(1)),
            Incoming::Message(compute(2)),
            Incoming::Lost,
            connected(),
            Incoming::Message(compute(3)),
            Incoming::Message(compute(4)),
        ];
        incoming.into_iter().for_each(|incoming| assert!(tx.try_send(incoming).is_ok()));
        for step in 1..=3 {
            let message = session.next().unwrap();
            assert_eq!(message, compute(step));
            session.hold(message);
        }
        session.let_go();
        for step in [3, 4] {
            assert_eq!(session.next().unwrap(), compute(step));
        }
    }
}
