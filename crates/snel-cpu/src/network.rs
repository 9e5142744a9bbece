//! One tile of points through the energy, forward and backward.
//!
//! For each layer the tile keeps its outputs and its slopes; on the way back the cotangents of the
//! pre-activations take the place of the slopes. Gradients gather in rows of whole vectors, a weight's
//! as it is or transposed, whichever has less padding, and are written out once a chunk.

use pulp::{Simd, WithSimd};
use snel_core::activation::Activation;
use snel_core::energy::Energy;

use crate::buffer::{Buffer, stride, zeros};
use crate::instruction_set::InstructionSet;
use crate::kept::Kept;
use crate::layer::{Backward, Forward, Rows, RowsMut};
use crate::packed::{PackedWeights, padded};
use crate::quadratic;
use crate::tile::{ROOM, TILE, Tile, clear_behind};

/// The energy's shape with room for one tile and for one chunk's gradient.
#[derive(Debug, Clone)]
pub(crate) struct Network {
    set: InstructionSet,
    energy: Energy,
    activation: Activation,
    layers: Vec<Kept>,
    /// Gradient of the output weight, padded.
    output_gradient: Buffer,
    output_offset: usize,
    output_width: usize,
    /// Only with residual layers: cotangents of a layer's outputs.
    through: Option<Buffer>,
    through_stride: usize,
    /// Gradient of a quadratic energy.
    quadratic_gradient: Vec<f32>,
    /// Sums that nobody asks for.
    spare: Buffer,
}

impl Network {
    pub(crate) fn new(energy: &Energy, set: InstructionSet) -> Self {
        let lanes = set.lanes();
        let (layers, output_offset) = energy.layers();
        let (activation, residual) = match energy {
            Energy::Mlp { activation, residual, .. } => (*activation, *residual),
            Energy::Quadratic { .. } | Energy::Zero { .. } => (Activation::Relu, false), // no layers
        };
        let widest = layers.iter().map(|l| l.outputs).max().unwrap_or(0);
        let output_width = layers.last().map_or(energy.dim(), |l| l.outputs);
        let is_quadratic = matches!(energy, Energy::Quadratic { .. });
        let coefficients = if is_quadratic { quadratic::coefficients(energy.dim()) } else { 0 };
        Self {
            set,
            activation,
            layers: layers.into_iter().map(|layer| Kept::new(layer, lanes)).collect(),
            output_gradient: zeros(padded(output_width, lanes)),
            output_offset,
            output_width,
            through: residual.then(|| zeros(ROOM * stride(widest))),
            through_stride: stride(widest),
            quadratic_gradient: vec![0.0; coefficients],
            spare: zeros(padded(widest.max(energy.dim()), lanes)),
            energy: energy.clone(),
        }
    }

    /// Energies of the points of `tile`.
    pub(crate) fn forward(
        &mut self,
        parameters: &[f32],
        weights: &PackedWeights,
        tile: &Tile,
        energies: &mut [f32],
    ) {
        let n = tile.len();
        match self.energy {
            Energy::Mlp { .. } => {}
            Energy::Quadratic { .. } => {
                return quadratic::energies(parameters, tile, &mut energies[..n]);
            }
            Energy::Zero { .. } => return energies[..n].fill(0.0),
        }
        for i in 0..self.layers.len() {
            let (before, rest) = self.layers.split_at_mut(i);
            let kept = &mut rest[0];
            self.set.run(Forward {
                n,
                layer: &weights.layers[i],
                bias: &weights.layers[i].bias,
                activation: Some(self.activation),
                input: before.last().map_or(tile.rows(), Kept::output),
                output: RowsMut { values: &mut kept.output, stride: kept.stride },
                slope: &mut kept.slope,
            });
        }
        let last = self.layers.last().map_or(tile.rows(), Kept::output);
        self.set.run(Output { last, weight: &weights.output, energies: &mut energies[..n] });
    }

    /// Adds the cotangent-weighted energy gradients of the tile that went forward last. Beyond the
    /// tile's points, `cotangents` must be zero.
    pub(crate) fn backward(
        &mut self,
        weights: &PackedWeights,
        tile: &Tile,
        cotangents: &[f32; ROOM],
    ) {
        let n = tile.len();
        match self.energy {
            Energy::Mlp { .. } => {}
            Energy::Quadratic { .. } => {
                let gradient = &mut self.quadratic_gradient;
                return quadratic::add_gradient(tile, &cotangents[..n], gradient);
            }
            Energy::Zero { .. } => return,
        }
        let last = self.layers.last().map_or(tile.rows(), Kept::output);
        let gradient = &mut self.output_gradient;
        self.set.run(OutputGradient { last, cotangents: &cotangents[..n], gradient });
        // Zero times what an earlier tile or a wild point left there need not be zero.
        for kept in &mut self.layers {
            clear_behind(&mut kept.slope, kept.stride, n);
        }
        let Some(kept) = self.layers.last_mut() else { return };
        let through = self.through.as_mut();
        self.set.run(Top {
            cotangents: &cotangents[..n + ROOM - TILE],
            weight: &weights.output,
            slope: RowsMut { values: &mut kept.slope, stride: kept.stride },
            bias: &mut kept.bias_gradient,
            through: through.map(|values| RowsMut { values, stride: self.through_stride }),
        });
        for i in (0..self.layers.len()).rev() {
            let (before, rest) = self.layers.split_at_mut(i);
            let kept = &mut rest[0];
            let input = before.last().map_or(tile.rows(), Kept::output);
            kept.add_weight_gradient(self.set, n, input);
            if let Some(below) = before.last_mut() {
                let through = self.through.as_mut();
                self.set.run(Backward {
                    n,
                    layer: &weights.layers[i],
                    cotangent: Rows { values: &kept.slope, stride: kept.stride },
                    below: RowsMut { values: &mut below.slope, stride: below.stride },
                    below_bias: &mut below.bias_gradient,
                    through: through.map(|values| RowsMut { values, stride: self.through_stride }),
                });
            }
        }
    }

    /// Gradients of the energy with respect to the points of the tile that went forward last, into
    /// `to`. What is gathered of parameters stays as it is; slopes are used up. The weights must be
    /// packed for the way to the points.
    pub(crate) fn point_gradients(
        &mut self,
        parameters: &[f32],
        weights: &PackedWeights,
        tile: &Tile,
        to: RowsMut<'_>,
    ) {
        let n = tile.len();
        let mut cotangents = [0.0; ROOM];
        cotangents[..n].fill(1.0);
        for kept in &mut self.layers {
            clear_behind(&mut kept.slope, kept.stride, n);
        }
        if let Some(kept) = self.layers.last_mut() {
            let through = self.through.as_mut();
            self.set.run(Top {
                cotangents: &cotangents[..n + ROOM - TILE],
                weight: &weights.output,
                slope: RowsMut { values: &mut kept.slope, stride: kept.stride },
                bias: &mut self.spare,
                through: through.map(|values| RowsMut { values, stride: self.through_stride }),
            });
        }
        for i in (1..self.layers.len()).rev() {
            let (before, rest) = self.layers.split_at_mut(i);
            let (kept, below) = (&rest[0], &mut before[i - 1]);
            let through = self.through.as_mut();
            self.set.run(Backward {
                n,
                layer: &weights.layers[i],
                cotangent: Rows { values: &kept.slope, stride: kept.stride },
                below: RowsMut { values: &mut below.slope, stride: below.stride },
                below_bias: &mut self.spare,
                through: through.map(|values| RowsMut { values, stride: self.through_stride }),
            });
        }
        self.point_cotangents(parameters, weights, tile, &cotangents, to);
        self.spare.fill(0.0);
    }

    /// The last part of the way back: the points' own cotangents, to `to`. The weights must be packed
    /// for the way to the points.
    pub(crate) fn point_cotangents(
        &mut self,
        parameters: &[f32],
        weights: &PackedWeights,
        tile: &Tile,
        cotangents: &[f32; ROOM],
        to: RowsMut<'_>,
    ) {
        let n = tile.len();
        if matches!(self.energy, Energy::Quadratic { .. }) {
            return quadratic::point_cotangents(parameters, tile, &cotangents[..n], to);
        }
        let Some(kept) = self.layers.first() else {
            // Linear in the points, or zero, as the weights then are.
            for (to, c) in to.values.chunks_exact_mut(to.stride).zip(&cotangents[..n]) {
                to.fill(0.0);
                to.iter_mut().zip(&weights.output[..]).for_each(|(to, v)| *to = c * v);
            }
            return;
        };
        kept.input_cotangents(self.set, &weights.layers[0], n, to, &mut self.spare);
    }

    /// Writes the gradient gathered so far to the flat vector `out` and starts again at zero.
    pub(crate) fn take_gradient(&mut self, out: &mut [f32]) {
        match self.energy {
            Energy::Mlp { .. } => {}
            Energy::Quadratic { .. } => {
                out[..self.quadratic_gradient.len()].copy_from_slice(&self.quadratic_gradient);
                return self.quadratic_gradient.fill(0.0);
            }
            Energy::Zero { .. } => return,
        }
        for kept in &mut self.layers {
            kept.take_gradient(out, true);
        }
        let output = &mut out[self.output_offset..self.output_offset + self.output_width];
        output.copy_from_slice(&self.output_gradient[..self.output_width]);
        self.output_gradient.fill(0.0);
    }
}

/// `energies[t] = last[t] . weight`.
struct Output<'a> {
    last: Rows<'a>,
    weight: &'a [f32],
    energies: &'a mut [f32],
}

impl WithSimd for Output<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (weight, _) = S::as_simd_f32s(self.weight);
        let rows = self.last.values.chunks_exact(self.last.stride);
        for (energy, row) in self.energies.iter_mut().zip(rows) {
            let mut sum = simd.splat_f32s(0.0);
            for (h, v) in S::as_simd_f32s(row).0.iter().zip(weight) {
                sum = simd.mul_add_e_f32s(*h, *v, sum);
            }
            *energy = simd.reduce_sum_f32s(sum);
        }
    }
}

/// `gradient += Σ_t cotangents[t] * last[t]`.
struct OutputGradient<'a> {
    last: Rows<'a>,
    cotangents: &'a [f32],
    gradient: &'a mut [f32],
}

impl WithSimd for OutputGradient<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (last, _) = S::as_simd_f32s(self.last.values);
        let stride = self.last.stride / S::F32_LANES;
        for (j, gradient) in S::as_mut_simd_f32s(self.gradient).0.iter_mut().enumerate() {
            let mut sum = *gradient;
            for (t, c) in self.cotangents.iter().enumerate() {
                sum = simd.mul_add_e_f32s(simd.splat_f32s(*c), last[t * stride + j], sum);
            }
            *gradient = sum;
        }
    }
}

/// The cotangents of the last layer's pre-activations, in place of its slopes.
struct Top<'a> {
    /// Of the points, and zeros for the rows that a block may read behind them.
    cotangents: &'a [f32],
    weight: &'a [f32],
    slope: RowsMut<'a>,
    bias: &'a mut [f32],
    through: Option<RowsMut<'a>>,
}

impl WithSimd for Top<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (weight, _) = S::as_simd_f32s(self.weight);
        let stride = self.slope.stride / S::F32_LANES;
        let (slope, _) = S::as_mut_simd_f32s(self.slope.values);
        let (bias, _) = S::as_mut_simd_f32s(self.bias);
        for (t, c) in self.cotangents.iter().enumerate() {
            let c = simd.splat_f32s(*c);
            let row = &mut slope[t * stride..][..weight.len()];
            for ((slope, v), bias) in row.iter_mut().zip(weight).zip(&mut *bias) {
                *slope = simd.mul_f32s(simd.mul_f32s(c, *v), *slope);
                *bias = simd.add_f32s(*bias, *slope);
            }
        }
        if let Some(through) = self.through {
            let stride = through.stride / S::F32_LANES;
            let (through, _) = S::as_mut_simd_f32s(through.values);
            for (t, c) in self.cotangents.iter().enumerate() {
                let c = simd.splat_f32s(*c);
                for (to, v) in through[t * stride..].iter_mut().zip(weight) {
                    *to = simd.mul_f32s(c, *v);
                }
            }
        }
    }
}
