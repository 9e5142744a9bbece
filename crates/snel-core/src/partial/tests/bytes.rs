use super::*;

const SCALE: i32 = 30;
pub(super) const CHUNKS: u32 = 8;
const HEADER: usize = 56;
const STATISTICS: usize = 1960;

pub(super) type Chunk = ([f32; LEN], Vec<f64>);

/// Gradients and, for the statistics, a few numbers that are log-densities or `u`.
pub(super) fn chunks() -> impl Strategy<Value = Vec<Chunk>> {
    let number = prop_oneof![
        -40.0..40.0,
        Just(0.0),
        Just(-0.0),
        Just(f64::NEG_INFINITY),
        Just(1e9),
        Just(1e300),
        Just(f64::NAN),
    ];
    let gradient = prop_oneof![
        9 => prop::array::uniform3(-1e3f32..1e3),
        1 => Just([f32::INFINITY, -1e30, -0.0]),
    ];
    prop::collection::vec((gradient, prop::collection::vec(number, 0..4)), 1..20)
}

fn tally(numbers: &[f64]) -> Tally {
    let mut tally = Tally::default();
    for &number in numbers {
        tally.add_row(number);
        tally.add_sample(number, number.exp());
    }
    tally
}

/// The sum of the chunks in `order`, every third of which is one of samples.
pub(super) fn of(chunks: &[Chunk], order: &[usize], separates_samples: bool) -> Partial {
    let mut partial = Partial::new(LEN, SCALE, chunks.len() as u32, separates_samples);
    for &i in order {
        let (gradient, numbers) = &chunks[i];
        let side = if i % 3 == 0 { Side::Samples } else { Side::Rows };
        add(&mut partial, i as u32, side, gradient, &tally(numbers)).unwrap();
    }
    partial
}

pub(super) fn encoded(partial: &Partial) -> Vec<u8> {
    let mut out = Vec::new();
    partial.write_to(&mut out);
    out
}

/// A sum of chunks 1, 2 and 5 of eight.
pub(super) fn sample(separates_samples: bool) -> Partial {
    let chunk = ([1.0, -2.5, 0.125], vec![-1.0, 0.5]);
    of(&vec![chunk; CHUNKS as usize], &[2, 5, 1], separates_samples)
}

/// Does all that can be done with a partial; nothing of it may panic.
pub(super) fn use_up(partial: &Partial) {
    let honest = of(&vec![([1.0; LEN], vec![0.5]); CHUNKS as usize], &[0, 3, 4, 6, 7], false);
    let mut merged = honest.clone();
    let _ = merged.merge(partial);
    let mut doubled = partial.clone();
    doubled.sums.merge(&partial.sums);
    for partial in [partial, &merged, &doubled] {
        if let Ok(reduced) = partial.reduce() {
            reduced.gradient(&mut [0.0; LEN]);
        }
        let statistics = partial.statistics();
        let _ = (statistics.bound(0.5), statistics.residual(), statistics.ess_fraction());
        let _ = encoded(partial);
    }
}

proptest! {
    /// Any order and any split of any chunks; the halves are merged into each other and into an
    /// empty sum, themselves or what was decoded of them.
    #[test]
    fn equal_sums_are_equal_bytes(
        chunks in chunks(),
        separates_samples in any::<bool>(),
        cut in 0usize..20,
        swap in any::<u64>(),
    ) {
        let mut order: Vec<usize> = (0..chunks.len()).collect();
        let straight = encoded(&of(&chunks, &order, separates_samples));
        order.sort_by_key(|&i| (i as u64).wrapping_mul(swap | 1));
        let (left, right) = order.split_at(cut.min(order.len()));
        let halves = [left, right].map(|half| of(&chunks, half, separates_samples));
        let decoded = halves.each_ref().map(|half| Partial::from_bytes(&encoded(half)).unwrap());
        for [a, b] in [[&halves[0], &halves[1]], [&decoded[1], &halves[0]], [&decoded[0], &decoded[1]]] {
            let mut merged = a.clone();
            merged.merge(b).unwrap();
            prop_assert_eq!(&encoded(&merged), &straight);
            let mut empty = of(&chunks, &[], separates_samples);
            empty.merge(&merged).unwrap();
            prop_assert_eq!(&encoded(&empty), &straight);
        }
        let whole = Partial::from_bytes(&straight).unwrap();
        prop_assert_eq!(encoded(&whole), straight);
    }

    /// Numbers from the ends of their types, anywhere.
    #[test]
    fn damage_is_refused_or_harmless(
        separates_samples in any::<bool>(),
        damage in prop::collection::vec((0usize..1000, prop::sample::select(vec![
            0u32, 1, 7, 8, 0xff, 0x7fff_ffff, 0x8000_0000, 0x8000_0001, 0x7f80_0000, 0xffff_ffff,
        ]), 1usize..5), 1..6),
    ) {
        let mut bytes = encoded(&sample(separates_samples));
        for (at, number, len) in damage {
            let at = at % (bytes.len() - len);
            bytes[at..at + len].copy_from_slice(&number.to_le_bytes()[4 - len..]);
        }
        if let Ok(partial) = Partial::from_bytes(&bytes) {
            prop_assert_eq!(encoded(&partial), bytes);
            use_up(&partial);
        }
    }
}

#[test]
fn what_is_decoded_is_what_was_encoded() {
    for separates_samples in [false, true] {
        let sum = sample(separates_samples);
        let read = Partial::from_bytes(&encoded(&sum)).unwrap();
        assert_eq!(read.chunks(), sum.chunks());
        let Sums { scale, n_chunks, rows, samples, largest, statistics, .. } = &read.sums;
        assert_eq!((*scale, *n_chunks, *largest), (SCALE, CHUNKS, 2.5));
        assert_eq!((rows, samples), (&sum.sums.rows, &sum.sums.samples));
        assert_eq!(statistics.mean_row(), sum.statistics().mean_row());
        assert_eq!(statistics.mean_weight(), sum.statistics().mean_weight());
        assert_eq!(statistics.ess_fraction(), sum.statistics().ess_fraction());
        assert_eq!(statistics.max_u, 0.5);
    }
}

#[test]
fn every_other_length_is_refused() {
    let mut bytes = encoded(&sample(true));
    assert_eq!(bytes.len(), HEADER + 2 * 8 + STATISTICS + 2 * LEN * 8);
    for len in 0..bytes.len() {
        let error = Partial::from_bytes(&bytes[..len]).unwrap_err();
        let needed = if len < HEADER { HEADER as u128 } else { bytes.len() as u128 };
        assert_eq!(error, PartialDecodeError::Length { found: len as u64, needed });
    }
    bytes.push(0);
    assert!(matches!(Partial::from_bytes(&bytes), Err(PartialDecodeError::Length { .. })));
}

/// Lengths of more than the machine has are refused before anything is done about them.
#[test]
fn absurd_lengths_are_refused() {
    for (at, claim) in [
        (16, vec![0xff; 16]),
        (16, [[0, 0, 0, 0, 0, 0, 0, 0x20]; 2].concat()),
        (48, vec![0xff; 4]),
        (32, vec![0xff; 16]),
        (52, vec![0xff; 4]),
    ] {
        let mut bytes = encoded(&sample(true));
        bytes[at..at + claim.len()].copy_from_slice(&claim);
        let error = Partial::from_bytes(&bytes).unwrap_err();
        assert!(matches!(error, PartialDecodeError::Length { .. }), "{error}");
    }
}

#[test]
fn faults_say_what_and_where() {
    let f32s = |v: f32| v.to_le_bytes().to_vec();
    let u64s = |v: u64| v.to_le_bytes().to_vec();
    let f64s = |v: f64| v.to_le_bytes().to_vec();
    let ranges = |ends: [u32; 4]| ends.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
    // The sample has two ranges.
    let statistics = HEADER + 2 * 8;
    for (at, bytes, message) in [
        (0, vec![4], "partial sums in format 4; this version reads format 3"),
        (4, vec![0, 4, 0, 0], "partial sums, byte 4: the scale is beyond the range of doubles"),
        (4, vec![0, 0, 0, 0x80], "partial sums, byte 4: the scale is beyond the range of doubles"),
        (12, f32s(f32::NAN), "partial sums, byte 12: the largest magnitude is not one"),
        (12, f32s(f32::INFINITY), "partial sums, byte 12: the largest magnitude is not one"),
        (12, f32s(-0.0), "partial sums, byte 12: the largest magnitude is not one"),
        (24, u64s(2), "partial sums, byte 24: only some parameters have a sum over samples"),
        (8, vec![5], "partial sums, byte 56: the step has no such chunk"),
        (
            HEADER,
            ranges([1, 3, 2, 4]),
            "partial sums, byte 56: ranges of chunks are empty, not apart or not ascending",
        ),
        (
            HEADER,
            ranges([1, 3, 3, 4]),
            "partial sums, byte 56: ranges of chunks are empty, not apart or not ascending",
        ),
        (
            HEADER,
            ranges([5, 6, 1, 3]),
            "partial sums, byte 56: ranges of chunks are empty, not apart or not ascending",
        ),
        (
            HEADER,
            ranges([1, 3, 5, 5]),
            "partial sums, byte 56: ranges of chunks are empty, not apart or not ascending",
        ),
        (
            statistics + 8,
            u64s(u64::MAX),
            "partial sums, byte 80: a count is beyond what its chunks can hold",
        ),
        (statistics + 48, f64s(f64::NAN), "partial sums, byte 120: the largest u is not a number"),
        (statistics + 48, f64s(-0.0), "partial sums, byte 120: the largest u is a negative zero"),
        (
            statistics + 56 + 4 * 66,
            vec![0, 0, 1],
            "partial sums, byte 128: a sum is beyond what its chunks can add up to",
        ),
        (
            statistics + 56 + 2 * 4 * 68 + 4 * 67,
            vec![0, 0, 0, 0x80],
            "partial sums, byte 672: a sum is beyond what its chunks can add up to",
        ),
    ] {
        let mut whole = encoded(&sample(true));
        whole[at..at + bytes.len()].copy_from_slice(&bytes);
        assert_eq!(Partial::from_bytes(&whole).unwrap_err().to_string(), message);
    }
}

/// No chunk of a step without chunks can be claimed, and an empty sum is a sum.
#[test]
fn empty_sums_are_sums() {
    let empty = encoded(&Partial::new(0, 0, 0, false));
    assert_eq!(empty.len(), HEADER + STATISTICS);
    use_up(&Partial::from_bytes(&empty).unwrap());
}
