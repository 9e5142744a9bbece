mod bytes;
mod carried;
mod words;

use super::*;
use proptest::prelude::*;

const LEN: usize = 3;

fn gradients() -> impl Strategy<Value = Vec<[f32; LEN]>> {
    prop::collection::vec(prop::array::uniform3(-1e3f32..1e3), 1..40)
}

fn sum(gradients: &[[f32; LEN]], order: &[usize], scale: i32) -> Partial {
    let mut partial = Partial::new(LEN, scale, gradients.len() as u32, false);
    for &i in order {
        add(&mut partial, i as u32, Side::Rows, &gradients[i], &Tally::default()).unwrap();
    }
    partial
}

fn add(
    partial: &mut Partial,
    chunk: u32,
    side: Side,
    gradient: &[f32],
    tally: &Tally,
) -> Result<(), PartialError> {
    let mut sums = partial.empty_sums();
    sums.add_chunk(side, gradient, tally);
    partial.add(&ChunkSet::of(chunk..chunk + 1), &sums)
}

fn value(partial: &Partial) -> Vec<f64> {
    let mut out = vec![0.0; LEN];
    partial.reduce().unwrap().gradient(&mut out);
    out
}

/// What is in no part counts as zero, and a value that is not finite keeps all parts out.
#[test]
fn parts_are_the_bits_of_the_whole() {
    let tally = Tally::default();
    for [a, b] in [[0.3, -1e-7], [f32::MAX, 0.1], [0.2, f32::NAN], [f32::INFINITY, f32::NAN]] {
        let mut whole = [0.0; LEN];
        (whole[1], whole[LEN - 1]) = (a, b);
        let partial = Partial::new(LEN, 40, 2, false);
        let [mut left, mut right] = [partial.empty_sums(), partial.empty_sums()];
        for sums in [&mut left, &mut right] {
            sums.add_chunk(Side::Rows, &[0.25; LEN], &tally);
        }
        left.add_chunk(Side::Samples, &whole, &tally);
        right.add_parts(Side::Samples, &[(0, &whole[..2]), (LEN - 1, &[b])], &tally);
        let bytes = |sums: &Sums| {
            let mut partial = partial.clone();
            partial.add(&ChunkSet::of(0..2), sums).unwrap();
            let mut out = Vec::new();
            partial.write_to(&mut out);
            out
        };
        assert_eq!(bytes(&left), bytes(&right), "{a} {b}");
    }
}

proptest! {
    #[test]
    fn any_order_and_split_gives_the_same_bits(gradients in gradients(), cut in 0usize..40, swap in any::<u64>()) {
        let mut order: Vec<usize> = (0..gradients.len()).collect();
        let straight = value(&sum(&gradients, &order, 30));
        order.sort_by_key(|&i| (i as u64).wrapping_mul(swap | 1));
        let (left, right) = order.split_at(cut.min(order.len()));
        let mut merged = sum(&gradients, left, 30);
        merged.merge(&sum(&gradients, right, 30)).unwrap();
        prop_assert_eq!(value(&merged), straight);
    }

    /// Each chunk rounds to the nearest multiple of 2^-scale: half of it per chunk.
    #[test]
    fn error_is_half_a_unit_per_chunk(gradients in gradients()) {
        let order: Vec<usize> = (0..gradients.len()).collect();
        let sums = value(&sum(&gradients, &order, 30));
        for (k, s) in sums.iter().enumerate() {
            let exact: f64 = gradients.iter().map(|g| f64::from(g[k])).sum();
            let rounding = 1e-9 * 1e3 * gradients.len() as f64 * f64::EPSILON;
            prop_assert!((s - exact).abs() <= 0.5 * libm::ldexp(1.0, -30) * gradients.len() as f64 + rounding);
        }
    }

    /// Whatever the magnitudes, the scale that an overflow asks for does fit, and so does the
    /// scale proposed for the next step with 100 times the magnitude.
    #[test]
    fn redo_always_fits(exponent in -60i32..100, n_chunks in 1u32..5) {
        let big = libm::ldexp(1.0, exponent) as f32;
        let gradients = vec![[big, -big, 0.5 * big]; n_chunks as usize];
        let order: Vec<usize> = (0..gradients.len()).collect();
        let scale = match sum(&gradients, &order, FIRST_SCALE).reduce() {
            Err(StepError::Overflow { scale, .. }) => scale,
            Ok(reduced) => reduced.next_scale,
            Err(other) => panic!("{other}"),
        };
        let sums = value(&sum(&gradients, &order, scale));
        prop_assert_eq!(sums[0], f64::from(n_chunks) * f64::from(big));
        let grown = gradients.iter().map(|g| g.map(|v| v * 100.0)).collect::<Vec<_>>();
        prop_assert!(sum(&grown, &order, scale).reduce().is_ok());
    }
}

#[test]
fn the_largest_sum_does_not_wrap() {
    // The largest magnitude that fits, in every one of 1000 chunks.
    let n = 1000;
    let top = f32::from_bits((libm::ldexp(1.0, chunk_bits(n)) as f32).to_bits() - 1);
    let gradients = vec![[top, -top, top]; n as usize];
    let sums = value(&sum(&gradients, &(0..n as usize).collect::<Vec<_>>(), 0));
    assert_eq!(sums[0], f64::from(top) * f64::from(n));
    let over = vec![[libm::ldexp(1.0, chunk_bits(n)) as f32, 0.0, 0.0]; n as usize];
    let partial = sum(&over, &(0..n as usize).collect::<Vec<_>>(), 0);
    assert!(matches!(partial.reduce(), Err(StepError::Overflow { .. })));
}

#[test]
fn faults_are_named() {
    let empty = Tally::default();
    let mut partial = Partial::new(LEN, 10, 2, false);
    add(&mut partial, 0, Side::Rows, &[1.0; LEN], &empty).unwrap();
    let again = add(&mut partial, 0, Side::Rows, &[1.0; LEN], &empty);
    assert_eq!(again, Err(PartialError::DuplicateChunk(0)));
    let twice = partial.clone();
    assert_eq!(partial.merge(&twice), Err(PartialError::DuplicateChunk(0)));
    for (other, what) in [
        (Partial::new(LEN, 11, 2, false), "scale"),
        (Partial::new(LEN + 1, 10, 2, false), "number of parameters"),
        (Partial::new(LEN, 10, 2, true), "number of parameters"),
        (Partial::new(LEN, 10, 3, false), "number of chunks"),
    ] {
        assert_eq!(partial.merge(&other), Err(PartialError::Mismatch(what)));
    }
    assert_eq!(partial.reduce().err(), Some(StepError::Incomplete { missing: 1, total: 2 }));
    add(&mut partial, 1, Side::Rows, &[f32::NAN, 1.0, f32::INFINITY], &empty).unwrap();
    assert_eq!(partial.reduce().err(), Some(StepError::NotFinite { count: 2 }));
    partial.restart(10, 1);
    add(&mut partial, 0, Side::Rows, &[1.0; LEN], &empty).unwrap();
    assert_eq!(value(&partial), [1.0; LEN]);
}

/// Every kind of product, ties included, against `f64::round_ties_even`.
#[test]
fn rounding_is_to_the_nearest_even() {
    let mut gradient: Vec<f32> = vec![0.0, -0.0, 0.5, 1.5, 2.5, -0.5, -1.5, 0.499_999_97, 1e-40];
    for exponent in -40..62 {
        for mantissa in [1.0f32, 1.5, 1.25, 1.999_999_9, 1.000_000_1] {
            let value = libm::ldexp(f64::from(mantissa), exponent) as f32;
            gradient.extend([value, -value]);
        }
    }
    for scale in [0, 1, 7, -3] {
        let fitting: Vec<f32> =
            gradient.iter().copied().filter(|g| fits(g.abs(), scale, 1)).collect();
        let mut sums = vec![3; fitting.len()];
        add_rounded(&mut sums, &fitting, scale);
        for (sum, g) in sums.iter().zip(&fitting) {
            let exact = (f64::from(*g) * libm::ldexp(1.0, scale)).round_ties_even() as i64;
            assert_eq!(sum - 3, exact, "{g} 2^{scale}");
        }
    }
}

/// The sample sum is divided by the mean weight, except for b.
#[test]
fn separated_samples_are_self_normalised() {
    let mut weights = Tally::default();
    for w in [1.0f64, 7.0, 0.0, 0.0] {
        weights.add_sample(w.ln(), w);
    }
    let mut partial = Partial::new(LEN, 40, 2, true);
    add(&mut partial, 0, Side::Rows, &[1.0, 1.0, 1.0], &Tally::default()).unwrap();
    add(&mut partial, 1, Side::Samples, &[-4.0, 2.0, -2.0], &weights).unwrap();
    for (g, expected) in value(&partial).iter().zip([1.0 - 2.0, 1.0 + 1.0, 1.0 - 2.0]) {
        assert_eq!(*g, expected);
    }
}

/// Chunks that were rounded elsewhere by the stated rule leave the same bytes as chunks that are
/// rounded here: one fits, one is too large, one is not finite.
#[test]
fn sums_of_another_device_are_the_same_bytes() {
    let (scale, n_chunks) = (30, 3);
    let mut tally = Tally::default();
    tally.add_row(-1.5);
    assert!(tally.add_sample(0.5, 0.5f64.exp()));
    let mut other = Tally::default();
    (other.rows, other.samples, other.max_u) = (1, 1, 0.5);
    let w = 0.5f64.exp();
    other = other.with_sums(-1.5, w, w * w);

    let mut here = Partial::new(LEN, scale, n_chunks, false);
    let limit = here.limit();
    let chunks = [[0.3, -7.25, 1e-9], [limit as f32, 0.0, 1.0], [f32::NAN, 1.0, -2.0]];
    for (i, chunk) in chunks.iter().enumerate() {
        add(&mut here, i as u32, Side::Rows, chunk, &tally).unwrap();
    }

    let rounded = chunks[0].map(|g| (f64::from(g) * libm::ldexp(1.0, scale)).round_ties_even());
    let mut bad = other;
    bad.not_finite += 1;
    let mut there = Partial::new(LEN, scale, n_chunks, false);
    let mut sums = there.empty_sums();
    sums.add_rounded(&rounded.map(|v| v as i64), &[], chunks[1][0], [other, other, bad]);
    there.add(&ChunkSet::of(0..n_chunks), &sums).unwrap();

    let bytes = |partial: &Partial| {
        let mut out = Vec::new();
        partial.write_to(&mut out);
        out
    };
    assert_eq!(bytes(&there), bytes(&here));
    // The limit itself does not fit; what is right below it does.
    let below = f32::from_bits((limit as f32).to_bits() - 1);
    assert!(!fits(limit as f32, scale, n_chunks) && fits(below, scale, n_chunks));
}
