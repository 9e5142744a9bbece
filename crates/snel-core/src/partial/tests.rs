use super::*;
use proptest::prelude::*;

const LEN: usize = 3;

fn gradients() -> impl Strategy<Value = Vec<[f32; LEN]>> {
    prop::collection::vec(prop::array::uniform3(-1e3f32..1e3), 1..40)
}

fn sum(gradients: &[[f32; LEN]], order: &[usize], scale: i32) -> Partial {
    let mut partial = Partial::new(LEN, scale, gradients.len() as u32, false);
    for &i in order {
        partial.add_chunk(i as u32, Side::Rows, &gradients[i], &Statistics::default()).unwrap();
    }
    partial
}

fn value(partial: Partial) -> Vec<f64> {
    let mut out = vec![0.0; LEN];
    partial.reduce().unwrap().gradient(&mut out);
    out
}

proptest! {
    #[test]
    fn any_order_and_split_gives_the_same_bits(gradients in gradients(), cut in 0usize..40, swap in any::<u64>()) {
        let mut order: Vec<usize> = (0..gradients.len()).collect();
        let straight = value(sum(&gradients, &order, 30));
        order.sort_by_key(|&i| (i as u64).wrapping_mul(swap | 1));
        let (left, right) = order.split_at(cut.min(order.len()));
        let mut merged = sum(&gradients, left, 30);
        merged.merge(&sum(&gradients, right, 30)).unwrap();
        prop_assert_eq!(value(merged), straight);
    }

    /// Each chunk rounds to the nearest multiple of 2^-scale: half of it per chunk.
    #[test]
    fn error_is_half_a_unit_per_chunk(gradients in gradients()) {
        let order: Vec<usize> = (0..gradients.len()).collect();
        let sums = value(sum(&gradients, &order, 30));
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
        let sums = value(sum(&gradients, &order, scale));
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
    let sums = value(sum(&gradients, &(0..n as usize).collect::<Vec<_>>(), 0));
    assert_eq!(sums[0], f64::from(top) * f64::from(n));
    let over = vec![[libm::ldexp(1.0, chunk_bits(n)) as f32, 0.0, 0.0]; n as usize];
    let partial = sum(&over, &(0..n as usize).collect::<Vec<_>>(), 0);
    assert!(matches!(partial.reduce(), Err(StepError::Overflow { .. })));
}

#[test]
fn faults_are_named() {
    let empty = Statistics::default();
    let mut partial = Partial::new(LEN, 10, 2, false);
    partial.add_chunk(0, Side::Rows, &[1.0; LEN], &empty).unwrap();
    assert_eq!(
        partial.add_chunk(0, Side::Rows, &[1.0; LEN], &empty),
        Err(PartialError::DuplicateChunk(0))
    );
    assert_eq!(
        partial.add_chunk(1, Side::Rows, &[1.0; LEN + 1], &empty),
        Err(PartialError::Mismatch("number of parameters"))
    );
    let twice = partial.clone();
    assert_eq!(partial.merge(&twice), Err(PartialError::DuplicateChunk(0)));
    assert_eq!(
        partial.merge(&Partial::new(LEN, 11, 2, false)),
        Err(PartialError::Mismatch("scale"))
    );
    assert_eq!(
        partial.clone().reduce().err(),
        Some(StepError::Incomplete { missing: 1, total: 2 })
    );
    partial.add_chunk(1, Side::Rows, &[f32::NAN, 1.0, f32::INFINITY], &empty).unwrap();
    assert_eq!(partial.reduce().err(), Some(StepError::NotFinite { count: 2 }));
}

/// The sample sum is divided by the mean weight, except for b.
#[test]
fn separated_samples_are_self_normalised() {
    let mut weights = Statistics::default();
    for w in [1.0f64, 7.0, 0.0, 0.0] {
        weights.add_sample(w.ln());
    }
    let mut partial = Partial::new(LEN, 40, 2, true);
    partial.add_chunk(0, Side::Rows, &[1.0, 1.0, 1.0], &Statistics::default()).unwrap();
    partial.add_chunk(1, Side::Samples, &[-4.0, 2.0, -2.0], &weights).unwrap();
    // The weights went through ln and exp: a few units in the last place.
    for (g, expected) in value(partial).iter().zip([1.0 - 2.0, 1.0 + 1.0, 1.0 - 2.0]) {
        assert!((g - expected).abs() < 1e-14, "{g} {expected}");
    }
}
