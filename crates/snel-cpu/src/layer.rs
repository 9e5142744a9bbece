//! The work of one layer on a tile: forward, backward, and the gradient of its weights.
//!
//! Activations, slopes and cotangents are `T x W`, row-major, rows a [`crate::buffer::stride`]
//! apart. Rows are computed in whole blocks: those beyond the tile's points hold numbers that
//! nobody reads (their cotangents are zero), and so do columns beyond `W` (their weights are zero).

use pulp::{Simd, WithSimd};
use snel_core::activation::Activation;

use crate::kernel::{Block, VECTORS, columns_times_rows, rows_of_block, rows_times_panel};
use crate::math::{Activate, WithActivation, with_activation};
use crate::packed::PackedLayer;

/// A matrix with rows `stride` values apart.
#[derive(Clone, Copy)]
pub(crate) struct Rows<'a> {
    pub(crate) values: &'a [f32],
    pub(crate) stride: usize,
}

/// The same to write to.
pub(crate) struct RowsMut<'a> {
    pub(crate) values: &'a mut [f32],
    pub(crate) stride: usize,
}

impl<'a> Rows<'a> {
    /// The first `width` values of `R` rows from row `first` on.
    #[inline(always)]
    fn block<const R: usize>(self, first: usize, width: usize) -> [&'a [f32]; R] {
        std::array::from_fn(|r| &self.values[(first + r) * self.stride..][..width])
    }
}

/// `h = act(W x + c)` and its slope, for the first `n` points.
pub(crate) struct Forward<'a> {
    pub(crate) n: usize,
    pub(crate) layer: &'a PackedLayer,
    /// Padded; the layer's own, or what takes its place.
    pub(crate) bias: &'a [f32],
    /// None for a linear layer.
    pub(crate) activation: Option<Activation>,
    pub(crate) input: Rows<'a>,
    pub(crate) output: RowsMut<'a>,
    /// As long as `output`.
    pub(crate) slope: &'a mut [f32],
}

impl WithSimd for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        struct Work<'a, S>(S, Forward<'a>);
        impl<S: Simd> WithActivation for Work<'_, S> {
            #[inline(always)]
            fn run<A: Activate>(self) {
                let Self(simd, forward) = self;
                match const { rows_of_block::<S>() } {
                    8 => forward.panels::<S, A, 8>(simd),
                    _ => forward.panels::<S, A, 6>(simd),
                }
            }
        }
        with_activation(self.activation, Work(simd, self));
    }
}

impl Forward<'_> {
    #[inline(always)]
    fn panels<S: Simd, A: Activate, const R: usize>(mut self, simd: S) {
        let (bias, _) = S::as_simd_f32s(self.bias);
        let (mut panels, _) = S::as_simd_f32s(&self.layer.forward);
        let inputs = self.layer.layer.inputs;
        for (j, bias) in bias.chunks(VECTORS).enumerate() {
            let (panel, rest) = panels.split_at(bias.len() * inputs);
            if let Ok(bias) = <[S::f32s; VECTORS]>::try_from(bias) {
                self.panel::<S, A, R, VECTORS>(simd, j, panel, bias);
            } else {
                self.panel::<S, A, R, 1>(simd, j, panel, [bias[0]]);
            }
            panels = rest;
        }
    }

    #[inline(always)]
    fn panel<S: Simd, A: Activate, const R: usize, const V: usize>(
        &mut self,
        simd: S,
        j: usize,
        panel: &[S::f32s],
        bias: [S::f32s; V],
    ) {
        let layer = self.layer.layer;
        let stride = self.output.stride / S::F32_LANES;
        let (output, _) = S::as_mut_simd_f32s(self.output.values);
        let (slope, _) = S::as_mut_simd_f32s(self.slope);
        for first in (0..self.n).step_by(R) {
            let rows = self.input.block::<R>(first, layer.inputs);
            let sums = rows_times_panel::<S, R, V>(simd, rows, panel, [bias; R]);
            for r in 0..R {
                let at = (first + r) * stride + j * VECTORS;
                let (output, slope) = (&mut output[at..][..V], &mut slope[at..][..V]);
                for v in 0..V {
                    (output[v], slope[v]) = A::value_and_slope(simd, sums[r][v]);
                }
                if layer.residual {
                    let input = &self.input.values[(first + r) * self.input.stride..];
                    let (input, _) = S::as_simd_f32s(input);
                    for v in 0..V {
                        output[v] = simd.add_f32s(output[v], input[j * VECTORS + v]);
                    }
                }
            }
        }
    }
}

/// From the cotangents of a layer's pre-activations to those of the layer below.
pub(crate) struct Backward<'a> {
    pub(crate) n: usize,
    pub(crate) layer: &'a PackedLayer,
    pub(crate) cotangent: Rows<'a>,
    /// Slopes of the layer below; its cotangents on return.
    pub(crate) below: RowsMut<'a>,
    /// The sum of those cotangents over points is added here.
    pub(crate) below_bias: &'a mut [f32],
    /// Only with residual layers: cotangents of this layer's outputs, and of its inputs on return.
    pub(crate) through: Option<RowsMut<'a>>,
}

impl WithSimd for Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        match const { rows_of_block::<S>() } {
            8 => self.panels::<S, 8>(simd),
            _ => self.panels::<S, 6>(simd),
        }
    }
}

impl Backward<'_> {
    #[inline(always)]
    fn panels<S: Simd, const R: usize>(&mut self, simd: S) {
        let (mut panels, _) = S::as_simd_f32s(&self.layer.backward);
        let outputs = self.layer.layer.outputs;
        let vectors = self.layer.layer.inputs.div_ceil(S::F32_LANES);
        for j in (0..vectors).step_by(VECTORS) {
            let width = (vectors - j).min(VECTORS);
            let (panel, rest) = panels.split_at(width * outputs);
            match width {
                VECTORS => self.panel::<S, R, VECTORS>(simd, j, panel),
                _ => self.panel::<S, R, 1>(simd, j, panel),
            }
            panels = rest;
        }
    }

    #[inline(always)]
    fn panel<S: Simd, const R: usize, const V: usize>(
        &mut self,
        simd: S,
        j: usize,
        panel: &[S::f32s],
    ) {
        let layer = self.layer.layer;
        let stride = self.below.stride / S::F32_LANES;
        let (below, _) = S::as_mut_simd_f32s(self.below.values);
        let zero = simd.splat_f32s(0.0);
        let mut bias = [zero; V];
        for first in (0..self.n).step_by(R) {
            let rows = self.cotangent.block::<R>(first, layer.outputs);
            let mut sums: Block<S, R, V> =
                rows_times_panel::<S, R, V>(simd, rows, panel, [[zero; V]; R]);
            if let Some(through) = &mut self.through {
                let stride = through.stride / S::F32_LANES;
                let (through, _) = S::as_mut_simd_f32s(through.values);
                for r in 0..R {
                    let through = &mut through[(first + r) * stride + j..][..V];
                    for v in 0..V {
                        if layer.residual {
                            sums[r][v] = simd.add_f32s(sums[r][v], through[v]);
                        }
                        through[v] = sums[r][v];
                    }
                }
            }
            for r in 0..R {
                let below = &mut below[(first + r) * stride + j..][..V];
                for v in 0..V {
                    below[v] = simd.mul_f32s(sums[r][v], below[v]);
                    bias[v] = simd.add_f32s(bias[v], below[v]);
                }
            }
        }
        let (below_bias, _) = S::as_mut_simd_f32s(self.below_bias);
        for (sum, bias) in below_bias[j..].iter_mut().zip(bias) {
            *sum = simd.add_f32s(*sum, bias);
        }
    }
}

/// Adds `A^T B` to `gradient`. With the layer's inputs and its cotangents in either place this is
/// the gradient of its weight or of the transposed weight, to the same bits.
pub(crate) struct WeightGradient<'a> {
    pub(crate) n: usize,
    /// `A` and its columns: rows of the gradient.
    pub(crate) columns: Rows<'a>,
    pub(crate) height: usize,
    /// `B` and its columns, which are taken by whole vectors.
    pub(crate) rows: Rows<'a>,
    pub(crate) width: usize,
    /// Rows of whole vectors, without gaps.
    pub(crate) gradient: &'a mut [f32],
}

impl WithSimd for WeightGradient<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let vectors = self.width.div_ceil(S::F32_LANES);
        for j in (0..vectors).step_by(VECTORS) {
            match (vectors - j).min(VECTORS) {
                VECTORS => self.columns::<S, VECTORS>(simd, vectors, j),
                _ => self.columns::<S, 1>(simd, vectors, j),
            }
        }
    }
}

impl WeightGradient<'_> {
    /// Whole blocks of rows first; what is left in blocks of 4, 2 and 1.
    #[inline(always)]
    fn columns<S: Simd, const V: usize>(&mut self, simd: S, vectors: usize, j: usize) {
        let mut first = 0;
        match const { rows_of_block::<S>() } {
            8 => self.rows::<S, 8, V>(simd, vectors, j, &mut first),
            _ => self.rows::<S, 6, V>(simd, vectors, j, &mut first),
        }
        self.rows::<S, 4, V>(simd, vectors, j, &mut first);
        self.rows::<S, 2, V>(simd, vectors, j, &mut first);
        self.rows::<S, 1, V>(simd, vectors, j, &mut first);
    }

    #[inline(always)]
    fn rows<S: Simd, const R: usize, const V: usize>(
        &mut self,
        simd: S,
        vectors: usize,
        j: usize,
        first: &mut usize,
    ) {
        let (rows, _) = S::as_simd_f32s(self.rows.values);
        let (gradient, _) = S::as_mut_simd_f32s(self.gradient);
        while *first + R <= self.height {
            let at = |r: usize| (*first + r) * vectors + j;
            let sums = std::array::from_fn(|r| std::array::from_fn(|v| gradient[at(r) + v]));
            let sums: Block<S, R, V> = columns_times_rows(
                simd,
                self.n,
                (&self.columns.values[*first..], self.columns.stride),
                (&rows[j..], self.rows.stride / S::F32_LANES),
                sums,
            );
            for r in 0..R {
                for v in 0..V {
                    gradient[at(r) + v] = sums[r][v];
                }
            }
            *first += R;
        }
    }
}
