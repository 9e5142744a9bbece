//! A run's folder: states that members start from, and what they send to be kept.

use std::time::Instant;

use bytes::Bytes;
use snel_proto::v1;
use snel_proto::v1::work_response::Message;
use snel_train::checkpoint::Checkpoint;
use snel_train::file::write_atomically;
use snel_train::metrics::Record as MetricRecord;
use snel_train::model_file::ModelFile;

use super::{Runner, RunnerError};
use crate::coordinator::status::Update;
use crate::frame::{self, Label};
use crate::machine::{Event, MemberId, Outcome};

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
        let stored = v1::Stored { kind: kind.into(), step };
        let members: Vec<MemberId> = self.links.keys().copied().collect();
        members.into_iter().for_each(|m| self.send(m, Message::Stored(stored)));
        Ok(())
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
            Ok(_) if !self.checkpoints.best().exists() => {
                let text = "the bound on the validation rows was never finite: no model to keep";
                (v1::RunPhase::Failed, Some(text.to_owned()))
            }
            Ok(_) => {
                let model = ModelFile::load(&self.checkpoints.best())?;
                model.save(&self.model_path)?;
                model_step = model.header.step;
                (v1::RunPhase::Finished, None)
            }
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
