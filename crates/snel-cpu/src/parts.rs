//! Parts of the engine by themselves, for the benches.

use pulp::{Simd, WithSimd};
use snel_core::activation::Activation;
use snel_core::density::Density;
use snel_core::energy::Energy;
use snel_core::philox::{Key, Stream};

use crate::buffer::{Buffer, stride, zeros};
use crate::density::{Scratch, TileDensity};
use crate::draw::{Sampler, Source};
use crate::instruction_set::InstructionSet;
use crate::layer::{Backward, Forward, Rows, RowsMut, WeightGradient};
use crate::math::{Activate, WithActivation, with_activation};
use crate::packed::{PackedWeights, padded};
use crate::tile::{ROOM, TILE, Tile};

/// Points that every part works on at a time.
pub const POINTS: usize = TILE;

/// One hidden layer between equally wide ones, with a tile of points.
pub struct OneLayer {
    set: InstructionSet,
    width: usize,
    activation: Activation,
    parameters: Vec<f32>,
    packed: PackedWeights,
    input: Buffer,
    output: Buffer,
    slope: Buffer,
    gradient: Buffer,
    bias_gradient: Buffer,
}

impl OneLayer {
    /// A layer of `width` by `width` weights.
    pub fn new(width: usize, activation: Activation, set: InstructionSet) -> Self {
        let energy =
            Energy::Mlp { dim: width, widths: vec![width; 2], activation, residual: false };
        let parameters = energy.initial_parameters(0, false);
        let mut packed = PackedWeights::new(&energy, set.lanes(), false);
        packed.pack(&parameters);
        let mut input = zeros(ROOM * stride(width));
        input.iter_mut().enumerate().for_each(|(i, x)| *x = (i as f32 * 0.7).sin());
        let wide = padded(width, set.lanes());
        Self {
            set,
            width,
            activation,
            parameters,
            packed,
            output: input.clone(),
            slope: input.clone(),
            input,
            gradient: zeros(width * wide),
            bias_gradient: zeros(wide),
        }
    }

    /// Multiply-adds, counted twice, of each of the three products.
    pub fn operations(&self) -> u64 {
        2 * (POINTS * self.width * self.width) as u64
    }

    /// Packs the weights.
    pub fn pack(&mut self) {
        self.packed.pack(&self.parameters);
    }

    /// The product with the weight, bias, activation and slope.
    pub fn forward(&mut self) {
        let stride = stride(self.width);
        self.set.run(Forward {
            n: POINTS,
            layer: &self.packed.layers[1],
            bias: &self.packed.layers[1].bias,
            activation: Some(self.activation),
            input: Rows { values: &self.input, stride },
            output: RowsMut { values: &mut self.output, stride },
            slope: &mut self.slope,
        });
    }

    /// The product with the transposed weight, times the slope. Slopes shrink to nothing when this
    /// is repeated, so it begins with fresh ones.
    pub fn backward(&mut self) {
        let stride = stride(self.width);
        self.slope.copy_from_slice(&self.input);
        self.set.run(Backward {
            n: POINTS,
            layer: &self.packed.layers[1],
            cotangent: Rows { values: &self.input, stride },
            below: RowsMut { values: &mut self.slope, stride },
            below_bias: &mut self.bias_gradient,
            through: None,
        });
    }

    /// The gradient of the weight.
    pub fn weight_gradient(&mut self) {
        let stride = stride(self.width);
        let rows = Rows { values: &self.input, stride };
        self.set.run(WeightGradient {
            n: POINTS,
            columns: rows,
            height: self.width,
            rows,
            width: self.width,
            gradient: &mut self.gradient,
        });
    }
}

/// Value and slope of `activation` at every element of `x`, whose length must be a multiple of 16.
pub fn activate(
    set: InstructionSet,
    activation: Activation,
    x: &[f32],
    value: &mut [f32],
    slope: &mut [f32],
) {
    struct Work<'a> {
        activation: Activation,
        x: &'a [f32],
        value: &'a mut [f32],
        slope: &'a mut [f32],
    }
    struct With<'a, S>(S, Work<'a>);
    impl<S: Simd> WithActivation for With<'_, S> {
        #[inline(always)]
        fn run<A: Activate>(self) {
            let Self(simd, Work { x, value, slope, .. }) = self;
            let (value, slope) = (S::as_mut_simd_f32s(value).0, S::as_mut_simd_f32s(slope).0);
            for ((x, value), slope) in S::as_simd_f32s(x).0.iter().zip(value).zip(slope) {
                (*value, *slope) = A::value_and_slope(simd, *x);
            }
        }
    }
    impl WithSimd for Work<'_> {
        type Output = ();
        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) {
            with_activation(Some(self.activation), With(simd, self));
        }
    }
    set.run(Work { activation, x, value, slope });
}

/// A proposal with a tile of its samples.
pub struct Proposal {
    density: Density,
    prepared: TileDensity,
    sampler: Sampler,
    tile: Tile,
    scratch: Scratch,
    log_density: [f32; TILE],
}

impl Proposal {
    /// Samples of `density`.
    pub fn new(density: Density) -> Self {
        let dim = density.dim();
        let prepared = TileDensity::new(&density);
        Self {
            scratch: Scratch::new(prepared.components()),
            prepared,
            density,
            sampler: Sampler::new(dim),
            tile: Tile::new(dim),
            log_density: [0.0; TILE],
        }
    }

    /// Draws the samples from `first` on.
    pub fn draw(&mut self, first: u64) {
        let source = Source { key: Key::new(0, Stream::Proposal), step: 0, first };
        self.sampler.draw(&self.density, source, POINTS, &mut self.tile);
    }

    /// Log-densities of the samples drawn last.
    pub fn log_density(&mut self) -> &[f32] {
        self.prepared.log_density(&self.tile, &mut self.scratch, &mut self.log_density);
        &self.log_density
    }
}
