use super::bytes::{encoded, use_up};
use super::*;

/// What chunk `i` carries: nothing, or a few words of its own.
fn of_chunk(i: u32) -> Vec<f32> {
    (0..i % 3).map(|k| f32::from_bits(1000 * i + k)).collect()
}

fn whole(chunks: u32) -> u64 {
    (0..chunks).map(|i| of_chunk(i).len() as u64).sum()
}

/// The sum of the chunks in `order`, each with what it carries, value by value.
fn carrying(chunks: u32, order: &[u32]) -> Partial {
    let mut partial = Partial::new(LEN, 30, chunks, false).carrying(whole(chunks));
    for &i in order {
        let mut sums = partial.empty_sums();
        sums.add_chunk(Side::Rows, &[1.0; LEN], &Tally::default());
        of_chunk(i).into_iter().for_each(|value| sums.carry(i, std::iter::once(value)));
        partial.add(&ChunkSet::of(i..i + 1), &sums).unwrap();
    }
    partial
}

proptest! {
    /// In any order and any split, as they are or as they were decoded.
    #[test]
    fn any_order_and_split_carries_the_same(chunks in 1u32..30, cut in 0usize..30, swap: u64) {
        let mut order: Vec<u32> = (0..chunks).collect();
        let straight = carrying(chunks, &order);
        let expected: Vec<u32> = order.iter().flat_map(|&i| of_chunk(i)).map(f32::to_bits).collect();
        prop_assert_eq!(straight.reduce().unwrap().carried().collect::<Vec<_>>(), expected);
        order.sort_by_key(|&i| u64::from(i).wrapping_mul(swap | 1));
        let (left, right) = order.split_at(cut.min(order.len()));
        let halves = [left, right].map(|half| carrying(chunks, half));
        let decoded = halves.each_ref().map(|half| Partial::from_bytes(&encoded(half)).unwrap());
        for [a, b] in [[&halves[0], &halves[1]], [&decoded[1], &halves[0]]] {
            let mut merged = a.clone();
            merged.merge(b).unwrap();
            prop_assert_eq!(encoded(&merged), encoded(&straight));
        }
        // Another step in the same memory.
        let mut again = halves[0].clone();
        again.restart(30, chunks);
        again.merge(&straight).unwrap();
        prop_assert_eq!(encoded(&again), encoded(&straight));
    }

    /// Numbers from the ends of their types, anywhere.
    #[test]
    fn damage_is_refused_or_harmless(damage in prop::collection::vec(
        (any::<prop::sample::Index>(), prop::sample::select(vec![0u32, 1, 2, 7, 0x7fff_ffff, !0])),
        1..5,
    )) {
        let mut bytes = encoded(&carrying(8, &[1, 2, 5, 7]));
        // The statistics have tests of their own; they would take most of the damage.
        let places: Vec<usize> = (0..72).chain(72 + 1960..bytes.len() - 3).collect();
        for (at, number) in damage {
            let at = places[at.index(places.len())];
            bytes[at..at + 4].copy_from_slice(&number.to_le_bytes());
        }
        if let Ok(partial) = Partial::from_bytes(&bytes) {
            prop_assert_eq!(encoded(&partial), bytes);
            use_up(&partial);
        }
    }
}

/// A sum that lost what chunks carry, as one by a reduction that knows integers alone would, is no sum
/// of the step.
#[test]
fn what_is_not_handed_over_is_missed() {
    let all: Vec<u32> = (0..8).collect();
    let sum = carrying(8, &all);
    let mut lost = Partial::new(LEN, 30, 8, false).carrying(whole(8));
    let mut words = Vec::new();
    sum.write_words(&mut words);
    lost.set_words(&words, sum.chunks().clone(), sum.extremes()).unwrap();
    let expected = StepError::Carried { found: 0, total: whole(8) };
    assert_eq!(lost.reduce().unwrap_err(), expected);
    // Nor do sums of steps that carry other numbers of words go together.
    let other = Partial::new(LEN, 30, 8, false);
    let refused = carrying(8, &[1]).merge(&other).unwrap_err();
    assert_eq!(refused, PartialError::Mismatch("number of carried words"));
}

#[test]
fn faults_say_what_and_where() {
    let bytes = encoded(&carrying(8, &[1, 2, 5, 7]));
    // One range for 1 and 2, one each for 5 and 7, then statistics and sums.
    let pieces = 56 + 3 * 8 + 1960 + 8 * LEN;
    let said = "chunks that carry words are not in order, or not among the summed";
    for (at, number, message) in [
        (40, 9, "byte 40: more words are carried than the step has".to_owned()),
        (pieces, 2, format!("byte {pieces}: {said}")),
        (pieces, 0, format!("byte {pieces}: {said}")),
        (pieces + 4, 0, format!("byte {pieces}: {said}")),
        (pieces + 4, 2, format!("byte {pieces}: {said}")),
    ] {
        let mut damaged = bytes.clone();
        damaged[at] = number;
        let found = Partial::from_bytes(&damaged).unwrap_err().to_string();
        assert_eq!(found, format!("partial sums, {message}"));
    }
}
