//! Between messages and the words of the state machine.

use std::error::Error;

use bytes::Bytes;
use prost::Message;
use snel_core::chunks::ChunkSet;
use snel_proto::v1;
use tonic::{Code, Status};
use xxhash_rust::xxh3::xxh3_128;

use crate::machine::{Digest, Outcome, RoundId};

/// Digest of a body.
pub(crate) fn digest(body: &[u8]) -> Digest {
    xxh3_128(body)
}

pub(crate) fn digest_to_wire(digest: Digest) -> Bytes {
    Bytes::copy_from_slice(&digest.to_le_bytes())
}

/// None unless it has 16 bytes.
pub(crate) fn digest_from_wire(bytes: &[u8]) -> Option<Digest> {
    Some(Digest::from_le_bytes(bytes.try_into().ok()?))
}

pub(crate) fn round_to_wire(round: RoundId, epoch: u64) -> v1::Round {
    v1::Round { epoch, step: round.step, attempt: round.attempt }
}

pub(crate) fn round_from_wire(round: Option<v1::Round>) -> RoundId {
    let round = round.unwrap_or_default();
    RoundId { step: round.step, attempt: round.attempt }
}

pub(crate) fn chunks_to_wire(chunks: &ChunkSet) -> Vec<v1::ChunkRange> {
    chunks.ranges().map(|r| v1::ChunkRange { start: r.start, end: r.end }).collect()
}

/// None unless the ranges are ascending and apart.
pub(crate) fn chunks_from_wire(ranges: &[v1::ChunkRange]) -> Option<ChunkSet> {
    ChunkSet::from_ranges(ranges.iter().map(|r| r.start..r.end))
}

pub(crate) fn outcome_to_wire(outcome: Outcome) -> v1::Outcome {
    match outcome {
        Outcome::Finished => v1::Outcome::Finished,
        Outcome::StoppedEarly => v1::Outcome::StoppedEarly,
        Outcome::Interrupted => v1::Outcome::Interrupted,
    }
}

pub(crate) fn outcome_from_wire(outcome: v1::Outcome) -> Option<Outcome> {
    match outcome {
        v1::Outcome::Finished => Some(Outcome::Finished),
        v1::Outcome::StoppedEarly => Some(Outcome::StoppedEarly),
        v1::Outcome::Interrupted => Some(Outcome::Interrupted),
        v1::Outcome::Unspecified => None,
    }
}

/// An error with its chain of causes.
pub(crate) fn error_to_wire(code: &str, error: &dyn Error, hint: Option<String>) -> v1::Error {
    let causes = std::iter::successors(error.source(), |e| (*e).source());
    v1::Error {
        code: code.to_owned(),
        message: error.to_string(),
        hint: hint.unwrap_or_default(),
        causes: causes.map(ToString::to_string).collect(),
        ..v1::Error::default()
    }
}

/// Message and causes in one line.
pub fn error_text(error: &v1::Error) -> String {
    let mut text = error.message.clone();
    for cause in &error.causes {
        text.push_str(": ");
        text.push_str(cause);
    }
    text
}

/// How an [`v1::Error`] is named among the details of a status.
const ERROR_TYPE: &str = "type.googleapis.com/snel.v1.Error";
/// Characters of a status's text: it travels in a header, twice, and headers are short.
const STATUS_TEXT: usize = 2000;

/// A status that says `error` in a sentence and carries it as a detail, in the way of
/// `google.rpc.Status`.
pub(crate) fn refusal(code: Code, mut error: v1::Error) -> Status {
    let message: String = error_text(&error).chars().take(STATUS_TEXT).collect();
    let mut left = STATUS_TEXT;
    let texts = [&mut error.message, &mut error.hint].into_iter().chain(&mut error.causes);
    for text in texts {
        *text = text.chars().take(left).collect();
        left -= text.chars().count();
    }
    error.causes.retain(|cause| !cause.is_empty());
    let detail = prost_types::Any { type_url: ERROR_TYPE.to_owned(), value: error.encode_to_vec() };
    let status = tonic_types::pb::Status {
        code: code.into(),
        message: message.clone(),
        details: vec![detail],
    };
    Status::with_details(code, message, status.encode_to_vec().into())
}

/// What a status carries, or else what it says.
pub fn error_of(status: &Status) -> v1::Error {
    let details = tonic_types::pb::Status::decode(status.details());
    let details = details.map(|status| status.details).unwrap_or_default();
    let error = details.iter().find(|any| any.type_url == ERROR_TYPE);
    error.and_then(|any| v1::Error::decode(&*any.value).ok()).unwrap_or_else(|| v1::Error {
        message: status.message().to_owned(),
        ..v1::Error::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_carries_its_error() {
        let error = v1::Error {
            code: "data_unreadable".to_owned(),
            message: "cannot read rows".to_owned(),
            hint: "look at the file".to_owned(),
            causes: vec!["the disk".to_owned(), "a cable".to_owned()],
            worker: "w1".to_owned(),
            epoch: 3,
            step: 17,
            ..v1::Error::default()
        };
        let status = refusal(Code::DataLoss, error.clone());
        assert_eq!(status.message(), "cannot read rows: the disk: a cable");
        assert_eq!(error_of(&status), error);
        let bare = Status::internal("words alone");
        assert_eq!(error_of(&bare).message, "words alone");
        let foreign =
            Status::with_details(Code::Internal, "words", Bytes::from_static(b"\xff\x01"));
        assert_eq!(error_of(&foreign).message, "words");
    }

    /// Headers of more than 16 KiB are refused by most peers.
    #[test]
    fn a_long_story_is_cut() {
        let error = v1::Error {
            message: "ü".repeat(1500),
            causes: vec!["cause".repeat(300); 50],
            ..v1::Error::default()
        };
        let status = refusal(Code::Internal, error);
        assert!(status.message().chars().count() <= STATUS_TEXT);
        assert!(status.details().len() < 10_000, "{}", status.details().len());
        assert_eq!(error_of(&status).causes.len(), 1);
    }
}
