//! The workers' service: from messages to events.
//!
//! Invariants
//! 1. A worker has at most a fixed number of messages waiting at its run: a flood stops at its own
//!    connection.
//! 2. What cannot be understood ends the connection with a status that says why; the run sees a
//!    lost worker and nothing else.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use snel_core::partial::Partial;
use snel_proto::v1;
use snel_proto::v1::work_request::Message;
use snel_proto::v1::work_service_server::WorkService;
use tokio::sync::Semaphore;
use tokio_stream::Stream;
use tonic::{Request, Response, Status, Streaming};

use crate::coordinator::hub::Hub;
use crate::coordinator::outbox::{Outbox, outbox};
use crate::coordinator::runner::Input;
use crate::frame::Assembler;
use crate::limits::{state_limit, sum_limit};
use crate::machine::{Digest, Event, GroupId, MemberId, Position, RoundId, Shape, Verdict};
use crate::wire;

/// Messages of one worker that may wait at its run.
const WAITING: usize = 64;
/// The most chunks that a step may have.
const CHUNKS: u32 = 1 << 26;
/// Bytes of an id by which members of a group find each other.
const GROUP_ID: usize = 128;
/// The most parameters.
const PARAMETERS: u64 = 1 << 34;

/// Serves workers.
pub(super) struct Work {
    pub(super) hub: Arc<Hub>,
}

type Responses = Pin<Box<dyn Stream<Item = Result<v1::WorkResponse, Status>> + Send>>;

#[tonic::async_trait]
impl WorkService for Work {
    type WorkStream = Responses;

    async fn work(
        &self,
        request: Request<Streaming<v1::WorkRequest>>,
    ) -> Result<Response<Responses>, Status> {
        let mut requests = request.into_inner();
        let Some(v1::WorkRequest { message: Some(Message::Hello(hello)) }) =
            requests.message().await?
        else {
            return Err(Status::invalid_argument("a worker's first message is Hello"));
        };
        let (outbox, responses) = outbox();
        let welcome = v1::Welcome {
            incarnation: self.hub.incarnation,
            beat_ms: (self.hub.budget.as_millis() / 8).max(1) as u32,
        };
        outbox.send(v1::work_response::Message::Welcome(welcome));
        let name = hello.name.clone();
        let member = self.hub.enter(hello, outbox.clone()).inspect_err(|status| {
            self.hub.complain(&name, status.message());
        })?;
        let hub = self.hub.clone();
        tokio::spawn(async move {
            let mut connection = Connection::new(hub.clone(), member, outbox);
            let end = loop {
                match requests.message().await {
                    Ok(Some(v1::WorkRequest { message: Some(message) })) => {
                        if let Err(status) = connection.take(message).await {
                            break Some(status);
                        }
                    }
                    // A field of a newer version.
                    Ok(Some(_)) => {}
                    Ok(None) | Err(_) => break None,
                }
            };
            if let Some(status) = end {
                hub.complain(&name, status.message());
                connection.outbox.end(connection.explained(&status, name));
            }
            hub.leave(member);
        });
        Ok(Response::new(Box::pin(responses)))
    }
}

/// One worker's connection.
struct Connection {
    hub: Arc<Hub>,
    member: MemberId,
    outbox: Outbox,
    waiting: Arc<Semaphore>,
    shape: Option<Shape>,
    /// Run and round that its last message was about.
    place: (String, v1::Round),
    partial: Assembler,
    snapshot: Assembler,
    artifact: Assembler,
}

impl Connection {
    fn new(hub: Arc<Hub>, member: MemberId, outbox: Outbox) -> Self {
        Self {
            hub,
            member,
            outbox,
            waiting: Arc::new(Semaphore::new(WAITING)),
            shape: None,
            place: Default::default(),
            partial: Assembler::default(),
            snapshot: Assembler::default(),
            artifact: Assembler::default(),
        }
    }

    /// A status with all that is known of where it came to it.
    fn explained(&self, status: &Status, worker: String) -> Status {
        let (run, v1::Round { epoch, step, .. }) = self.place.clone();
        let message = status.message().to_owned();
        let code = "protocol_broken".to_owned();
        let error = v1::Error { code, message, run, worker, epoch, step, ..v1::Error::default() };
        wire::refusal(status.code(), error)
    }

    fn stands_at(&mut self, run: &str, round: Option<v1::Round>) {
        self.place = (run.to_owned(), round.unwrap_or_default());
    }

    async fn take(&mut self, message: Message) -> Result<(), Status> {
        let member = self.member;
        self.hub.heard(member);
        let (run, input) = match message {
            Message::Hello(_) => return Err(Status::failed_precondition("a second Hello")),
            Message::Beat(beat) => {
                (None, Input::Event(Event::Beat { member, progress: beat.progress }))
            }
            Message::Leave(_) => {
                self.hub.drain(member);
                return Ok(());
            }
            Message::Prepared(prepared) => self.prepared(prepared)?,
            Message::Arrived(arrived) => {
                self.stands_at(&arrived.run, arrived.round);
                let position = Position {
                    round: wire::round_from_wire(arrived.round),
                    kept: wire::chunks_from_wire(&arrived.kept).ok_or_else(bad_chunks)?,
                    sum: match &arrived.sum[..] {
                        [] => None,
                        sum => Some(wire::digest_from_wire(sum).ok_or_else(bad_digest)?),
                    },
                };
                (Some(arrived.run), Input::Event(Event::Arrived { member, position }))
            }
            Message::Partial(frame) => match self.partial(frame)? {
                Some(done) => done,
                None => return Ok(()),
            },
            Message::Ready(ready) => {
                self.stands_at(&ready.run, ready.round);
                let round = wire::round_from_wire(ready.round);
                let digest = wire::digest_from_wire(&ready.digest).ok_or_else(bad_digest)?;
                let event = said_ready(member, round, digest, &ready);
                (Some(ready.run), Input::Event(event))
            }
            Message::Snapshot(frame) => {
                self.stands_at(&frame.run, frame.round);
                let limit = state_limit(self.shape()?);
                let Some((label, body)) = self.snapshot.push(frame, limit).map_err(bad_frame)?
                else {
                    return Ok(());
                };
                (Some(label.run), Input::Snapshot { member, step: label.round.step, body })
            }
            Message::Artifact(frame) => {
                self.stands_at(&frame.run, frame.round);
                let limit = state_limit(self.shape()?);
                let Some((label, body)) = self.artifact.push(frame, limit).map_err(bad_frame)?
                else {
                    return Ok(());
                };
                let (kind, step) = (label.kind, label.round.step);
                (Some(label.run), Input::Artifact { kind, step, body })
            }
            Message::Record(record) => (Some(record.run), Input::Metrics(record.json)),
            Message::Note(note) => {
                let text = note.text.chars().filter(|c| !c.is_control()).take(2000).collect();
                (Some(note.run), Input::Note { member, text })
            }
            Message::Finished(finished) => {
                let outcome = wire::outcome_from_wire(finished.outcome())
                    .ok_or_else(|| Status::invalid_argument("Finished without an outcome"))?;
                let event = Event::Finished { member, step: finished.step, outcome };
                (Some(finished.run), Input::Event(event))
            }
            Message::GroupId(v1::GroupId { run, group, id }) => {
                if id.len() != GROUP_ID {
                    return Err(Status::invalid_argument("an id of a group has 128 bytes"));
                }
                (Some(run), Input::GroupId { member, group: GroupId(group), id })
            }
            Message::GroupReady(v1::GroupReady { run, group }) => {
                (Some(run), Input::Event(Event::GroupReady { member, group: GroupId(group) }))
            }
            Message::GroupFailed(v1::GroupFailed { run, group, error }) => {
                let why = told(&error.unwrap_or_default());
                let event = Event::GroupFailed { member, group: GroupId(group), why };
                (Some(run), Input::Event(event))
            }
            Message::Failed(failed) => {
                let error = failed.error.unwrap_or_default();
                let why = told(&error);
                let event = Event::Failed { member, fatal: error.fatal, why };
                (Some(failed.run), Input::Event(event))
            }
        };
        let Ok(permit) = self.waiting.clone().acquire_owned().await else { return Ok(()) };
        // Messages about a run that it left meanwhile are late, not wrong.
        if let Some(inbox) = self.hub.inbox(member, run.as_deref()) {
            inbox.put_permitted(input, permit);
        }
        Ok(())
    }

    fn prepared(&mut self, prepared: v1::Prepared) -> Result<(Option<String>, Input), Status> {
        let v1::Prepared { run, parameters, chunks, carried, chains, .. } = prepared;
        let v1::Prepared { problem, fingerprint, has_state, nccl, .. } = prepared;
        if parameters == 0 || parameters > PARAMETERS || chunks == 0 || chunks > CHUNKS {
            return Err(Status::invalid_argument(format!(
                "{parameters} parameters in {chunks} chunks are no model"
            )));
        }
        if carried > chains || chains > PARAMETERS {
            return Err(Status::invalid_argument(format!(
                "steps that move {carried} of {chains} values of chains are none"
            )));
        }
        let shape = Shape { parameters, chunks, carried, chains, problem, fingerprint };
        self.shape = Some(shape.clone());
        let event = Event::Prepared { member: self.member, shape, has_state, nccl };
        Ok((Some(run), Input::Event(event)))
    }

    /// A frame of a partial; with the last one its sums.
    fn partial(&mut self, frame: v1::Frame) -> Result<Option<(Option<String>, Input)>, Status> {
        self.stands_at(&frame.run, frame.round);
        let limit = sum_limit(self.shape()?);
        let Some((label, body)) = self.partial.push(frame, limit).map_err(bad_frame)? else {
            return Ok(None);
        };
        let partial =
            Partial::from_bytes(&body).map_err(|e| Status::invalid_argument(e.to_string()))?;
        let shape = self.shape()?;
        if partial.carries() != shape.carried {
            return Err(Status::invalid_argument(format!(
                "sums of a step that carries {} words; the run's steps carry {}",
                partial.carries(),
                shape.carried
            )));
        }
        if partial.parameters() as u64 != shape.parameters || partial.n_chunks() != shape.chunks {
            return Err(Status::invalid_argument(format!(
                "sums over {} parameters of {} chunks; the model has {} and {}",
                partial.parameters(),
                partial.n_chunks(),
                shape.parameters,
                shape.chunks
            )));
        }
        let digest = wire::digest_from_wire(&label.digest).ok_or_else(bad_digest)?;
        let (member, bytes, partial) = (self.member, body.len() as u64, Box::new(partial));
        let round = wire::round_from_wire(Some(label.round));
        Ok(Some((Some(label.run), Input::Partial { member, round, digest, bytes, partial })))
    }

    fn shape(&self) -> Result<&Shape, Status> {
        self.shape.as_ref().ok_or_else(|| Status::failed_precondition("a body before Prepared"))
    }
}

/// A member holds a sum: the coordinator's, or that of its group.
fn said_ready(member: MemberId, round: RoundId, digest: Digest, ready: &v1::Ready) -> Event {
    if ready.group == 0 {
        return Event::Ready { member, round, digest };
    }
    let verdict = if ready.redo {
        Verdict::Redo { digest }
    } else {
        Verdict::Step { digest, refused: ready.refused }
    };
    let took = Duration::from_micros(ready.took_us);
    Event::Reduced { member, group: GroupId(ready.group), round, verdict, took }
}

/// What a worker says of its error, for people.
fn told(error: &v1::Error) -> String {
    let why = wire::error_text(error);
    if error.hint.is_empty() { why } else { format!("{why} (hint: {})", error.hint) }
}

fn bad_frame(error: crate::frame::FrameError) -> Status {
    Status::data_loss(error.to_string())
}

fn bad_chunks() -> Status {
    Status::invalid_argument("ranges of chunks that are empty, or not ascending")
}

fn bad_digest() -> Status {
    Status::invalid_argument("a digest has 16 bytes")
}
