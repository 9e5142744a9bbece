//! Exact sums of f64 values, in any order.
//!
//! A small superaccumulator (Neal 2015, *Fast exact summation using small and large
//! superaccumulators*): one signed 64-bit bin for every 32 bits of the double's range. Adding is
//! integer arithmetic, so the sum of a set of values has the same bits in whatever order, split
//! or nesting it was made. Scalar statistics use it; gradients use the cheaper [`crate::partial`].
//!
//! Invariants
//! 1. The bins represent the exact sum; [`ExactSum::value`] rounds it once.
//! 2. No bin overflows: carries are propagated before 2^30 values could have piled up.

/// Doubles span exponents -1074 to 1023 plus 53 bits: 67 bins of 32 bits, and one for carries.
pub(crate) const BINS: usize = 68;
const BITS: u32 = 32;
const MAX_PENDING: u32 = 1 << 30;
/// Bytes of a sum's canonical form.
pub(crate) const BYTES: usize = 4 * BINS;

/// An exact sum. Equal sums may differ in their bins; compare [`ExactSum::value`]s or bytes.
#[derive(Debug, Clone)]
pub struct ExactSum {
    bins: [i64; BINS],
    pending: u32,
}

impl Default for ExactSum {
    fn default() -> Self {
        Self { bins: [0; BINS], pending: 0 }
    }
}

impl ExactSum {
    /// Adds `x`. Returns false, and does nothing, if `x` is not finite.
    pub fn add(&mut self, x: f64) -> bool {
        if !x.is_finite() {
            return false;
        }
        let bits = x.to_bits();
        let (exponent, fraction) = ((bits >> 52) as u32 & 0x7ff, bits & ((1 << 52) - 1));
        // x = ± mantissa * 2^(place - 1074); subnormals share the place of the first exponent.
        let (mantissa, place) =
            if exponent == 0 { (fraction, 0) } else { (fraction | 1 << 52, exponent - 1) };
        let bin = (place / BITS) as usize;
        let wide = u128::from(mantissa) << (place % BITS);
        let sign = if x < 0.0 { -1 } else { 1 };
        for (i, target) in self.bins[bin..(bin + 3).min(BINS)].iter_mut().enumerate() {
            *target += sign * i64::from((wide >> (BITS * i as u32)) as u32);
        }
        self.pending += 1;
        if self.pending >= MAX_PENDING {
            self.carry();
        }
        true
    }

    /// Adds all that `other` holds.
    pub fn merge(&mut self, other: &Self) {
        let mut other = other.clone();
        other.carry();
        self.carry();
        for (mine, theirs) in self.bins.iter_mut().zip(&other.bins) {
            *mine += theirs;
        }
        self.pending = 2;
    }

    /// The sum, rounded to a double (error below one unit in the last place); equal sums give
    /// equal bits. Overflows to an infinity like any sum of doubles.
    pub fn value(&self) -> f64 {
        let mut canonical = self.clone();
        canonical.carry();
        let negative = canonical.bins[BINS - 1] < 0;
        if negative {
            canonical.bins.iter_mut().for_each(|bin| *bin = -*bin);
            canonical.carry();
        }
        // From the top: three bins hold at least 65 significant bits.
        let Some(top) = canonical.bins.iter().rposition(|&bin| bin != 0) else { return 0.0 };
        let low = top.saturating_sub(2);
        let digits =
            canonical.bins[low..=top].iter().rev().fold(0u128, |acc, &d| acc << BITS | d as u128);
        // Two exact powers of two: one alone would leave the range of doubles at either end.
        let exponent = (low as i32) * BITS as i32 - 1074;
        let magnitude =
            libm::ldexp(libm::ldexp(digits as f64, exponent / 2), exponent - exponent / 2);
        if negative { -magnitude } else { magnitude }
    }

    /// Appends the canonical form, [`BYTES`] long: equal sums append equal bytes.
    ///
    /// After the carry every bin but the last is a digit, and the last is the sign: 0 or -1 for
    /// any sum of up to 2^32 doubles.
    pub(crate) fn write_to(&self, out: &mut Vec<u8>) {
        let mut canonical = self.clone();
        canonical.carry();
        out.extend(canonical.bins.iter().flat_map(|&bin| (bin as u32).to_le_bytes()));
    }

    /// The bins of the canonical form: digits, and the sign. Element-wise sums of them are the bins
    /// of the sum, to be read by [`Self::from_words`].
    pub(crate) fn words(&self) -> [i64; BINS] {
        let mut canonical = self.clone();
        canonical.carry();
        canonical.bins
    }

    /// Reads a sum of [`Self::words`]. None if it is beyond what `terms` finite doubles can add up
    /// to, or the words are no sum of digits.
    pub(crate) fn from_words(words: &[i64; BINS], terms: u32) -> Option<Self> {
        /// Above any sum of digits, and far enough from the ends of an `i64` for carries.
        const MOST: i64 = 1 << 62;
        let mut sum = Self { bins: *words, pending: 1 };
        if !words.iter().all(|word| (-MOST..MOST).contains(word)) {
            return None;
        }
        sum.carry();
        sum.is_possible(terms).then_some(sum)
    }

    /// Reads a canonical form. None if it is beyond what `terms` finite doubles can add up to;
    /// sums within that bound stay within the bound of all their terms when they are merged, so
    /// no bin ever overflows, whoever wrote the bytes.
    pub(crate) fn from_bytes(bytes: &[u8; BYTES], terms: u32) -> Option<Self> {
        let mut sum = Self { pending: 1, ..Self::default() };
        for (bin, digit) in sum.bins.iter_mut().zip(bytes.as_chunks().0) {
            *bin = i64::from(u32::from_le_bytes(*digit));
        }
        sum.bins[BINS - 1] = i64::from(sum.bins[BINS - 1] as i32);
        sum.is_possible(terms).then_some(sum)
    }

    /// True if `terms` finite doubles can add up to this sum, which is canonical.
    fn is_possible(&self, terms: u32) -> bool {
        /// The bin that `2^1024`, which is above every double, falls into, and its place in there.
        const TOP: usize = BINS - 3;
        const PLACE: u32 = 1024 + 1074 - TOP as u32 * BITS;
        // Three bins of which the last holds up to 63 bits: they fit.
        let top =
            self.bins[TOP..].iter().rev().fold(0, |acc, &bin| (acc << BITS) + i128::from(bin));
        let limit = i128::from(terms) << PLACE;
        (-limit..limit).contains(&top) || self.bins == [0; BINS]
    }

    /// Brings every bin but the last into `0..2^32`.
    fn carry(&mut self) {
        let mut carry = 0;
        for bin in &mut self.bins[..BINS - 1] {
            let total = *bin + carry;
            *bin = total & 0xffff_ffff;
            carry = total >> BITS;
        }
        self.bins[BINS - 1] += carry;
        self.pending = 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(values: &[f64]) -> ExactSum {
        let mut sum = ExactSum::default();
        values.iter().for_each(|&x| assert!(sum.add(x)));
        sum
    }

    fn bytes(sum: &ExactSum) -> [u8; BYTES] {
        let mut out = Vec::new();
        sum.write_to(&mut out);
        out.try_into().unwrap()
    }

    proptest! {
        #[test]
        fn order_and_split_do_not_matter(
            values in prop::collection::vec(prop::num::f64::NORMAL.prop_filter("no overflow", |x| x.abs() < 1e300), 1..60),
            cut in 0usize..60,
        ) {
            let whole = of(&values).value();
            let mut reversed: Vec<f64> = values.clone();
            reversed.reverse();
            prop_assert_eq!(of(&reversed).value().to_bits(), whole.to_bits());
            let (a, b) = values.split_at(cut.min(values.len()));
            let mut merged = of(b);
            merged.merge(&of(a));
            prop_assert_eq!(merged.value().to_bits(), whole.to_bits());
        }

        /// Integers below 2^53 sum exactly in i128.
        #[test]
        fn agrees_with_integers(values in prop::collection::vec(-(1i64 << 52)..(1i64 << 52), 1..100)) {
            let exact: i128 = values.iter().map(|&v| i128::from(v)).sum();
            let floats: Vec<f64> = values.iter().map(|&v| v as f64).collect();
            prop_assert!((of(&floats).value() - exact as f64).abs() <= (exact as f64).abs() * f64::EPSILON);
        }

        #[test]
        fn equal_sums_are_equal_bytes(
            values in prop::collection::vec(prop::num::f64::NORMAL | prop::num::f64::SUBNORMAL, 0..60),
            cut in 0usize..60,
        ) {
            let whole = bytes(&of(&values));
            let (a, b) = values.split_at(cut.min(values.len()));
            let mut merged = of(b);
            merged.merge(&of(a));
            prop_assert_eq!(bytes(&merged), whole);
            let read = ExactSum::from_bytes(&whole, values.len() as u32).unwrap();
            prop_assert_eq!(bytes(&read), whole);
            prop_assert_eq!(read.value().to_bits(), of(&values).value().to_bits());
        }

        /// As many of the largest doubles as the bound allows pass; the next larger sum does not.
        #[test]
        fn the_bound_is_what_doubles_reach(terms in 1u32..2000, negative in any::<bool>()) {
            let x = if negative { f64::MIN } else { f64::MAX };
            let mut sum = of(&vec![x; terms as usize]);
            prop_assert!(ExactSum::from_bytes(&bytes(&sum), terms).is_some());
            // What is missing to 2^1024, and then one unit of the sum.
            let gap = libm::ldexp(x.signum(), 971);
            (0..terms).for_each(|_| assert!(sum.add(gap)));
            prop_assert_eq!(ExactSum::from_bytes(&bytes(&sum), terms).is_some(), negative);
            sum.add(f64::from_bits(1).copysign(x));
            prop_assert!(ExactSum::from_bytes(&bytes(&sum), terms).is_none());
        }

        #[test]
        fn one_value_is_itself(x in prop::num::f64::NORMAL | prop::num::f64::SUBNORMAL | prop::num::f64::ZERO) {
            prop_assert_eq!(of(&[x]).value(), x);
        }
    }

    #[test]
    fn cancels_exactly() {
        assert_eq!(of(&[1e300, 1.0, -1e300, 1e-300, -1.0]).value(), 1e-300);
        assert!(!ExactSum::default().add(f64::NAN));
    }

    /// The largest lies that pass the bound, added more often than there are chunks to lie about.
    #[test]
    fn no_lie_overflows() {
        let mut high = [u32::MAX; BINS];
        high[BINS - 2..].copy_from_slice(&[(1 << 17) - 1, 0]);
        let low = high.map(|digit| !digit);
        for (lie, negative) in [(high, false), (low, true)] {
            let lie: Vec<u8> = lie.iter().flat_map(|digit| digit.to_le_bytes()).collect();
            let lie = ExactSum::from_bytes(&lie.try_into().unwrap(), 1 << 31).unwrap();
            let mut sum = lie.clone();
            for _ in 0..40 {
                let twice = sum.clone();
                sum.merge(&twice);
                sum.merge(&lie);
                assert_eq!(sum.value() < 0.0, negative);
            }
        }
    }
}
