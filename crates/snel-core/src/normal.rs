//! Standard normal numbers from Philox words.
//!
//! Box and Muller (1958) in f32, written with `+`, `-`, `*` and `sqrt` only. IEEE 754 fixes the
//! result of each of these, so every machine and every accelerator that does not fuse them makes
//! the same bits. No library function, whose last bit differs between systems, is called.
//!
//! Invariants
//! 1. Equal words give equal bits everywhere.
//! 2. No result is infinite or NaN; the largest magnitude is `sqrt(66 ln 2)`, about 6.76: the
//!    radius comes from a full 32-bit word.
//!
//! Nothing here fails.

// Coefficients of the minimax polynomials: Cephes (Moshier), single precision, public constants.
/// `log(1 + f) = f - f^2 / 2 + f^3 P(f)` for `1 + f` from `sqrt(1/2)` to `sqrt(2)`; highest power first.
pub const LOG: [f32; 9] = [
    7.037_683_6e-2,
    -1.151_461e-1,
    1.167_699_9e-1,
    -1.242_014_1e-1,
    1.424_932_3e-1,
    -1.666_805_8e-1,
    2.000_071_5e-1,
    -2.499_999_4e-1,
    3.333_333e-1,
];
/// `ln 2` in two parts; a small integer times the first is exact.
pub const LN_2_HIGH: f32 = 0.693_359_4;
/// The rest of `ln 2`.
pub const LN_2_LOW: f32 = -2.121_944_4e-4;
const SIN: [f32; 3] = [-1.951_529_6e-4, 8.332_161e-3, -1.666_665_5e-1];
const COS: [f32; 3] = [2.443_315_7e-5, -1.388_731_6e-3, 4.166_664_6e-2];

/// Four independent standard normals from the four words of one block.
#[inline(always)]
pub fn normals(words: [u32; 4]) -> [f32; 4] {
    let (a, b) = pair(words[0], words[1]);
    let (c, d) = pair(words[2], words[3]);
    [a, b, c, d]
}

#[inline(always)]
fn pair(radius_word: u32, angle_word: u32) -> (f32, f32) {
    let u = (radius_word as f32 + 0.5) * (1.0 / 4_294_967_296.0);
    let radius = (-2.0 * ln(u)).max(0.0).sqrt();
    let (sin, cos) = sin_cos_turn(angle_word);
    (radius * cos, radius * sin)
}

/// Natural logarithm of a normal positive `x`; absolute error below 2e-7 times `1 + |ln x|`.
#[inline(always)]
pub fn ln(x: f32) -> f32 {
    // x = 2^e * m with m in [sqrt(1/2), sqrt(2)): shift the bits so that the cut is at sqrt(1/2).
    const SQRT_HALF_BITS: u32 = 0x3f35_04f3;
    let shifted = x.to_bits().wrapping_sub(SQRT_HALF_BITS);
    let e = ((shifted as i32) >> 23) as f32;
    let m = f32::from_bits((shifted & 0x007f_ffff).wrapping_add(SQRT_HALF_BITS));
    let f = m - 1.0;
    let z = f * f;
    let mut p = LOG[0];
    for c in &LOG[1..] {
        p = p * f + c;
    }
    let tail = p * f * z + e * LN_2_LOW - 0.5 * z;
    (f + tail) + e * LN_2_HIGH
}

/// Sine and cosine of `2 pi word / 2^32`; absolute error below 2e-7.
#[inline(always)]
fn sin_cos_turn(word: u32) -> (f32, f32) {
    // The nearest quarter turn, and what is left of the angle, exact in integers.
    let quarter = word.wrapping_add(1 << 29) >> 30;
    let rest = word.wrapping_sub(quarter << 30) as i32;
    let t = rest as f32 * (std::f32::consts::FRAC_PI_2 / 1_073_741_824.0);
    let z = t * t;
    let s = ((SIN[0] * z + SIN[1]) * z + SIN[2]) * z * t + t;
    let c = ((COS[0] * z + COS[1]) * z + COS[2]) * z * z - 0.5 * z + 1.0;
    // Rotate by the quarter turns: odd ones swap, and the signs follow the quadrant.
    let swap = quarter & 1 == 1;
    let (sin, cos) = if swap { (c, s) } else { (s, c) };
    let sin_sign = (quarter & 2) << 30;
    let cos_sign = (quarter.wrapping_add(1) & 2) << 30;
    (f32::from_bits(sin.to_bits() ^ sin_sign), f32::from_bits(cos.to_bits() ^ cos_sign))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::philox::{Key, Stream, uniform};

    fn sample(count: u64) -> impl Iterator<Item = f32> {
        let key = Key::new(11, Stream::Proposal);
        (0..count).flat_map(move |i| normals(key.block(0, i, 0)))
    }

    /// Against the same formula in f64. The bound is the stated error of `ln` and `sin_cos_turn`
    /// carried through `sqrt` and the product: r * 2e-7 + (2e-7 (1 + r^2 / 2)) / r, and for tiny r
    /// the rounding of u to 24 bits, 2^-25 / r.
    #[test]
    fn agrees_with_f64() {
        let key = Key::new(5, Stream::Proposal);
        for i in 0..200_000 {
            let words = key.block(0, i, 0);
            let r = (-2.0 * uniform(words[0]).ln()).sqrt();
            let angle = std::f64::consts::TAU * f64::from(words[1]) / 4_294_967_296.0;
            let z = normals(words);
            let bound = r * 3e-7 + (2e-7 * (1.0 + r * r / 2.0) + 3e-8) / r;
            assert!((f64::from(z[0]) - r * angle.cos()).abs() < bound, "{words:?}");
            assert!((f64::from(z[1]) - r * angle.sin()).abs() < bound, "{words:?}");
        }
    }

    #[test]
    fn reaches_six_and_a_half_sigma() {
        assert!(normals([0, 0, 0, 0])[0] > 6.5);
        for radius in [0, 1, u32::MAX - 1, u32::MAX] {
            for angle in [0, 1, 1 << 29, 1 << 30, 1 << 31, u32::MAX] {
                assert!(normals([radius, angle, radius, angle]).iter().all(|z| z.abs() < 6.77));
            }
        }
    }

    /// First four moments of 4 million numbers, each within five of its standard errors.
    #[test]
    fn moments() {
        let n = 4_000_000.0;
        let mut sums = [0.0f64; 4];
        for z in sample(1_000_000) {
            let z = f64::from(z);
            let mut power = 1.0;
            for s in &mut sums {
                power *= z;
                *s += power;
            }
        }
        // Variances of z, z^2, z^3, z^4: 1, 2, 15, 96.
        for ((s, mean), var) in sums.iter().zip([0.0, 1.0, 0.0, 3.0]).zip([1.0f64, 2.0, 15.0, 96.0])
        {
            assert!((s / n - mean).abs() < 5.0 * (var / n).sqrt(), "{s}");
        }
    }

    /// Shares of the tails beyond 1 to 5 sigma, within five binomial standard errors of erfc.
    #[test]
    fn tails() {
        let n = 4_000_000.0;
        let mut beyond = [0u32; 5];
        for z in sample(1_000_000) {
            for (k, count) in beyond.iter_mut().enumerate() {
                *count += u32::from(z.abs() > (k + 1) as f32);
            }
        }
        for (k, &count) in beyond.iter().enumerate() {
            let p = libm::erfc((k + 1) as f64 / std::f64::consts::SQRT_2);
            assert!((f64::from(count) - n * p).abs() < 5.0 * (n * p).sqrt() + 1.0, "{k}: {count}");
        }
    }

    /// Frozen bits: whoever changes the arithmetic must raise the version that the numerics
    /// fingerprint carries.
    #[test]
    fn bits_are_frozen() {
        let mut hash = 0xcbf2_9ce4_8422_2325u64;
        for z in sample(1000) {
            hash = (hash ^ u64::from(z.to_bits())).wrapping_mul(0x0000_0100_0000_01b3);
        }
        assert_eq!(hash, FROZEN);
    }

    const FROZEN: u64 = 7_308_886_950_852_878_092;
}
