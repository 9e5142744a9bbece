//! Between messages and the words of the state machine.

use std::error::Error;

use bytes::Bytes;
use snel_core::chunks::ChunkSet;
use snel_proto::v1;
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
