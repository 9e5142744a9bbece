//! Where a worker's run is kept: at the coordinator, by way of the leader.
//!
//! All workers have the same checkpoint and the same best model at the same step; the leader
//! sends them, and all wait until they are on disk. If the leader is lost meanwhile, the next one
//! sends them.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use snel_core::collective::CollectiveError;
use snel_proto::v1;
use snel_proto::v1::ArtifactKind;
use snel_proto::v1::work_request::Message as Out;
use snel_proto::v1::work_response::Message as In;
use snel_train::checkpoint::Checkpoint;
use snel_train::model_file::ModelFile;
use snel_train::store::{Store, StoreError};

use crate::frame::Label;
use crate::worker::collective::lock;
use crate::worker::session::Session;

/// The coordinator's disk.
pub(super) struct RemoteStore {
    pub(super) session: Arc<Mutex<Session>>,
}

impl RemoteStore {
    fn keep(&self, kind: ArtifactKind, step: u64, body: &Bytes) -> Result<(), CollectiveError> {
        let mut session = lock(&self.session);
        let mut sent_in = None;
        let result = loop {
            if session.is_stored(kind, step) {
                break Ok(());
            }
            if session.is_leader() && sent_in != Some(session.epoch()) {
                sent_in = Some(session.epoch());
                let round = v1::Round { epoch: session.epoch(), step, attempt: 0 };
                let run = session.run_name();
                let label = Label { run, round, kind, ..Label::default() };
                session.send_body(&label, body, Out::Artifact);
            }
            match session.next() {
                Ok(In::Membership(_) | In::Stored(_)) => {}
                Ok(other) => session.hold(other),
                // The checkpoint that is asked for is the one being sent, or a later one.
                Err(CollectiveError::Stopped) => session.hold(In::Stop(v1::Stop {})),
                Err(error) => break Err(error),
            }
        };
        session.let_go();
        result
    }
}

impl Store for RemoteStore {
    fn save(&mut self, checkpoint: &Checkpoint) -> Result<(), StoreError> {
        let body = Bytes::from(checkpoint.to_bytes()?);
        Ok(self.keep(ArtifactKind::Checkpoint, checkpoint.state.step, &body)?)
    }

    fn save_best(&mut self, model: &ModelFile) -> Result<(), StoreError> {
        let body = Bytes::from(model.to_bytes()?);
        Ok(self.keep(ArtifactKind::Best, model.header.step, &body)?)
    }

    fn has_best(&self) -> bool {
        lock(&self.session).has_best()
    }

    fn boundary(&mut self, checkpoint: &dyn Fn() -> Checkpoint) -> Result<(), StoreError> {
        let mut session = lock(&self.session);
        if session.take_snapshot_wanted() {
            let checkpoint = checkpoint();
            let step = checkpoint.state.step;
            let body = Bytes::from(checkpoint.to_bytes()?);
            let round = v1::Round { epoch: session.epoch(), step, attempt: 0 };
            let label = Label { run: session.run_name(), round, ..Label::default() };
            session.send_body(&label, &body, Out::Snapshot);
        }
        Ok(())
    }
}
