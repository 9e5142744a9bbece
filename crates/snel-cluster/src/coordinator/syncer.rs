//! The record's way to the disk, behind the run's back.

use tokio::sync::mpsc;

use crate::coordinator::runner::RunnerError;
use crate::record::Record;

/// Brings the record to the disk behind the run's back, again and again while there is news.
pub(super) struct Syncer {
    ask: Option<mpsc::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Syncer {
    /// Starts the thread.
    ///
    /// # Errors
    /// [`RunnerError`].
    pub(super) fn start(record: &Record) -> Result<Self, RunnerError> {
        let handle = record.sync_handle()?;
        let (ask, mut asked) = mpsc::channel(1);
        let thread = std::thread::Builder::new().name("snel-sync".to_owned()).spawn(move || {
            while asked.blocking_recv().is_some() {
                // A disk that fails here fails at the next append, too, and ends the run there.
                let _ = handle.sync();
            }
        });
        Ok(Self { ask: Some(ask), thread: Some(thread.map_err(RunnerError::Thread)?) })
    }

    /// There is news.
    pub(super) fn ask(&self) {
        // One that waits already will see what was just written.
        let _ = self.ask.as_ref().map(|ask| ask.try_send(()));
    }

    /// Waits until all is on the disk.
    pub(super) fn finish(&mut self) {
        self.ask = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
