//! Sums as words, without any library: what is added is what would have been merged.

use proptest::prelude::*;
use snel_core::chunks::ChunkSet;
use snel_core::partial::{Partial, Side};
use snel_core::plan::{Batching, StepPlan};
use snel_core::statistics::Tally;
use snel_cuda::nccl::{Opinion, PackedPartial, Place, UnpackError};

use crate::problem::bytes;

const LEN: usize = 4;

type Chunk = ([f32; LEN], Vec<f64>);

fn chunks() -> impl Strategy<Value = Vec<Chunk>> {
    let u = prop_oneof![
        6 => -40.0..40.0,
        1 => prop::sample::select(vec![0.0, -0.0, f64::NEG_INFINITY, 1e9, 1e300, f64::NAN]),
    ];
    let gradient = prop::array::uniform4(-1e3f32..1e3);
    prop::collection::vec((gradient, prop::collection::vec(u, 0..4)), 1..20)
}

fn plan(chunks: usize) -> StepPlan {
    let batching = Batching {
        batch: 1,
        samples: chunks as u64 - 1,
        per_row: false,
        chunk: 1,
        total_rows: 9,
        seed: 0,
    };
    let plan = batching.plan(5, 30);
    assert_eq!(plan.n_chunks() as usize, chunks);
    plan
}

/// The sum of some chunks.
fn of(chunks: &[Chunk], numbers: &ChunkSet, separates_samples: bool) -> Partial {
    let mut partial = Partial::new(LEN, 30, chunks.len() as u32, separates_samples);
    let mut sums = partial.empty_sums();
    for number in numbers.iter() {
        let (gradient, us) = &chunks[number as usize];
        let mut tally = Tally::default();
        for &u in us {
            tally.add_row(u);
            tally.add_sample(u, u.exp());
        }
        let side = if number % 3 == 0 { Side::Samples } else { Side::Rows };
        sums.add_chunk(side, gradient, &tally);
    }
    partial.add(numbers, &sums).unwrap();
    partial
}

/// What NCCL makes of the words of all ranks.
fn added(packed: &[PackedPartial]) -> PackedPartial {
    let mut sum = packed[0].clone();
    for other in &packed[1..] {
        sum.words_mut().iter_mut().zip(other.words()).for_each(|(sum, word)| *sum += word);
    }
    sum
}

/// The chunks are dealt at random; some ranks may get none.
fn deal(chunks: usize, world: u32, dealer: u64) -> Vec<ChunkSet> {
    let rank_of = |i: u32| (dealer.wrapping_mul(2 * u64::from(i) + 1) >> 32) as u32 % world;
    let share = |rank| (0..chunks as u32).filter(move |i| rank_of(*i) == rank).map(|i| i..i + 1);
    (0..world).map(|rank| ChunkSet::from_ranges(share(rank)).unwrap()).collect()
}

proptest! {
    #[test]
    fn added_words_are_merged_sums(
        chunks in chunks(),
        separates_samples in any::<bool>(),
        world in 1u32..6,
        dealer in any::<u64>(),
        state in any::<u128>(),
    ) {
        let shares = deal(chunks.len(), world, dealer);
        let opinion = Opinion::new(&plan(chunks.len()), &shares, state);
        let parts: Vec<Partial> =
            shares.iter().map(|share| of(&chunks, share, separates_samples)).collect();
        let mut packed = vec![PackedPartial::default(); world as usize];
        for (rank, (packed, part)) in (0..).zip(packed.iter_mut().zip(&parts)) {
            packed.pack(part, Place { rank, world }, &opinion);
        }
        let mut merged = of(&chunks, &ChunkSet::default(), separates_samples);
        let mut unpacked = merged.clone();
        parts.iter().for_each(|part| merged.merge(part).unwrap());
        added(&packed).unpack(&mut unpacked, Place { rank: 0, world }, &opinion).unwrap();
        prop_assert_eq!(bytes(&unpacked), bytes(&merged));
    }

    /// A rank that is of another opinion is named, whatever else it says.
    #[test]
    fn another_opinion_is_seen(chunks in chunks(), world in 2u32..5, odd in any::<prop::sample::Index>()) {
        let odd = odd.index(world as usize) as u32;
        let shares = deal(chunks.len(), world, 1);
        let opinion = |state| Opinion::new(&plan(chunks.len()), &shares, state);
        let mut packed = vec![PackedPartial::default(); world as usize];
        for (rank, (packed, share)) in (0..).zip(packed.iter_mut().zip(&shares)) {
            // In the high half of the digest, so in another word.
            let state = if rank == odd { 1 << 64 } else { 0 };
            packed.pack(&of(&chunks, share, false), Place { rank, world }, &opinion(state));
        }
        let mut partial = of(&chunks, &ChunkSet::default(), false);
        let before = bytes(&partial);
        let place = Place { rank: (odd + 1) % world, world };
        match added(&packed).unpack(&mut partial, place, &opinion(0)) {
            Err(UnpackError::Opinion { rank, mine, what: "state" }) => {
                prop_assert_eq!((rank, mine), (odd, place.rank));
            }
            other => prop_assert!(false, "{:?}", other),
        }
        prop_assert_eq!(bytes(&partial), before);
    }
}

/// Words that are no sum are refused; those of another number of ranks too.
#[test]
fn words_that_are_none_are_refused() {
    let chunks = vec![([1.0; LEN], vec![0.5]); 3];
    let (place, shares) = (Place { rank: 0, world: 1 }, [ChunkSet::of(0..3)]);
    let opinion = Opinion::new(&plan(3), &shares, 7);
    let mut packed = PackedPartial::default();
    packed.pack(&of(&chunks, &shares[0], false), place, &opinion);
    let mut partial = of(&chunks, &ChunkSet::default(), false);
    let mut damaged = packed.clone();
    damaged.words_mut()[LEN] = -1; // the number of rows
    let error = damaged.unpack(&mut partial, place, &opinion).unwrap_err();
    assert!(matches!(error, UnpackError::Words(_)), "{error}");
    packed.unpack(&mut partial, place, &opinion).unwrap();
    let mut larger = Partial::new(LEN + 1, 30, 3, false);
    let error = packed.unpack(&mut larger, place, &opinion).unwrap_err();
    assert!(matches!(error, UnpackError::Words(_)), "{error}");
}
