//! Words that chunks hand over as they are, beside what they add to sums.
//!
//! The new places of persistent chains, say. A chunk's words are its own, so to bring those of some
//! chunks together is to put them side by side: no order or nesting can be seen.
//!
//! Invariants
//! 1. Pieces are in ascending order of their chunks, and no chunk has two.
//! 2. The words of a piece stand together; those of different pieces in any order.

/// Words of some chunks of a step.
#[derive(Debug, Clone, Default)]
pub(super) struct Carried {
    /// Words of the whole step; zero if its chunks carry none.
    whole: u64,
    pieces: Vec<Piece>,
    words: Vec<u32>,
}

/// Where the words of one chunk are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) chunk: u32,
    start: usize,
    pub(super) len: usize,
}

impl Carried {
    /// Empty, for a step whose chunks carry `whole` words in all.
    pub(super) fn new(whole: u64) -> Self {
        Self { whole, ..Self::default() }
    }

    pub(super) fn whole(&self) -> u64 {
        self.whole
    }

    /// Empties it for a step whose chunks carry `whole` words. Memory for all of them is asked for at
    /// once, so that later steps need no more, whichever chunks fall to this one; it is taken up word
    /// by word.
    pub(super) fn restart(&mut self, whole: u64, n_chunks: u32) {
        self.whole = whole;
        self.pieces.clear();
        self.words.clear();
        if whole > 0 {
            self.pieces.reserve(n_chunks as usize);
            self.words.reserve(usize::try_from(whole).unwrap_or(0));
        }
    }

    /// Adds `words` to those of `chunk`, which must be a new one or the one added to last.
    pub(super) fn extend(&mut self, chunk: u32, words: impl Iterator<Item = u32>) {
        let start = self.words.len();
        self.words.extend(words);
        let len = self.words.len() - start;
        match self.pieces.last_mut() {
            Some(last) if last.chunk == chunk => last.len += len,
            _ => self.pieces.push(Piece { chunk, start, len }),
        }
    }

    /// Adds the words of other chunks.
    pub(super) fn merge(&mut self, other: &Self) {
        let moved = self.words.len();
        self.words.extend(&other.words);
        let pieces = other.pieces.iter();
        self.pieces.extend(pieces.map(|piece| Piece { start: piece.start + moved, ..*piece }));
        self.pieces.sort_unstable_by_key(|piece| piece.chunk);
    }

    /// Number of words.
    pub(super) fn len(&self) -> usize {
        self.words.len()
    }

    pub(super) fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    /// All words, chunk after chunk.
    pub(super) fn words(&self) -> impl Iterator<Item = u32> {
        self.pieces.iter().flat_map(|piece| &self.words[piece.start..][..piece.len]).copied()
    }
}
