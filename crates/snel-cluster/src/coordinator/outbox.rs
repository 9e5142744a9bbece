//! Messages on their way to a worker, bounded by their bytes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use snel_proto::v1;
use snel_proto::v1::work_response::Message;
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tokio_stream::{Stream, StreamExt};
use tonic::Status;

/// What a small message is counted as.
const SMALL: usize = 256;
/// Bytes that may always wait, however small the run.
const FLOOR: usize = 64 << 20;

/// The sending end. A worker that does not take its messages fills it, and is then cut off:
/// nobody else waits for it.
#[derive(Clone)]
pub(super) struct Outbox {
    tx: mpsc::UnboundedSender<(Result<v1::WorkResponse, Status>, usize)>,
    waiting: Arc<AtomicUsize>,
    limit: Arc<AtomicUsize>,
}

/// A connection's outbox and the stream that empties it.
pub(super) fn outbox() -> (Outbox, impl Stream<Item = Result<v1::WorkResponse, Status>> + Send) {
    let (tx, rx) = mpsc::unbounded_channel();
    let waiting = Arc::new(AtomicUsize::new(0));
    let outbox = Outbox { tx, waiting: waiting.clone(), limit: Arc::new(AtomicUsize::new(FLOOR)) };
    let stream = UnboundedReceiverStream::new(rx).map(move |(message, bytes)| {
        waiting.fetch_sub(bytes, Ordering::Relaxed);
        message
    });
    (outbox, stream)
}

impl Outbox {
    /// Room for bodies of `bytes`: a few of them may wait.
    pub(super) fn make_room(&self, bytes: usize) {
        self.limit.fetch_max(FLOOR + 4 * bytes, Ordering::Relaxed);
    }

    /// False if the worker is gone, or has let too much wait.
    pub(super) fn send(&self, message: Message) -> bool {
        let bytes = SMALL
            + match &message {
                Message::State(frame) | Message::Sum(frame) => frame.data.len(),
                Message::Assignment(assignment) => assignment.config.len(),
                _ => 0,
            };
        let before = self.waiting.fetch_add(bytes, Ordering::Relaxed);
        if before + bytes > self.limit.load(Ordering::Relaxed) {
            self.cut("it does not take its messages");
            return false;
        }
        self.tx.send((Ok(v1::WorkResponse { message: Some(message) }), bytes)).is_ok()
    }

    /// Ends the connection; the worker may dial again.
    pub(super) fn cut(&self, why: &str) {
        self.end(Status::unavailable(why));
    }

    /// Ends the connection for good.
    pub(super) fn refuse(&self, why: &str) {
        self.end(Status::failed_precondition(why));
    }

    /// Ends the connection with a status.
    pub(super) fn end(&self, status: Status) {
        let _ = self.tx.send((Err(status), 0));
    }
}
