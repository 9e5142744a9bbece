//! Elementary functions and activations in f32, on vectors.
//!
//! Additions, multiplications, divisions, comparisons and bit moves only. NaN goes in, NaN comes
//! out, so that a broken energy is seen and refused.
//!
//! Errors, checked by the tests below on every instruction set of the machine: `exp` 2e-7
//! relative; `tanh` 2e-7 absolute; SiLU, GELU and softplus 3e-7 times `1 + |x|`; slopes 1e-6.

use pulp::Simd;
use snel_core::activation::Activation;
use snel_core::normal::{LN_2_HIGH, LN_2_LOW, LOG};

/// 1.5 times `2^23`, added to a float below `2^22`, leaves its nearest integer in the low bits.
const ROUND: f32 = 12_582_912.0;
// Minimax polynomial of exp on +- ln(2)/2: Cephes (Moshier), single precision, public constants.
const EXP: [f32; 8] =
    [1.987_569_1e-4, 1.398_2e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5, 1.0, 1.0];
// tanh on +- 0.625: Cephes, single precision.
const TANH: [f32; 5] =
    [-5.704_988_6e-3, 2.063_909e-2, -5.373_971_6e-2, 1.333_144_2e-1, -3.333_328e-1];
// erfc(x) exp(x^2) as a polynomial in 1 / (1 + p x): Abramowitz and Stegun 7.1.26.
const ERFC: [f32; 5] = [1.061_405_4, -1.453_152, 1.421_413_8, -0.284_496_72, 0.254_829_6];
const ERFC_P: f32 = 0.327_591_1;

#[inline(always)]
fn horner<S: Simd>(simd: S, coefficients: &[f32], x: S::f32s) -> S::f32s {
    let mut p = simd.splat_f32s(coefficients[0]);
    for c in &coefficients[1..] {
        p = simd.mul_add_e_f32s(p, x, simd.splat_f32s(*c));
    }
    p
}

/// `min(max(x, low), high)`, and NaN for NaN.
#[inline(always)]
fn clamp<S: Simd>(simd: S, x: S::f32s, low: f32, high: f32) -> S::f32s {
    let (low, high) = (simd.splat_f32s(low), simd.splat_f32s(high));
    let x = simd.select_f32s(simd.less_than_f32s(x, low), low, x);
    simd.select_f32s(simd.greater_than_f32s(x, high), high, x)
}

/// `e^x`; arguments below -87.3 give 1.2e-38 instead of less, above 88.3 about 2.2e38.
#[inline(always)]
pub(crate) fn exp<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let x = clamp(simd, x, -87.3, 88.3);
    let log2_e = simd.splat_f32s(std::f32::consts::LOG2_E);
    let round = simd.splat_f32s(ROUND);
    let shifted = simd.mul_add_e_f32s(x, log2_e, round);
    let n = simd.sub_f32s(shifted, round);
    let r = simd.mul_add_e_f32s(n, simd.splat_f32s(-LN_2_HIGH), x);
    let r = simd.mul_add_e_f32s(n, simd.splat_f32s(-LN_2_LOW), r);
    let p = horner(simd, &EXP, r);
    // p lies in [0.7, 1.42]: adding n to its exponent multiplies it by 2^n.
    let n = simd.wrapping_dyn_shl_u32s(simd.transmute_u32s_f32s(shifted), simd.splat_u32s(23));
    simd.transmute_f32s_u32s(simd.add_u32s(simd.transmute_u32s_f32s(p), n))
}

/// `log(1 + e)` for `e` in [0, 1].
#[inline(always)]
fn log_one_plus<S: Simd>(simd: S, e: S::f32s) -> S::f32s {
    let c = |v: f32| simd.splat_f32s(v);
    // 1 + e = m or 2 m with m in [0.7, 1.42], and f = m - 1.
    let large = simd.greater_than_f32s(e, c(std::f32::consts::SQRT_2 - 1.0));
    let halved = simd.mul_add_e_f32s(e, c(0.5), c(-0.5));
    let f = simd.select_f32s(large, halved, e);
    let offset = simd.select_f32s(large, c(std::f32::consts::LN_2), c(0.0));
    let z = simd.mul_f32s(f, f);
    let tail = simd.mul_f32s(horner(simd, &LOG, f), f);
    let tail = simd.mul_f32s(simd.sub_f32s(tail, c(0.5)), z);
    simd.add_f32s(simd.add_f32s(f, tail), offset)
}

/// An activation function.
pub(crate) trait Activate: Copy {
    /// Value and slope at `x`; compare [`Activation::value_and_slope`].
    fn value_and_slope<S: Simd>(simd: S, x: S::f32s) -> (S::f32s, S::f32s);
}

#[derive(Clone, Copy)]
pub(crate) struct Silu;
#[derive(Clone, Copy)]
pub(crate) struct Relu;
#[derive(Clone, Copy)]
pub(crate) struct Tanh;
#[derive(Clone, Copy)]
pub(crate) struct Gelu;
#[derive(Clone, Copy)]
pub(crate) struct Softplus;
#[derive(Clone, Copy)]
pub(crate) struct Identity;

impl Activate for Identity {
    #[inline(always)]
    fn value_and_slope<S: Simd>(simd: S, x: S::f32s) -> (S::f32s, S::f32s) {
        (x, simd.splat_f32s(1.0))
    }
}

impl Activate for Silu {
    #[inline(always)]
    fn value_and_slope<S: Simd>(simd: S, x: S::f32s) -> (S::f32s, S::f32s) {
        let one = simd.splat_f32s(1.0);
        let e = exp(simd, simd.neg_f32s(x));
        let s = simd.div_f32s(one, simd.add_f32s(one, e));
        let value = simd.mul_f32s(x, s);
        // s (1 + x (1 - s))
        (value, simd.mul_add_e_f32s(value, simd.sub_f32s(one, s), s))
    }
}

impl Activate for Relu {
    #[inline(always)]
    fn value_and_slope<S: Simd>(simd: S, x: S::f32s) -> (S::f32s, S::f32s) {
        let zero = simd.splat_f32s(0.0);
        // Not `max`, which would turn NaN into zero.
        let off = simd.less_than_or_equal_f32s(x, zero);
        let slope = simd.select_f32s(off, zero, simd.splat_f32s(1.0));
        (simd.select_f32s(off, zero, x), slope)
    }
}

impl Activate for Tanh {
    #[inline(always)]
    fn value_and_slope<S: Simd>(simd: S, x: S::f32s) -> (S::f32s, S::f32s) {
        let (one, two) = (simd.splat_f32s(1.0), simd.splat_f32s(2.0));
        let z = simd.mul_f32s(x, x);
        let cubed = simd.mul_f32s(simd.mul_f32s(horner(simd, &TANH, z), z), x);
        let small = simd.add_f32s(cubed, x);
        let e = exp(simd, simd.add_f32s(x, x));
        let large = simd.sub_f32s(one, simd.div_f32s(two, simd.add_f32s(e, one)));
        let is_small = simd.less_than_f32s(simd.abs_f32s(x), simd.splat_f32s(0.625));
        let t = simd.select_f32s(is_small, small, large);
        (t, simd.sub_f32s(one, simd.mul_f32s(t, t)))
    }
}

impl Activate for Gelu {
    #[inline(always)]
    fn value_and_slope<S: Simd>(simd: S, x: S::f32s) -> (S::f32s, S::f32s) {
        let c = |v: f32| simd.splat_f32s(v);
        let half_square_exp = exp(simd, simd.mul_f32s(simd.mul_f32s(c(-0.5), x), x));
        let p = c(ERFC_P * std::f32::consts::FRAC_1_SQRT_2);
        let t = simd.div_f32s(c(1.0), simd.mul_add_e_f32s(p, simd.abs_f32s(x), c(1.0)));
        let tail = simd.mul_f32s(simd.mul_f32s(horner(simd, &ERFC, t), t), half_square_exp);
        let tail = simd.mul_f32s(c(0.5), tail);
        let negative = simd.less_than_f32s(x, c(0.0));
        let cdf = simd.select_f32s(negative, tail, simd.sub_f32s(c(1.0), tail));
        let pdf = simd.mul_f32s(half_square_exp, c(0.398_942_3));
        (simd.mul_f32s(x, cdf), simd.mul_add_e_f32s(x, pdf, cdf))
    }
}

impl Activate for Softplus {
    #[inline(always)]
    fn value_and_slope<S: Simd>(simd: S, x: S::f32s) -> (S::f32s, S::f32s) {
        let (zero, one) = (simd.splat_f32s(0.0), simd.splat_f32s(1.0));
        let negative = simd.less_than_f32s(x, zero);
        let e = exp(simd, simd.neg_f32s(simd.abs_f32s(x)));
        let value = simd.add_f32s(simd.select_f32s(negative, zero, x), log_one_plus(simd, e));
        let s = simd.div_f32s(one, simd.add_f32s(one, e));
        (value, simd.select_f32s(negative, simd.mul_f32s(e, s), s))
    }
}

/// Work that is compiled for each activation function.
pub(crate) trait WithActivation {
    fn run<A: Activate>(self);
}

/// Runs `work` for `activation`; for the identity, if there is none.
#[inline(always)]
pub(crate) fn with_activation<W: WithActivation>(activation: Option<Activation>, work: W) {
    match activation {
        None => work.run::<Identity>(),
        Some(Activation::Silu) => work.run::<Silu>(),
        Some(Activation::Relu) => work.run::<Relu>(),
        Some(Activation::Tanh) => work.run::<Tanh>(),
        Some(Activation::Gelu) => work.run::<Gelu>(),
        Some(Activation::Softplus) => work.run::<Softplus>(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::instruction_set::InstructionSet;
    use pulp::WithSimd;

    fn points() -> Vec<f32> {
        (-200_000..200_000).map(|i| i as f32 * 4.3e-4).collect()
    }

    /// Applies `f` to every element, on `set`.
    fn map(set: InstructionSet, x: &[f32], f: Function) -> (Vec<f32>, Vec<f32>) {
        struct Map<'a>(&'a [f32], &'a mut [f32], &'a mut [f32], Function);
        impl WithSimd for Map<'_> {
            type Output = ();
            #[inline(always)]
            fn with_simd<S: Simd>(self, simd: S) {
                let (x, rest) = S::as_simd_f32s(self.0);
                assert!(rest.is_empty());
                let (value, slope) = (S::as_mut_simd_f32s(self.1).0, S::as_mut_simd_f32s(self.2).0);
                for ((x, value), slope) in x.iter().zip(value).zip(slope) {
                    (*value, *slope) = match self.3 {
                        Function::Exp => (exp(simd, *x), *x),
                        Function::Of(Activation::Silu) => Silu::value_and_slope(simd, *x),
                        Function::Of(Activation::Relu) => Relu::value_and_slope(simd, *x),
                        Function::Of(Activation::Tanh) => Tanh::value_and_slope(simd, *x),
                        Function::Of(Activation::Gelu) => Gelu::value_and_slope(simd, *x),
                        Function::Of(Activation::Softplus) => Softplus::value_and_slope(simd, *x),
                    };
                }
            }
        }
        let (mut value, mut slope) = (vec![0.0; x.len()], vec![0.0; x.len()]);
        set.run(Map(x, &mut value, &mut slope, f));
        (value, slope)
    }

    #[derive(Clone, Copy)]
    enum Function {
        Exp,
        Of(Activation),
    }

    #[test]
    fn exp_is_accurate() {
        let x: Vec<f32> = points().into_iter().map(|x| x.clamp(-87.0, 88.0)).collect();
        for set in InstructionSet::present() {
            for (x, y) in x.iter().zip(map(set, &x, Function::Exp).0) {
                let exact = f64::from(*x).exp();
                assert!((f64::from(y) / exact - 1.0).abs() < 2e-7, "{set}: {x}");
            }
            let ends = [f32::NAN, 1e30, -1e30, f32::INFINITY].repeat(16);
            let y = map(set, &ends, Function::Exp).0;
            assert!(y[0].is_nan() && y[1].is_finite() && y[2] < 1e-37 && y[3] > 1e38, "{set}");
        }
    }

    #[test]
    fn activations_agree_with_their_definitions() {
        let x = points();
        for set in InstructionSet::present() {
            for activation in Activation::ALL {
                let (values, slopes) = map(set, &x, Function::Of(activation));
                for ((x, value), slope) in x.iter().zip(values).zip(slopes) {
                    let (exact, derivative) = activation.value_and_slope(f64::from(*x));
                    let bound = match activation {
                        Activation::Tanh => 2e-7,
                        _ => 3e-7 * (1.0 + f64::from(x.abs())),
                    };
                    let error = (f64::from(value) - exact).abs();
                    assert!(error < bound, "{set} {activation:?} at {x}: {value}");
                    let error = (f64::from(slope) - derivative).abs();
                    assert!(error < 1e-6, "{set} {activation:?}' at {x}: {slope}");
                }
            }
        }
    }

    #[test]
    fn extremes_and_nan() {
        let x = [-1e30, 1e30, f32::NAN, 0.0].repeat(16);
        for set in InstructionSet::present() {
            for activation in Activation::ALL {
                let (z, slope) = map(set, &x, Function::Of(activation));
                assert!(z[0].is_finite() && slope[0].is_finite(), "{set} {activation:?}");
                assert!(z[1].is_finite() && slope[1].is_finite(), "{set} {activation:?}");
                assert!(z[2].is_nan(), "{set} {activation:?}");
            }
        }
    }
}
