//! What is trained: a number that remembers every sum that was ever applied to it.
//!
//! A chunk's sum depends on the state, the step, the attempt and the chunk, and sums add exactly, as
//! in the real engine. A step that is lost, doubled or misordered, a chunk that is missing or there
//! twice, an attempt that was applied though it was to be repeated: each gives another number.

use snel_core::chunks::ChunkSet;

use super::dice::{Dice, mix};
use crate::machine::{Digest, Outcome, RoundId, Verdict};

/// A training state before a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct State {
    pub(super) step: u64,
    value: u128,
}

impl State {
    pub(super) fn digest(self) -> Digest {
        mix(&[1, u128::from(self.step), self.value])
    }

    /// A bit of it falls over.
    pub(super) fn corrupt(&mut self) {
        self.value ^= 1;
    }
}

/// The sum of a round, as it is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sum {
    pub(super) round: RoundId,
    pub(super) total: u128,
    pub(super) verdict: Verdict,
}

impl Sum {
    pub(super) fn digest(&self) -> Digest {
        mix(&[2, self.total])
    }
}

/// A run to be trained.
#[derive(Debug, Clone)]
pub(super) struct Problem {
    seed: u64,
    pub(super) chunks: u32,
    /// Steps, and how the training loop ends after them.
    pub(super) end: u64,
    pub(super) outcome: Outcome,
    /// The leader sends a checkpoint before each of these.
    pub(super) checkpoint_every: u64,
    /// Workers arrive once more when all steps are done.
    pub(super) arrive_at_end: bool,
    /// All validate before each of these.
    pub(super) validate_every: u64,
    /// The states of a run that nothing disturbs, by step.
    pub(super) states: Vec<State>,
    /// Its sums.
    pub(super) sums: Vec<Sum>,
}

impl Problem {
    pub(super) fn roll(dice: &mut Dice) -> Self {
        let mut problem = Self {
            seed: dice.below(1 << 40),
            chunks: dice.within(1, 12) as u32,
            end: dice.within(6, 30),
            outcome: if dice.chance(20) { Outcome::StoppedEarly } else { Outcome::Finished },
            checkpoint_every: dice.within(2, 12),
            arrive_at_end: dice.chance(50),
            validate_every: dice.within(2, 12),
            states: Vec::new(),
            sums: Vec::new(),
        };
        problem.train();
        problem
    }

    /// What an undisturbed run passes through.
    fn train(&mut self) {
        let mut state = State { step: 0, value: 0 };
        self.states.push(state);
        while state.step < self.end {
            let mut attempt = 0;
            let sum = loop {
                let round = RoundId { step: state.step, attempt };
                let sum = self.sum(round, Self::partial(state, attempt, &self.all()));
                if !matches!(sum.verdict, Verdict::Redo { .. }) {
                    break sum;
                }
                attempt += 1;
            };
            state = Self::apply(state, &sum);
            self.sums.push(sum);
            self.states.push(state);
        }
    }

    pub(super) fn all(&self) -> ChunkSet {
        ChunkSet::of(0..self.chunks)
    }

    /// The sum of some chunks.
    pub(super) fn partial(state: State, attempt: u32, chunks: &ChunkSet) -> u128 {
        let one = |chunk| mix(&[3, state.digest(), u128::from(attempt), u128::from(chunk)]);
        chunks.iter().map(one).fold(0, u128::wrapping_add)
    }

    /// What comes of a round whose sums add up to `total`.
    pub(super) fn sum(&self, round: RoundId, total: u128) -> Sum {
        let RoundId { step, attempt } = round;
        let lot = mix(&[4, u128::from(self.seed), u128::from(step), u128::from(attempt)]);
        let digest = mix(&[2, total]);
        let verdict = if lot % 100 < 15 && attempt < 2 {
            Verdict::Redo { digest }
        } else {
            Verdict::Step { digest, refused: lot % 100 >= 90 }
        };
        Sum { round, total, verdict }
    }

    pub(super) fn apply(state: State, sum: &Sum) -> State {
        let refused = matches!(sum.verdict, Verdict::Step { refused: true, .. });
        let value = if refused { state.value } else { mix(&[5, state.value, sum.total]) };
        State { step: state.step + 1, value }
    }
}
