//! Metrics and notes of a run, sent to the coordinator. All workers send the same; it keeps one.

use std::sync::{Arc, Mutex};

use snel_proto::v1;
use snel_proto::v1::work_request::Message as Out;
use snel_train::file::FileError;
use snel_train::metrics::Record;
use snel_train::sink::Sink;

use crate::worker::collective::lock;
use crate::worker::session::Session;

/// The coordinator listens.
pub(super) struct RemoteSink {
    pub(super) session: Arc<Mutex<Session>>,
}

impl Sink for RemoteSink {
    fn record(&mut self, record: &Record) -> Result<(), FileError> {
        let mut session = lock(&self.session);
        // Numbers and names only: this cannot fail.
        let json = serde_json::to_string(record).unwrap_or_default();
        let run = session.run_name();
        session.send(Out::Record(v1::MetricRecord { run, json }));
        Ok(())
    }

    fn note(&mut self, text: &str) {
        let mut session = lock(&self.session);
        let run = session.run_name();
        session.send(Out::Note(v1::Note { run, text: text.to_owned() }));
    }
}
