//! A step's sums as words that NCCL can add.
//!
//! First the words of [`Partial::write_words`], which add. Then a slot for every rank, in which that
//! rank writes and all others leave zeros: the sum of the slots is a copy of them all. So what is
//! no sum travels in the same reduction: the largest magnitude and `u`, whose maximum each rank
//! takes itself, and the rank's [`Opinion`] of what is being summed. One reduction is half the wait
//! of two, and a rank that has gone astray is found, and named, before its sums are used.
//!
//! | words | what |
//! |---|---|
//! | `p`, and once more if samples are apart | the gradient: what an engine has on the GPU |
//! | 208 | statistics |
//! | 7 a rank | largest magnitude, largest `u` (bits), step, scale, assignment, state (2) |
//!
//! Invariants
//! 1. The sum of the words of all ranks unpacks to the partial of all chunks: the bytes of one
//!    worker who computed them all.
//! 2. It unpacks only if all ranks were of one opinion.

use snel_core::chunks::ChunkSet;
use snel_core::partial::{Extremes, Partial, PartialDecodeError};
use snel_core::plan::StepPlan;
use xxhash_rust::xxh3::Xxh3;

use crate::nccl::communicator::Place;

/// Words of a rank's slot.
const SLOT: usize = 7;

/// What a rank believes that all sum. Sums of different steps, scales, shares or states must not be
/// added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opinion {
    step: u32,
    scale: i32,
    /// Digest of who computes what.
    assignment: u64,
    /// Digest of the training state before the step.
    state: u128,
}

/// Why the words of all ranks are no sum of a step.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UnpackError {
    /// A rank sums something else.
    #[error("rank {rank} has another {what} than rank {mine}: its sums do not belong to this step")]
    Opinion {
        /// Which rank.
        rank: u32,
        /// Who says so.
        mine: u32,
        /// In what it differs.
        what: &'static str,
    },
    /// The numbers cannot be sums.
    #[error("the sum that NCCL returned is none")]
    Words(#[from] PartialDecodeError),
}

impl Opinion {
    /// Of a rank in `state` ([`snel_core::engine::Engine::digest`]) that takes part in `plan`, of
    /// which each rank computes its share.
    pub fn new(plan: &StepPlan, shares: &[ChunkSet], state: u128) -> Self {
        let mut digest = Xxh3::new();
        digest.update(&plan.n_chunks().to_le_bytes());
        for share in shares {
            digest.update(&(share.ranges().len() as u32).to_le_bytes());
            for range in share.ranges() {
                digest.update(&range.start.to_le_bytes());
                digest.update(&range.end.to_le_bytes());
            }
        }
        Self { step: plan.step, scale: plan.scale, assignment: digest.digest(), state }
    }

    /// In what `other` differs.
    fn differs(&self, other: &Self) -> Option<&'static str> {
        if self.step != other.step {
            Some("step")
        } else if self.scale != other.scale {
            Some("scale")
        } else if self.assignment != other.assignment {
            Some("assignment of chunks")
        } else if self.state != other.state {
            Some("state")
        } else {
            None
        }
    }
}

/// The words.
#[derive(Debug, Clone, Default)]
pub struct PackedPartial {
    words: Vec<i64>,
}

impl PackedPartial {
    /// How many words the sums of a step like `partial` are, between `world` ranks.
    pub fn n_words(partial: &Partial, world: u32) -> usize {
        partial.n_words() + SLOT * world as usize
    }

    /// Becomes the words of what the rank at `place` has summed. Keeps the memory.
    pub fn pack(&mut self, partial: &Partial, place: Place, opinion: &Opinion) {
        self.words.clear();
        partial.write_words(&mut self.words);
        self.words.resize(Self::n_words(partial, place.world), 0);
        let slots = partial.n_words();
        let start = slots + SLOT * place.rank as usize;
        self.words[start..start + SLOT].copy_from_slice(&slot(partial.extremes(), opinion));
    }

    /// Becomes one word a rank, of which this rank's is `word`.
    pub(super) fn greet(&mut self, word: i64, place: Place) {
        self.words.clear();
        self.words.resize(place.world as usize, 0);
        self.words[place.rank as usize] = word;
    }

    /// Fills `partial`, which is one of the step, with the sum of all chunks, if the words are the
    /// sum of those of all ranks.
    ///
    /// # Errors
    /// [`UnpackError`]; the partial is then as it was.
    pub fn unpack(
        &self,
        partial: &mut Partial,
        place: Place,
        opinion: &Opinion,
    ) -> Result<(), UnpackError> {
        let (sums, slots) = self.words.split_at(partial.n_words().min(self.words.len()));
        let mut extremes = Extremes::default();
        for (rank, slot) in slots.as_chunks::<SLOT>().0.iter().enumerate() {
            let (theirs, said) = read_slot(slot);
            if let Some(what) = opinion.differs(&said) {
                let rank = rank as u32;
                return Err(UnpackError::Opinion { rank, mine: place.rank, what });
            }
            extremes = extremes.or(theirs);
        }
        let all = ChunkSet::of(0..partial.n_chunks());
        Ok(partial.set_words(sums, all, extremes)?)
    }

    /// The words, in order.
    pub fn words(&self) -> &[i64] {
        &self.words
    }

    /// The words, to be added to.
    pub fn words_mut(&mut self) -> &mut [i64] {
        &mut self.words
    }

    /// The words' bytes, as the machine orders them.
    pub(super) fn bytes(&self) -> &[u8] {
        // SAFETY: an `i64` is eight bytes without gaps, and bytes need no alignment.
        unsafe { std::slice::from_raw_parts(self.words.as_ptr().cast(), 8 * self.words.len()) }
    }

    /// The words' bytes, to be written.
    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        let len = 8 * self.words.len();
        // SAFETY: as in `bytes`; and whatever bytes are written make an `i64`.
        unsafe { std::slice::from_raw_parts_mut(self.words.as_mut_ptr().cast(), len) }
    }
}

fn slot(extremes: Extremes, opinion: &Opinion) -> [i64; SLOT] {
    let Opinion { step, scale, assignment, state } = *opinion;
    [
        i64::from(extremes.magnitude.to_bits()),
        extremes.u.to_bits() as i64,
        i64::from(step),
        i64::from(scale),
        assignment as i64,
        (state >> 64) as i64,
        state as i64,
    ]
}

fn read_slot(slot: &[i64; SLOT]) -> (Extremes, Opinion) {
    let [magnitude, u, step, scale, assignment, high, low] = *slot;
    let extremes =
        Extremes { magnitude: f32::from_bits(magnitude as u32), u: f64::from_bits(u as u64) };
    let state = u128::from(high as u64) << 64 | u128::from(low as u64);
    let opinion =
        Opinion { step: step as u32, scale: scale as i32, assignment: assignment as u64, state };
    (extremes, opinion)
}
