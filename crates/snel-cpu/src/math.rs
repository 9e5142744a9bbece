//! Elementary functions and activations in f32, written for the vectoriser.
//!
//! Only `+ - * /`, comparisons and bit moves: the same bits on every instruction set. Loops over
//! slices are compiled for the best one present by `pulp`'s dispatch. NaN goes in, NaN comes out,
//! so that a broken energy is seen and refused.
//!
//! Absolute errors, checked by the tests below: `exp` 2e-7 relative, `tanh` and `sigmoid` 2e-7,
//! SiLU, GELU and softplus 3e-7 times `1 + |x|`, slopes 1e-6.

use pulp::Arch;
use snel_core::activation::Activation;
use snel_core::normal::ln;

/// `2^n` times 1.5 added to a float below `2^22` leaves its nearest integer in the low bits.
const ROUND: f32 = 12_582_912.0;
// Minimax polynomial of exp on +- ln(2)/2: Cephes (Moshier), single precision, public constants.
const EXP: [f32; 6] =
    [1.987_569_1e-4, 1.398_2e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5];
const LN_2_HIGH: f32 = 0.693_359_4;
const LN_2_LOW: f32 = -2.121_944_4e-4;
// tanh on +- 0.625: Cephes, single precision.
const TANH: [f32; 5] =
    [-5.704_988_6e-3, 2.063_909e-2, -5.373_971_6e-2, 1.333_144_2e-1, -3.333_328e-1];
// erfc(x) exp(x^2) as a polynomial in 1 / (1 + p x): Abramowitz and Stegun 7.1.26.
const ERFC: [f32; 5] = [1.061_405_4, -1.453_152, 1.421_413_8, -0.284_496_72, 0.254_829_6];
const ERFC_P: f32 = 0.327_591_1;

/// Runs `work` compiled for the best instruction set of this machine.
#[inline(always)]
pub(crate) fn vectorised(work: impl FnOnce()) {
    Arch::new().dispatch(work);
}

#[inline(always)]
fn horner(coefficients: &[f32], x: f32) -> f32 {
    let mut p = coefficients[0];
    for c in &coefficients[1..] {
        p = p * x + c;
    }
    p
}

/// `e^x`; arguments below -87.3 give 1.2e-38 instead of less, above 88.3 about 2.4e38.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    let x = x.clamp(-87.3, 88.3);
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = x - n * LN_2_HIGH - n * LN_2_LOW;
    let power = shifted.to_bits().wrapping_sub(ROUND.to_bits()).wrapping_add(127) << 23;
    (horner(&EXP, r) * r * r + r + 1.0) * f32::from_bits(power)
}

#[inline(always)]
fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

#[inline(always)]
fn tanh(x: f32) -> f32 {
    let z = x * x;
    let small = horner(&TANH, z) * z * x + x;
    let large = 1.0 - 2.0 / (exp(2.0 * x) + 1.0);
    if x.abs() < 0.625 { small } else { large }
}

/// Value and slope of each activation at `x`; compare [`Activation::value_and_slope`].
#[inline(always)]
fn silu(x: f32) -> (f32, f32) {
    let s = sigmoid(x);
    (x * s, s * (1.0 + x * (1.0 - s)))
}

#[inline(always)]
fn relu(x: f32) -> (f32, f32) {
    // Not `max`, which would turn NaN into zero.
    if x <= 0.0 { (0.0, 0.0) } else { (x, 1.0) }
}

#[inline(always)]
fn tanh_and_slope(x: f32) -> (f32, f32) {
    let t = tanh(x);
    (t, 1.0 - t * t)
}

#[inline(always)]
fn gelu(x: f32) -> (f32, f32) {
    let half_square_exp = exp(-0.5 * x * x);
    let t = 1.0 / (1.0 + ERFC_P * std::f32::consts::FRAC_1_SQRT_2 * x.abs());
    let tail = 0.5 * horner(&ERFC, t) * t * half_square_exp;
    let cdf = if x >= 0.0 { 1.0 - tail } else { tail };
    (x * cdf, cdf + x * half_square_exp * 0.398_942_3)
}

#[inline(always)]
fn softplus(x: f32) -> (f32, f32) {
    let e = exp(-x.abs());
    let value = if x <= 0.0 { 0.0 } else { x } + ln(1.0 + e);
    let s = 1.0 / (1.0 + e);
    (value, if x >= 0.0 { s } else { e * s })
}

/// Adds `bias` to each row of `z` (`rows x bias.len()`), then replaces `z` by the activation and
/// fills `slope` with its derivative.
pub(crate) fn activate(activation: Activation, bias: &[f32], z: &mut [f32], slope: &mut [f32]) {
    #[inline(always)]
    fn rows(bias: &[f32], z: &mut [f32], slope: &mut [f32], f: impl Fn(f32) -> (f32, f32) + Copy) {
        let width = bias.len();
        for (z, slope) in z.chunks_exact_mut(width).zip(slope.chunks_exact_mut(width)) {
            for ((z, slope), bias) in z.iter_mut().zip(slope).zip(bias) {
                (*z, *slope) = f(*z + bias);
            }
        }
    }
    vectorised(
        #[inline(always)]
        || match activation {
            Activation::Silu => rows(bias, z, slope, silu),
            Activation::Relu => rows(bias, z, slope, relu),
            Activation::Tanh => rows(bias, z, slope, tanh_and_slope),
            Activation::Gelu => rows(bias, z, slope, gelu),
            Activation::Softplus => rows(bias, z, slope, softplus),
        },
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points() -> impl Iterator<Item = f32> {
        (-200_000..=200_000).map(|i| i as f32 * 4.3e-4)
    }

    #[test]
    fn exp_is_accurate() {
        for x in points().filter(|x| (-87.0..88.0).contains(x)) {
            let exact = f64::from(x).exp();
            assert!((f64::from(exp(x)) / exact - 1.0).abs() < 2e-7, "{x}");
        }
        assert!(exp(f32::NAN).is_nan());
        assert!(exp(1e30).is_finite() && exp(-1e30) < 1e-37);
    }

    #[test]
    fn activations_agree_with_their_definitions() {
        let x: Vec<f32> = points().collect();
        for activation in Activation::ALL {
            let (mut z, mut slope) = (x.clone(), vec![0.0; x.len()]);
            activate(activation, &[0.0], &mut z, &mut slope);
            for ((x, z), slope) in x.iter().zip(&z).zip(&slope) {
                let (value, derivative) = activation.value_and_slope(f64::from(*x));
                let bound = 3e-7 * (1.0 + f64::from(x.abs()));
                assert!((f64::from(*z) - value).abs() < bound, "{activation:?} at {x}: {z}");
                assert!((f64::from(*slope) - derivative).abs() < 1e-6, "{activation:?}' at {x}");
            }
        }
    }

    #[test]
    fn extremes_and_nan() {
        for activation in Activation::ALL {
            let (mut z, mut slope) = ([-1e30, 1e30, f32::NAN], [0.0; 3]);
            activate(activation, &[0.0], &mut z, &mut slope);
            assert!(z[0].is_finite() && slope[0].is_finite(), "{activation:?}");
            assert!(z[1].is_finite() && slope[1].is_finite(), "{activation:?}");
            assert!(z[2].is_nan(), "{activation:?}");
        }
    }

    #[test]
    fn bias_is_added_by_column() {
        let (mut z, mut slope) = ([1.0, 2.0, -5.0, 4.0], [0.0; 4]);
        activate(Activation::Relu, &[1.0, -1.0], &mut z, &mut slope);
        assert_eq!((z, slope), ([2.0, 1.0, 0.0, 3.0], [1.0, 1.0, 0.0, 1.0]));
    }
}
