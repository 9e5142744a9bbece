//! `log p(x|z)` of the points of a tile and its gradient by the decoder's outputs.
//!
//! Bernoulli values in the stable form of logits, `x o - log(1 + exp(o))`, whose slope is
//! `x - sigmoid(o)`; Gaussian ones as a sum of squares.

use pulp::{Simd, WithSimd};

use crate::columns::Columns;
use crate::layer::{Rows, RowsMut};
use crate::math::{Activate, Softplus};

/// What is summed over the values of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Term {
    /// `log(1 + exp(o)) - x o`.
    CrossEntropy,
    /// `(o - x)^2 / 2`.
    Square,
}

/// Ones for the values of a row, zeros for its padding.
pub(super) fn mask(width: usize) -> Columns {
    let mut mask = Columns::new(width);
    mask.row_mut(0)[..width].fill(1.0);
    mask
}

/// Sums of terms, one for each point, and their gradients by the outputs, times a factor.
pub(super) struct Terms<'a> {
    pub(super) term: Term,
    /// Ones, then zeros, as long as a row.
    pub(super) mask: &'a [f32],
    /// Rows of data.
    pub(super) x: Rows<'a>,
    /// The row that each point belongs to.
    pub(super) row_of: &'a [usize],
    /// Outputs of the decoder, one row a point; rows as long as those of `x`.
    pub(super) output: Rows<'a>,
    pub(super) factor: f32,
    /// As many as points.
    pub(super) sums: &'a mut [f32],
    pub(super) gradient: RowsMut<'a>,
}

impl WithSimd for Terms<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        match self.term {
            Term::CrossEntropy => self.each(simd, |simd: S, x, o| {
                let (softplus, sigmoid) = Softplus::value_and_slope(simd, o);
                (simd.sub_f32s(softplus, simd.mul_f32s(x, o)), simd.sub_f32s(sigmoid, x))
            }),
            Term::Square => self.each(simd, |simd: S, x, o| {
                let r = simd.sub_f32s(o, x);
                (simd.mul_f32s(simd.splat_f32s(0.5), simd.mul_f32s(r, r)), r)
            }),
        }
    }
}

impl Terms<'_> {
    /// `f` gives a term and its slope for `x` and `o`.
    #[inline(always)]
    fn each<S: Simd>(self, simd: S, f: impl Fn(S, S::f32s, S::f32s) -> (S::f32s, S::f32s)) {
        let Self { mask, x, row_of, output, factor, sums, gradient, .. } = self;
        let (mask, _) = S::as_simd_f32s(mask);
        let factor = simd.splat_f32s(factor);
        let outputs = output.values.chunks_exact(output.stride);
        let gradients = gradient.values.chunks_exact_mut(gradient.stride);
        for (((sum, row), output), gradient) in
            sums.iter_mut().zip(row_of).zip(outputs).zip(gradients)
        {
            let (x, _) = S::as_simd_f32s(&x.values[row * x.stride..][..x.stride]);
            let (output, gradient) = (S::as_simd_f32s(output).0, S::as_mut_simd_f32s(gradient).0);
            let mut total = simd.splat_f32s(0.0);
            for (((x, o), mask), gradient) in x.iter().zip(output).zip(mask).zip(gradient) {
                let (term, slope) = f(simd, *x, *o);
                total = simd.mul_add_e_f32s(term, *mask, total);
                *gradient = simd.mul_f32s(simd.mul_f32s(slope, *mask), factor);
            }
            *sum = simd.reduce_sum_f32s(total);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::instruction_set::InstructionSet;

    /// Against the formulas in f64, at widths with padding. Thirty terms below 40 and their sum in
    /// f32 lose a few units of 2^-24 of the sum's size.
    #[test]
    fn terms_agree_with_their_definitions() {
        for (width, term) in [(30, Term::CrossEntropy), (17, Term::Square), (16, Term::Square)] {
            let (mut x, mut output) = (Columns::new(width), Columns::new(width));
            for i in 0..2 {
                for d in 0..width {
                    x.row_mut(i)[d] = (0.5 + 0.5 * ((i * 7 + d) as f32).sin()).round();
                }
            }
            for t in 0..3 {
                for d in 0..width {
                    output.row_mut(t)[d] = 30.0 * ((t * 5 + d) as f32 * 0.7).sin();
                }
            }
            for set in InstructionSet::present() {
                let (mut sums, mut gradient) = ([0.0; 3], Columns::new(width));
                let row_of = [1, 0, 1];
                set.run(Terms {
                    term,
                    mask: mask(width).row(0),
                    x: x.rows(),
                    row_of: &row_of,
                    output: output.rows(),
                    factor: 0.5,
                    sums: &mut sums,
                    gradient: gradient.rows_mut(),
                });
                for t in 0..3 {
                    let mut expected = 0.0;
                    for d in 0..width {
                        let x = f64::from(x.row(row_of[t])[d]);
                        let o = f64::from(output.row(t)[d]);
                        let (value, slope) = match term {
                            Term::CrossEntropy => {
                                let sigmoid = 1.0 / (1.0 + (-o).exp());
                                (o.max(0.0) + (-o.abs()).exp().ln_1p() - x * o, sigmoid - x)
                            }
                            Term::Square => (0.5 * (o - x) * (o - x), o - x),
                        };
                        expected += value;
                        let found = f64::from(gradient.row(t)[d]);
                        assert!((found - 0.5 * slope).abs() < 1e-5, "{set} {term:?} {t} {d}");
                    }
                    let error = (f64::from(sums[t]) - expected).abs();
                    assert!(error < 2e-6 * (1.0 + expected), "{set} {term:?} {t}");
                    assert!(gradient.row(t)[width..].iter().all(|g| *g == 0.0));
                }
            }
        }
    }
}
