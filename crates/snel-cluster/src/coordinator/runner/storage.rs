//! A run's folder: states that members start from, and what they send to be kept.

use std::path::Path;
use std::time::Instant;

use bytes::Bytes;
use snel_proto::v1;
use snel_proto::v1::work_response::Message;
use snel_train::checkpoint::{Checkpoint, Checkpoints};
use snel_train::file::write_atomically;
use snel_train::metrics::Record as MetricRecord;
use snel_train::model_file::ModelFile;

use super::{Runner, RunnerError};
use crate::coordinator::status::Update;
use crate::frame::{self, Label};
use crate::machine::{Event, MemberId, Outcome};

/// Why a run of which all steps are done may have failed all the same.
pub(in crate::coordinator) const NO_MODEL: &str =
    "the bound on the validation rows was never finite: no model to keep";

/// Makes the best model the model of a finished run, and tells its step; none if there is no best.
/// A coordinator that was killed over it is followed by one that does it again.
pub(in crate::coordinator) fn make_model(
    checkpoints: &Checkpoints,
    path: &Path,
) -> Result<Option<u64>, RunnerError> {
    if !checkpoints.best().exists() {
        return Ok(None);
    }
    let model = ModelFile::load(&checkpoints.best())?;
    model.save(path)?;
    Ok(Some(model.header.step))
}

impl Runner {
    pub(super) fn start_from_disk(
        &mut self,
        members: &[MemberId],
        step: u64,
    ) -> Result<(), RunnerError> {
        let newest = self.checkpoints.newest()?;
        match newest.filter(|(checkpoint, _)| checkpoint.state.step == step && step > 0) {
            Some((checkpoint, _)) => {
                let body = Bytes::from(checkpoint.to_bytes()?);
                self.start(members, Some(&body));
            }
            None => self.start(members, None),
        }
        Ok(())
    }

    /// Gives members a state to start from.
    pub(super) fn start(&self, members: &[MemberId], body: Option<&Bytes>) {
        let start = v1::Start {
            run: self.name.clone(),
            fresh: body.is_none(),
            stored_best: self.stored_best,
            stored_checkpoint: self.stored_checkpoint,
        };
        let label = Label { run: self.name.clone(), ..Label::default() };
        for &member in members {
            if let (Some(link), Some(body)) = (self.links.get(&member), body) {
                link.outbox.make_room(body.len());
            }
            self.send(member, Message::Start(start.clone()));
            for frame in body.into_iter().flat_map(|body| frame::split(&label, body)) {
                self.send(member, Message::State(frame));
            }
        }
    }

    /// Puts a file of the run on the disk and tells the workers.
    pub(super) fn keep(
        &mut self,
        kind: v1::ArtifactKind,
        step: u64,
        body: &Bytes,
    ) -> Result<(), RunnerError> {
        match kind {
            v1::ArtifactKind::Checkpoint => {
                let path = self.checkpoints.path(step);
                // Read before it is kept: nobody's word is taken for a file's soundness.
                let checkpoint = Checkpoint::from_bytes(&path, body)?;
                // The disk must not know a state of which the record does not know the steps.
                self.record.sync()?;
                self.checkpoints.keep(&checkpoint)?;
                self.stored_checkpoint = self.stored_checkpoint.max(Some(step));
                self.event(Event::CheckpointStored { step })?;
            }
            v1::ArtifactKind::Best => {
                let path = self.checkpoints.best();
                ModelFile::from_bytes(&path, body)?;
                write_atomically(&path, body)?;
                self.stored_best = self.stored_best.max(Some(step));
            }
            v1::ArtifactKind::Unspecified => return Ok(()),
        }
        let members: Vec<MemberId> = self.links.keys().copied().collect();
        self.tell_stored(&members);
        Ok(())
    }

    /// Tells members what is on the disk. Those who come back may have missed it, and wait for it.
    pub(super) fn tell_stored(&self, members: &[MemberId]) {
        let checkpoint = (v1::ArtifactKind::Checkpoint, self.stored_checkpoint);
        for (kind, step) in [checkpoint, (v1::ArtifactKind::Best, self.stored_best)] {
            let Some(step) = step else { continue };
            let stored = v1::Stored { kind: kind.into(), step };
            members.iter().for_each(|&m| self.send(m, Message::Stored(stored)));
        }
    }

    pub(super) fn metrics(&mut self, json: String) -> Result<(), RunnerError> {
        // What is no record is a worker's fault, and no reason to stop the run.
        let Ok(record) = serde_json::from_str::<MetricRecord>(&json) else { return Ok(()) };
        let last = match &record {
            MetricRecord::Step(_) => &mut self.last_step_record,
            MetricRecord::Validation(_) => &mut self.last_validation,
        };
        if last.is_some_and(|last| record.step() <= last) {
            return Ok(());
        }
        *last = Some(record.step());
        for sink in &mut self.sinks {
            sink.record(&record)?;
        }
        if let MetricRecord::Validation(validation) = &record {
            self.inside.send_modify(|inside| inside.validation = Some(validation.clone()));
        }
        self.hub.journal.record(&self.name, record);
        let _ = self.updates.send(Update::Record(json));
        Ok(())
    }

    /// Makes the model of a finished run and tells everyone.
    pub(super) fn end(
        &mut self,
        outcome: Result<Outcome, String>,
        step: u64,
    ) -> Result<(), RunnerError> {
        let mut model_step = 0;
        let (phase, error) = match outcome {
            Ok(Outcome::Interrupted) => (v1::RunPhase::Cancelled, None),
            Ok(_) => match make_model(&self.checkpoints, &self.model_path)? {
                Some(step) => {
                    model_step = step;
                    (v1::RunPhase::Finished, None)
                }
                None => (v1::RunPhase::Failed, Some(NO_MODEL.to_owned())),
            },
            Err(error) => (v1::RunPhase::Failed, Some(error)),
        };
        self.status.send_modify(|status| {
            status.phase = phase.into();
            status.step = step;
            status.model_step = model_step;
            status.error = error.map(|message| v1::Error {
                code: "run_failed".to_owned(),
                message,
                run: status.run.clone(),
                step,
                ..v1::Error::default()
            });
        });
        self.tallies.ended(Instant::now());
        self.tell_phase(v1::RunPhase::Unspecified);
        self.hub.ended(&self.name);
        Ok(())
    }
}
