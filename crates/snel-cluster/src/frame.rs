//! Bodies of any size as messages of bounded size.
//!
//! Invariants
//! 1. The pieces of a body come in order and without others between; each carries its checksum.
//!    Whatever is out of place ends the connection: a diverged peer fails loudly.
//! 2. No more is kept of a body than the receiver said it would take.

use bytes::Bytes;
use snel_proto::v1;

/// Bytes of a frame's data, at most: a heartbeat waits behind no more than this.
const PIECE: usize = 1 << 20;

/// Bytes of a message on the wire, at most.
pub(crate) const MESSAGE_LIMIT: usize = PIECE + (64 << 10);

/// What every frame of a body says.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Label {
    /// The run.
    pub run: String,
    /// The round.
    pub round: v1::Round,
    /// Digest of the sender's state, or of nothing.
    pub digest: Bytes,
    /// Which file, if it is one.
    pub kind: v1::ArtifactKind,
}

/// Why frames do not make a body.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// A frame is missing, repeated, or of another body.
    #[error("frame {found} came where frame {expected} was due")]
    Sequence {
        /// What came.
        found: u32,
        /// What was due.
        expected: u32,
    },
    /// The frame is of another body.
    #[error("frame {0} is of another body than the frames before it")]
    Mixed(u32),
    /// Damaged on its way.
    #[error("the checksum of frame {0} is wrong")]
    Checksum(u32),
    /// Larger than anything that is expected here.
    #[error("a body of more than {limit} bytes")]
    TooLarge {
        /// The most that is taken.
        limit: usize,
    },
}

/// `body` in frames.
pub fn split(label: &Label, body: &Bytes) -> impl Iterator<Item = v1::Frame> {
    let pieces = body.len().div_ceil(PIECE).max(1);
    (0..pieces).map(move |i| {
        let data = body.slice(i * PIECE..((i + 1) * PIECE).min(body.len()));
        v1::Frame {
            run: label.run.clone(),
            round: Some(label.round),
            sequence: i as u32,
            last: i + 1 == pieces,
            checksum: crc32c::crc32c(&data),
            data,
            digest: label.digest.clone(),
            kind: label.kind.into(),
        }
    })
}

/// Puts one body after another together.
#[derive(Debug, Default)]
pub struct Assembler {
    label: Option<Label>,
    next: u32,
    body: Vec<u8>,
}

impl Assembler {
    /// Takes a frame; the body with its last one. `limit` is the most that a body may have.
    ///
    /// # Errors
    /// [`FrameError`]; what was gathered is lost.
    pub fn push(
        &mut self,
        frame: v1::Frame,
        limit: usize,
    ) -> Result<Option<(Label, Bytes)>, FrameError> {
        let result = self.take(frame, limit);
        if !matches!(result, Ok(None)) {
            *self = Self::default();
        }
        result
    }

    fn take(
        &mut self,
        frame: v1::Frame,
        limit: usize,
    ) -> Result<Option<(Label, Bytes)>, FrameError> {
        if frame.sequence != self.next {
            return Err(FrameError::Sequence { found: frame.sequence, expected: self.next });
        }
        if crc32c::crc32c(&frame.data) != frame.checksum {
            return Err(FrameError::Checksum(frame.sequence));
        }
        let label = Label {
            kind: frame.kind(),
            run: frame.run,
            round: frame.round.unwrap_or_default(),
            digest: frame.digest,
        };
        if *self.label.get_or_insert_with(|| label.clone()) != label {
            return Err(FrameError::Mixed(frame.sequence));
        }
        if self.body.len() + frame.data.len() > limit {
            return Err(FrameError::TooLarge { limit });
        }
        self.next += 1;
        if frame.last && self.body.is_empty() {
            return Ok(Some((label, frame.data))); // one frame: no copy
        }
        self.body.extend_from_slice(&frame.data);
        Ok(frame.last.then(|| (label, Bytes::from(std::mem::take(&mut self.body)))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(body: usize) -> Vec<v1::Frame> {
        let body = Bytes::from((0..body).map(|i| i as u8).collect::<Vec<_>>());
        let label = Label { run: "r".to_owned(), ..Label::default() };
        split(&label, &body).collect()
    }

    #[test]
    fn bodies_of_any_size_come_back() {
        for size in [0, 1, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE] {
            let mut assembler = Assembler::default();
            for _ in 0..2 {
                let mut body = None;
                for frame in frames(size) {
                    assert!(body.is_none());
                    body = assembler.push(frame, 3 * PIECE).unwrap();
                }
                let (label, body) = body.unwrap();
                assert_eq!((label.run.as_str(), body.len()), ("r", size));
                assert!(body.iter().enumerate().all(|(i, b)| *b == i as u8));
            }
        }
    }

    #[test]
    fn what_is_out_of_place_is_refused() {
        let whole = frames(2 * PIECE);
        let try_all = |frames: &[v1::Frame], limit| {
            let mut assembler = Assembler::default();
            frames.iter().try_for_each(|f| assembler.push(f.clone(), limit).map(drop))
        };
        let limit = 2 * PIECE;
        assert_eq!(try_all(&whole, limit), Ok(()));
        let [a, b] = &whole[..] else { panic!() };
        let repeated = [a.clone(), a.clone()];
        let sequence = FrameError::Sequence { found: 0, expected: 1 };
        assert_eq!(try_all(&repeated, limit), Err(sequence));
        let missing = FrameError::Sequence { found: 1, expected: 0 };
        assert_eq!(try_all(std::slice::from_ref(b), limit), Err(missing));
        assert_eq!(try_all(&whole, limit - 1), Err(FrameError::TooLarge { limit: limit - 1 }));
        let mut damaged = a.clone();
        damaged.checksum ^= 1;
        assert_eq!(try_all(&[damaged], limit), Err(FrameError::Checksum(0)));
        let mut foreign = b.clone();
        foreign.run = "s".to_owned();
        assert_eq!(try_all(&[a.clone(), foreign], limit), Err(FrameError::Mixed(1)));
    }
}
