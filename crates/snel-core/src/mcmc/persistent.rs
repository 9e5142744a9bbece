//! Chains that outlive a step.
//!
//! A run keeps `chains` of them; a step moves `moved` of these, in passes of random order without
//! replacement, as minibatches go through rows. `moved` divides `chains`, so no step meets a chain
//! twice.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::density::{Density, Draws};
use crate::philox::{Key, Stream, uniform};
use crate::shuffle::Permutation;

/// Chain numbers from here on are those of the first places, not of a step.
const FIRST: u64 = 1 << 63;
/// Slots that are found at a time, without memory of their own.
const BLOCK: usize = 128;

/// Which chains persist.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Persistent {
    /// Chains kept; a multiple of `moved`.
    pub chains: u64,
    /// Chains moved in a step, `M`.
    pub moved: u64,
    /// Probability that a chain starts anew, at a proposal sample.
    pub reinit: f64,
}

impl Persistent {
    /// Calls `visit` with the number of each of the chains `range`, below `moved`, of step `step`, and
    /// the slot that it is kept in.
    pub fn for_each_slot(
        &self,
        seed: u32,
        step: u64,
        range: Range<u64>,
        mut visit: impl FnMut(u64, usize),
    ) {
        let key = Key::new(seed, Stream::ChainOrder);
        let position = u128::from(step) * u128::from(self.moved);
        let pass = (position / u128::from(self.chains.max(1))) as u32;
        let first = (position % u128::from(self.chains.max(1))) as u64;
        let order = Permutation::new(key, pass, self.chains);
        let mut slots = [0; BLOCK];
        for start in range.clone().step_by(BLOCK) {
            let slots = &mut slots[..((range.end - start) as usize).min(BLOCK)];
            slots.iter_mut().zip(first + start..).for_each(|(slot, i)| *slot = i);
            order.map(slots);
            (start..).zip(&*slots).for_each(|(chain, &slot)| visit(chain, slot as usize));
        }
    }

    /// Whether chain `chain` of step `step` starts anew.
    pub fn starts_anew(&self, seed: u32, step: u32, chain: u64) -> bool {
        let words = Key::new(seed, Stream::Chains).block(step, chain, 0);
        uniform(words[0]) < self.reinit
    }

    /// The chains before the first step, `chains x D`: samples of `proposal`.
    pub fn first_places(&self, seed: u32, proposal: &Density) -> Vec<f32> {
        let key = Key::new(seed, Stream::Chains);
        let mut point = vec![0.0; proposal.dim()];
        let mut places = Vec::with_capacity(self.chains as usize * point.len());
        for chain in 0..self.chains {
            proposal.sample(&mut Draws::new(key, 0, FIRST | chain), &mut point);
            places.extend(point.iter().map(|&x| x as f32));
        }
        places
    }
}
