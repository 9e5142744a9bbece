//! The users' service: runs and workers.

use std::path::{Component, Path};
use std::pin::Pin;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use snel_proto::v1;
use snel_proto::v1::control_service_server::ControlService;
use tokio::io::AsyncReadExt;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request, Response, Status};

use crate::coordinator::hub::Hub;
use crate::coordinator::runner::Input;
use crate::coordinator::runs::{Runs, SubmitError};
use crate::coordinator::sight;
use crate::coordinator::status::Update;
use crate::machine::Event;
use crate::wire;

/// Bytes of a piece of a fetched file.
const PIECE: usize = 1 << 20;
/// Updates that may wait for a watcher.
const WATCHED: usize = 256;

/// Serves users.
pub(super) struct Control {
    pub(super) hub: Arc<Hub>,
    pub(super) runs: Arc<Runs>,
}

impl Control {
    fn status(&self, run: &str) -> Result<v1::RunStatus, Status> {
        let view = self.hub.view(run).ok_or_else(|| no_run(run))?;
        let status = view.status.borrow().clone();
        Ok(v1::RunStatus { workers_wanted: self.hub.wanted(run), ..status })
    }

    fn tell(&self, run: &str, event: Event) -> Result<v1::RunStatus, Status> {
        let inbox = self.hub.run_inbox(run).ok_or_else(|| no_run(run))?;
        inbox.put(Input::Event(event));
        self.status(run)
    }
}

fn no_run(run: &str) -> Status {
    let error = v1::Error {
        code: "no_such_run".to_owned(),
        message: format!("there is no run {run:?}"),
        hint: "`snel run list` (ListRuns) tells which there are".to_owned(),
        ..v1::Error::default()
    };
    wire::refusal(Code::NotFound, error)
}

type Watched = Pin<Box<dyn Stream<Item = Result<v1::WatchResponse, Status>> + Send>>;
type Fetched = Pin<Box<dyn Stream<Item = Result<v1::FetchResponse, Status>> + Send>>;

#[tonic::async_trait]
impl ControlService for Control {
    type WatchStream = Watched;
    type FetchStream = Fetched;

    async fn submit(
        &self,
        request: Request<v1::SubmitRequest>,
    ) -> Result<Response<v1::SubmitResponse>, Status> {
        let request = request.into_inner();
        let runs = self.runs.clone();
        let name = request.run.clone();
        let submitted = tokio::task::spawn_blocking(move || runs.submit(&request)).await;
        submitted.map_err(|e| Status::internal(e.to_string()))?.map_err(|error| {
            let (code, word) = match error {
                SubmitError::Exists(_) => (Code::AlreadyExists, "run_exists"),
                SubmitError::Name(_) => (Code::InvalidArgument, "bad_name"),
                SubmitError::Config(_) => (Code::InvalidArgument, "bad_config"),
                SubmitError::Folder(_) => (Code::FailedPrecondition, "bad_folder"),
                SubmitError::Runner(_) | SubmitError::File(_) => (Code::Internal, "no_storage"),
            };
            let hint = error.hint();
            let error = wire::error_to_wire(word, &error, hint);
            wire::refusal(code, v1::Error { run: name.clone(), ..error })
        })?;
        Ok(Response::new(v1::SubmitResponse { run: Some(self.status(&name)?) }))
    }

    async fn list_runs(
        &self,
        _: Request<v1::ListRunsRequest>,
    ) -> Result<Response<v1::ListRunsResponse>, Status> {
        let runs = self.hub.views().into_iter().map(|(_, workers_wanted, view)| {
            let status = view.status.borrow().clone();
            v1::RunStatus { workers_wanted, ..status }
        });
        Ok(Response::new(v1::ListRunsResponse { runs: runs.collect() }))
    }

    async fn get_run(
        &self,
        request: Request<v1::GetRunRequest>,
    ) -> Result<Response<v1::GetRunResponse>, Status> {
        let run = Some(self.status(&request.into_inner().run)?);
        Ok(Response::new(v1::GetRunResponse { run }))
    }

    async fn watch(&self, request: Request<v1::WatchRequest>) -> Result<Response<Watched>, Status> {
        let run = request.into_inner().run;
        let view = self.hub.view(&run).ok_or_else(|| no_run(&run))?;
        let (tx, rx) = mpsc::channel(WATCHED);
        let mut updates = view.updates.subscribe();
        let mut status = view.status;
        status.mark_changed();
        tokio::spawn(async move {
            use v1::watch_response::Update as Wire;
            loop {
                let (update, over) = tokio::select! {
                    biased;
                    update = updates.recv() => match update {
                        Ok(Update::Record(json)) => (Wire::Record(json), false),
                        Ok(Update::Note(text)) => (Wire::Note(text), false),
                        Err(RecvError::Lagged(n)) => {
                            (Wire::Note(format!("{n} updates were skipped: the watcher is slow")), false)
                        }
                        Err(RecvError::Closed) => break,
                    },
                    changed = status.changed() => {
                        if changed.is_err() {
                            break;
                        }
                        let now = status.borrow_and_update().clone();
                        let over = is_over(now.phase());
                        (Wire::Status(now), over)
                    }
                };
                let response = v1::WatchResponse { update: Some(update) };
                if tx.send(Ok(response)).await.is_err() || over {
                    break;
                }
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(rx))))
    }

    async fn pause(
        &self,
        request: Request<v1::PauseRequest>,
    ) -> Result<Response<v1::PauseResponse>, Status> {
        let run = Some(self.tell(&request.into_inner().run, Event::Pause)?);
        Ok(Response::new(v1::PauseResponse { run }))
    }

    async fn resume(
        &self,
        request: Request<v1::ResumeRequest>,
    ) -> Result<Response<v1::ResumeResponse>, Status> {
        let run = Some(self.tell(&request.into_inner().run, Event::Resume)?);
        Ok(Response::new(v1::ResumeResponse { run }))
    }

    async fn cancel(
        &self,
        request: Request<v1::CancelRequest>,
    ) -> Result<Response<v1::CancelResponse>, Status> {
        let run = Some(self.tell(&request.into_inner().run, Event::Stop)?);
        Ok(Response::new(v1::CancelResponse { run }))
    }

    async fn scale(
        &self,
        request: Request<v1::ScaleRequest>,
    ) -> Result<Response<v1::ScaleResponse>, Status> {
        let v1::ScaleRequest { run, workers } = request.into_inner();
        self.status(&run)?;
        self.hub.scale(&run, workers);
        self.runs.remember(&run, workers);
        Ok(Response::new(v1::ScaleResponse { run: Some(self.status(&run)?) }))
    }

    async fn list_workers(
        &self,
        _: Request<v1::ListWorkersRequest>,
    ) -> Result<Response<v1::ListWorkersResponse>, Status> {
        let workers = sight::workers(&self.hub);
        Ok(Response::new(v1::ListWorkersResponse { workers }))
    }

    async fn drain(
        &self,
        request: Request<v1::DrainRequest>,
    ) -> Result<Response<v1::DrainResponse>, Status> {
        let worker = request.into_inner().worker;
        if self.hub.drain_by_name(&worker) {
            return Ok(Response::new(v1::DrainResponse {}));
        }
        let error = v1::Error {
            code: "no_such_worker".to_owned(),
            message: format!("there is no worker {worker:?}"),
            hint: "`snel worker-list` (ListWorkers) tells which there are".to_owned(),
            ..v1::Error::default()
        };
        Err(wire::refusal(Code::NotFound, error))
    }

    async fn fetch(&self, request: Request<v1::FetchRequest>) -> Result<Response<Fetched>, Status> {
        let v1::FetchRequest { run, file } = request.into_inner();
        self.status(&run)?;
        let inside = Path::new(&file).components().all(|c| matches!(c, Component::Normal(_)));
        if !inside || file.is_empty() {
            return Err(Status::invalid_argument(format!("{file:?} is not in the run folder")));
        }
        let path = self.runs.folder(&run).join(&file);
        let missing = |e: std::io::Error| Status::not_found(format!("{file:?} of {run:?}: {e}"));
        let mut source = tokio::fs::File::open(&path).await.map_err(missing)?;
        let size = source.metadata().await.map_err(missing)?.len();
        let (tx, rx) = mpsc::channel(4);
        tokio::spawn(async move {
            loop {
                let mut piece = BytesMut::with_capacity(PIECE);
                let read = source.read_buf(&mut piece).await;
                let response = match read {
                    // An empty file is one empty message.
                    Ok(0) if size > 0 => return,
                    Ok(_) => Ok(v1::FetchResponse { data: Bytes::from(piece), size }),
                    Err(e) => Err(Status::internal(e.to_string())),
                };
                let end = size == 0 || response.is_err();
                if tx.send(response).await.is_err() || end {
                    return;
                }
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(rx))))
    }
}

/// A phase for people and documents.
pub fn phase_word(phase: v1::RunPhase) -> &'static str {
    match phase {
        v1::RunPhase::Unspecified => "unknown",
        v1::RunPhase::Waiting => "waiting",
        v1::RunPhase::Running => "running",
        v1::RunPhase::Paused => "paused",
        v1::RunPhase::Finished => "finished",
        v1::RunPhase::Cancelled => "cancelled",
        v1::RunPhase::Failed => "failed",
    }
}

/// True if nothing more will come of a run.
pub fn is_over(phase: v1::RunPhase) -> bool {
    matches!(phase, v1::RunPhase::Finished | v1::RunPhase::Cancelled | v1::RunPhase::Failed)
}
