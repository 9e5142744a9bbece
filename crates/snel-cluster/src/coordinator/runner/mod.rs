//! One run on the coordinator: a thread that owns its state machine, folder and record.
//!
//! Invariants
//! 1. Whatever the machine decides is carried out in its order, by this thread alone.
//! 2. A commit is in the record before a worker hears of it, so a coordinator that is killed has
//!    not forgotten it; the disk has it some milliseconds later. A machine that loses power may
//!    lose the record of its last steps: then the workers know better, and are believed.
//! 3. Of metrics and artifacts that several workers send, one is kept.

mod groups;
mod shown;
pub(super) mod storage;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use snel_core::partial::Partial;
use snel_proto::v1;
use snel_proto::v1::work_response::Message;
use snel_train::checkpoint::Checkpoints;
use snel_train::config::Config;
use snel_train::container::ContainerError;
use snel_train::file::FileError;
use snel_train::model_file::ModelFile;
use snel_train::run_folder::RunFolder;
use snel_train::sink::tensorboard::TensorBoard;
use snel_train::sink::{JsonLines, Sink};
use tokio::sync::{OwnedSemaphorePermit, broadcast, mpsc, watch};

use crate::coordinator::hub::{Hub, Run};
use crate::coordinator::journal::Kind;
use crate::coordinator::outbox::Outbox;
use crate::coordinator::status::{Inside, RunView, Update};
use crate::coordinator::syncer::Syncer;
use crate::coordinator::tallies::Tallies;
use crate::frame::{self, Label};
use crate::limits::sum_limit;
use crate::machine::{
    Action, Digest, Event, Fate, GroupId, Machine, MemberId, Past, PayloadId, Phase, RoundId,
    Settings, Verdict,
};
use crate::record::{Entry, History, HistoryError, Record, RecordError};
use crate::verdict::verdict;
use crate::watching::curves::Curves;
use crate::wire;

/// Time that a worker may compute without progress before any step was timed.
const PATIENCE: Duration = Duration::from_mins(10);
/// Updates that a slow watcher may fall behind.
const UPDATES: usize = 4096;

/// What a run is told.
pub(super) enum Input {
    /// A worker is to take part.
    Join { member: MemberId, name: String, outbox: Outbox },
    /// For the machine.
    Event(Event),
    /// Sums have arrived.
    Partial { member: MemberId, round: RoundId, digest: Digest, bytes: u64, partial: Box<Partial> },
    /// A worker's connection is gone, after so long a silence.
    Lost { member: MemberId, silence: Duration },
    /// A member has made an id by which others can join the group.
    GroupId { member: MemberId, group: GroupId, id: Bytes },
    /// A state has arrived.
    Snapshot { member: MemberId, step: u64, body: Bytes },
    /// A file has arrived.
    Artifact { kind: v1::ArtifactKind, step: u64, body: Bytes },
    /// A line of metrics.
    Metrics(String),
    /// A sentence.
    Note { member: MemberId, text: String },
}

/// Where a run is told things. Workers hold a permit for each message that waits here.
#[derive(Clone)]
pub(super) struct Inbox(mpsc::UnboundedSender<(Input, Option<OwnedSemaphorePermit>)>);

impl Inbox {
    /// Of nobody.
    pub(super) fn closed() -> Self {
        Self(mpsc::unbounded_channel().0)
    }

    pub(super) fn put(&self, input: Input) {
        let _ = self.0.send((input, None));
    }

    pub(super) fn put_permitted(&self, input: Input, permit: OwnedSemaphorePermit) {
        let _ = self.0.send((input, Some(permit)));
    }
}

/// Why a run cannot be opened or go on.
#[derive(Debug, thiserror::Error)]
pub enum RunnerError {
    /// Its record.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// Its checkpoints or models.
    #[error(transparent)]
    Container(#[from] ContainerError),
    /// Another file of it.
    #[error(transparent)]
    File(#[from] FileError),
    /// Its thread could not be started.
    #[error("cannot start a thread for the run")]
    Thread(#[source] std::io::Error),
    /// A fault of the coordinator: better no step than a wrong one.
    #[error("the sums of step {step} are not whole; this is a fault of the coordinator")]
    Incomplete {
        /// The step.
        step: u64,
    },
    /// What the run did cannot follow what it did before, by its record.
    #[error("the run does not agree with its own record")]
    History(#[source] HistoryError),
}

/// `cluster.json` in a run folder: what is not in the config.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Submission {
    pub(super) order: u64,
    pub(super) wanted: u32,
}

struct Link {
    name: String,
    outbox: Outbox,
}

struct Runner {
    name: String,
    config: Config,
    hub: Arc<Hub>,
    machine: Machine,
    links: BTreeMap<MemberId, Link>,
    payloads: BTreeMap<PayloadId, (MemberId, Partial)>,
    next_payload: u64,
    sum: Option<(RoundId, Bytes)>,
    snapshot: Option<Bytes>,
    /// The last id that was made for a group.
    group_id: Option<(GroupId, Bytes)>,
    /// The round that chunks were given out for.
    open_round: Option<RoundId>,
    leader: Option<MemberId>,
    checkpoints: Checkpoints,
    model_path: PathBuf,
    record: Record,
    history: History,
    syncer: Syncer,
    sinks: Vec<Box<dyn Sink + Send>>,
    /// Steps of the last record of each kind.
    last_step_record: Option<u64>,
    last_validation: Option<u64>,
    stored_best: Option<u64>,
    stored_checkpoint: Option<u64>,
    status: watch::Sender<v1::RunStatus>,
    updates: broadcast::Sender<Update>,
    inside: watch::Sender<Inside>,
    tallies: Tallies,
    last_commit: Option<Instant>,
}

/// Opens the run in `folder` and starts its thread.
///
/// # Errors
/// [`RunnerError`].
pub(super) fn open(
    hub: &Arc<Hub>,
    name: &str,
    folder: &RunFolder,
    config: Config,
    submission: &Submission,
) -> Result<(), RunnerError> {
    let (record, history) = Record::open(&record_path(folder))?;
    let checkpoints = folder.checkpoints(config.train.keep);
    let disk = checkpoints.newest()?;
    let disk_step = disk.as_ref().map_or(0, |(checkpoint, _)| checkpoint.state.step);
    let best = checkpoints.best();
    let stored_best = if best.exists() { Some(ModelFile::load(&best)?.header.step) } else { None };
    let metrics = JsonLines::open(&folder.metrics(), history.next_step())?;
    let validation = Curves::read(&folder.metrics()).validations.pop();
    let (inside, inside_rx) = watch::channel(Inside { validation, ..Inside::default() });
    let mut sinks: Vec<Box<dyn Sink + Send>> = vec![Box::new(metrics)];
    if config.output.tensorboard {
        sinks.push(Box::new(TensorBoard::start(folder.path(), history.next_step())?));
    }
    let wanted_budget = config.cluster.failure_budget_ms.map(Duration::from_millis);
    let settings = Settings {
        wanted: submission.wanted.max(1) as usize,
        budget: wanted_budget.map_or(hub.budget, |wanted| wanted.max(hub.budget)),
        patience: PATIENCE,
    };
    let past = Past {
        epoch: history.epoch(),
        next_step: history.next_step(),
        last_committed: history.last_commit(),
        shape: history.shape().cloned(),
        members: history.members().to_vec(),
        disk_step,
    };
    let (status, status_rx) = watch::channel(v1::RunStatus {
        run: name.to_owned(),
        phase: v1::RunPhase::Waiting.into(),
        steps: config.train.steps,
        workers_wanted: submission.wanted,
        ..v1::RunStatus::default()
    });
    let (updates, _) = broadcast::channel(UPDATES);
    let (tx, rx) = mpsc::unbounded_channel();
    let mut runner = Runner {
        name: name.to_owned(),
        hub: hub.clone(),
        machine: Machine::new(settings, past, Instant::now()),
        links: BTreeMap::new(),
        payloads: BTreeMap::new(),
        next_payload: 0,
        sum: None,
        snapshot: None,
        group_id: None,
        open_round: None,
        leader: None,
        checkpoints,
        model_path: folder.model(),
        syncer: Syncer::start(&record)?,
        record,
        history,
        sinks,
        last_step_record: None,
        last_validation: None,
        stored_best,
        stored_checkpoint: disk.map(|(checkpoint, _)| checkpoint.state.step),
        status,
        updates: updates.clone(),
        inside,
        tallies: Tallies::default(),
        last_commit: None,
        config,
    };
    let incarnation = runner.history.incarnation() + 1;
    runner.write(&Entry::Opened { incarnation })?;
    runner.publish();
    let text = format!("taken up at step {}", runner.machine.committed());
    hub.journal.happened(name, Kind::Phase, text);
    let view = RunView { status: status_rx, inside: inside_rx, updates };
    let run = Run {
        order: submission.order,
        wanted: submission.wanted,
        inbox: Inbox(tx),
        view,
        excluded: std::collections::HashSet::new(),
        ended: false,
    };
    std::thread::Builder::new()
        .name(format!("snel-run {name}"))
        .spawn(move || runner.run(rx))
        .map_err(RunnerError::Thread)?;
    hub.insert_run(name, run);
    Ok(())
}

pub(super) fn record_path(folder: &RunFolder) -> PathBuf {
    folder.path().join("record.log")
}

impl Runner {
    fn run(&mut self, mut inbox: mpsc::UnboundedReceiver<(Input, Option<OwnedSemaphorePermit>)>) {
        // The permit is given back once its message is dealt with.
        while let Some((input, _permit)) = inbox.blocking_recv() {
            if let Err(error) = self.take(input) {
                self.fail(&error);
            }
            // The thread stays for members that come late: the machine tells them.
            if self.machine.phase() == Phase::Ended {
                self.syncer.finish();
            }
        }
    }

    /// A failure of the disk, or of arithmetic: the run ends, its checkpoints are kept.
    fn fail(&mut self, error: &RunnerError) {
        let error = wire::error_to_wire("run", error, None);
        let actions = self.machine.abort(&wire::error_text(&error));
        for action in actions {
            let _ = self.act(action);
        }
        self.publish();
    }

    fn take(&mut self, input: Input) -> Result<(), RunnerError> {
        match input {
            Input::Join { member, name, outbox } => {
                self.links.insert(member, Link { name: name.clone(), outbox });
                self.event(Event::Joined { member, name })
            }
            Input::Event(event) => {
                if let Event::Prepared { member, shape, .. } = &event
                    && let Some(link) = self.links.get(member)
                {
                    link.outbox.make_room(sum_limit(shape));
                }
                self.event(event)
            }
            Input::Lost { member, silence } => {
                self.count_loss(member, silence);
                self.links.remove(&member);
                self.event(Event::Lost { member })
            }
            Input::Partial { member, round, digest, bytes, partial } => {
                self.tallies.received += bytes;
                self.next_payload += 1;
                let payload = PayloadId(self.next_payload);
                let chunks = partial.chunks().clone();
                self.payloads.insert(payload, (member, *partial));
                self.event(Event::Contributed { member, round, chunks, digest, payload })
            }
            Input::GroupId { member, group, id } => {
                self.group_id = Some((group, id));
                self.event(Event::GroupId { member, group })
            }
            Input::Snapshot { member, step, body } => {
                self.snapshot = Some(body);
                self.event(Event::Snapshot { member, step })
            }
            Input::Artifact { kind, step, body } => self.keep(kind, step, &body),
            Input::Metrics(json) => self.metrics(json),
            Input::Note { member, text } => {
                // All workers say the same.
                if self.leader == Some(member) {
                    self.note(text);
                }
                Ok(())
            }
        }
    }

    /// Gives an event to the machine and carries out what it decides.
    fn event(&mut self, event: Event) -> Result<(), RunnerError> {
        if matches!(event, Event::Tick) {
            let waiting_for = self.machine.waiting_for();
            self.status.send_if_modified(|status| {
                std::mem::replace(&mut status.waiting_for, waiting_for) != status.waiting_for
            });
        }
        let mut events = vec![event];
        while let Some(event) = events.pop() {
            for action in self.machine.step(event, Instant::now()) {
                events.extend(self.act(action)?);
            }
        }
        self.publish();
        Ok(())
    }

    /// Carries out an action; what comes of it at once.
    fn act(&mut self, action: Action) -> Result<Option<Event>, RunnerError> {
        let epoch = self.machine.epoch();
        match action {
            Action::Prepare { member, restart } => {
                let (run, config) = (self.name.clone(), self.config.to_toml());
                self.send(member, Message::Assignment(v1::Assignment { run, config, restart }));
            }
            Action::StartFromDisk { members, step } => self.start_from_disk(&members, step)?,
            Action::StartFromSnapshot(members) => {
                let body = self.snapshot.take().unwrap_or_default();
                self.start(&members, Some(&body));
            }
            Action::WantSnapshot(member) => {
                self.send(member, Message::SnapshotWanted(v1::SnapshotWanted {}));
            }
            Action::Compute { member, round, chunks } => {
                self.tallies.assigned(Instant::now());
                self.open_round = Some(round);
                let round = Some(wire::round_to_wire(round, epoch));
                let chunks = wire::chunks_to_wire(&chunks);
                let compute = v1::Compute { round, chunks, ..v1::Compute::default() };
                self.send(member, Message::Compute(compute));
            }
            Action::Reduce { group, round, shares } => {
                self.tallies.assigned(Instant::now());
                self.open_round = Some(round);
                self.reduce(group, wire::round_to_wire(round, epoch), &shares);
            }
            Action::WantGroupId { group: GroupId(group), member } => {
                self.send(member, Message::GroupIdWanted(v1::GroupIdWanted { group }));
            }
            Action::JoinGroup { group, members } => self.join_group(group, &members),
            Action::GroupOver { group: GroupId(group), members } => {
                let over = v1::GroupOver { group };
                members.into_iter().for_each(|m| self.send(m, Message::GroupOver(over)));
            }
            Action::Forget(payloads) => {
                for payload in payloads {
                    self.payloads.remove(&payload);
                }
            }
            Action::Sum { round, payloads } => {
                self.tallies.summing(Instant::now());
                let verdict = self.add_up(round, &payloads)?;
                return Ok(Some(Event::Summed { round, verdict }));
            }
            Action::SendSum { round, members } => {
                let Some((of, body)) = self.sum.clone() else { return Ok(None) };
                debug_assert_eq!(of, round, "the sum in hand is of the current round");
                let round = wire::round_to_wire(round, epoch);
                let label = Label { run: self.name.clone(), round, ..Label::default() };
                self.tallies.sum_sent(Instant::now());
                self.tallies.sent += body.len() as u64 * members.len() as u64;
                for member in members {
                    for frame in frame::split(&label, &body) {
                        self.send(member, Message::Sum(frame));
                    }
                }
            }
            Action::Record(entry) => self.write(&entry)?,
            Action::Commit { round, redo, members } => {
                let decided = round;
                let commit = v1::Commit { round: Some(wire::round_to_wire(round, epoch)), redo };
                members.into_iter().for_each(|m| self.send(m, Message::Commit(commit)));
                // Members that come back late are told of rounds that were decided before.
                if self.open_round.take_if(|open| *open == decided).is_some() {
                    self.close_round(redo);
                }
            }
            Action::Membership(members) => {
                self.leader = members.first().copied();
                self.tell_epoch(epoch, &members);
                for &member in &members {
                    let membership = v1::Membership {
                        epoch,
                        leader: Some(member) == self.leader,
                        workers: members.len() as u32,
                    };
                    self.send(member, Message::Membership(membership));
                }
                self.tell_stored(&members);
            }
            Action::Stop(members) => {
                members.into_iter().for_each(|m| self.send(m, Message::Stop(v1::Stop {})));
            }
            Action::Release { member, reason, fate } => self.release(member, &reason, fate),
            Action::End { outcome, step } => self.end(outcome, step)?,
            Action::Recovered(time) => {
                self.tallies.recovered(time, Instant::now());
                let ms = time.as_secs_f64() * 1e3;
                let text = format!("goes on {ms:.0} ms after the loss");
                self.hub.journal.happened(&self.name, Kind::Recovery, text);
                self.status.send_modify(|status| {
                    status.recoveries += 1;
                    status.last_recovery_ms = ms;
                });
            }
            Action::Note(text) => self.note(text),
        }
        Ok(None)
    }

    fn release(&mut self, member: MemberId, reason: &str, fate: Fate) {
        if fate == Fate::Cut
            && let Some(silence) = self.hub.silence(member)
        {
            self.tallies.lost(silence);
        }
        self.tell_release(member, reason, fate);
        if fate == Fate::Excluded {
            self.show_failure(reason);
        }
        if fate != Fate::Again {
            self.links.remove(&member);
        }
        self.hub.released(member, fate, reason);
    }

    fn send(&self, member: MemberId, message: Message) {
        // A worker that is gone is found so by its connection.
        if let Some(link) = self.links.get(&member) {
            link.outbox.send(message);
        }
    }

    fn add_up(&mut self, round: RoundId, payloads: &[PayloadId]) -> Result<Verdict, RunnerError> {
        let missing = || RunnerError::Incomplete { step: round.step };
        let mut sum: Option<Partial> = None;
        for payload in payloads {
            let (member, partial) = self.payloads.remove(payload).ok_or_else(missing)?;
            match &mut sum {
                None => sum = Some(partial),
                Some(sum) => {
                    if sum.merge(&partial).is_err() {
                        return Ok(Verdict::Unsound { member });
                    }
                }
            }
        }
        let sum = sum.ok_or_else(missing)?;
        let mut body = Vec::new();
        sum.write_to(&mut body);
        let digest = wire::digest(&body);
        self.sum = Some((round, Bytes::from(body)));
        verdict(&sum, digest).ok_or_else(missing)
    }

    fn note(&mut self, text: String) {
        self.hub.journal.happened(&self.name, Kind::Note, text.clone());
        let _ = self.updates.send(Update::Note(text));
    }

    fn write(&mut self, entry: &Entry) -> Result<(), RunnerError> {
        self.history.apply(entry).map_err(RunnerError::History)?;
        self.record.append(entry)?;
        self.syncer.ask();
        Ok(())
    }

    fn close_round(&mut self, redo: bool) {
        self.sum = None;
        self.payloads.clear();
        let now = Instant::now();
        self.tallies.decided(redo, now);
        let spending = Some(self.tallies.spending());
        if let Some(last) = self.last_commit.filter(|_| !redo) {
            let ms = now.duration_since(last).as_secs_f64() * 1e3;
            self.status.send_modify(|status| {
                status.spending = spending;
                let old = status.step_ms;
                status.step_ms = if old == 0.0 { ms } else { 0.9 * old + 0.1 * ms };
            });
        }
        self.last_commit = Some(now);
    }
}
