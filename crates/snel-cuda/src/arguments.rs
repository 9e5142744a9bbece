//! What kernels are given: twins of the structs of `kernels/arguments.cuh`, field by field.
//!
//! Deriving `Pod` proves that no struct has padding, so its bytes are all its own. Addresses are
//! `u64`; a zero address is an absent array.

use bytemuck::{Pod, Zeroable};

/// A kind of density: `DensityKind`.
pub(crate) mod kind {
    pub(crate) const GAUSSIAN: i32 = 0;
    pub(crate) const STUDENT: i32 = 1;
    pub(crate) const UNIFORM: i32 = 2;
    pub(crate) const MIXTURE: i32 = 3;
}

#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Pod, Zeroable)]
pub(crate) struct DensityNode {
    pub(crate) kind: i32,
    pub(crate) diagonal: i32,
    pub(crate) mean: i32,
    pub(crate) scale: i32,
    pub(crate) inverse: i32,
    pub(crate) first_child: i32,
    pub(crate) children: i32,
    pub(crate) offset: f32,
    pub(crate) exponent: f32,
    pub(crate) inverse_df: f32,
    pub(crate) weight: f64,
    pub(crate) df: f64,
}

#[repr(C)]
#[derive(Debug, Clone, Copy, Default, Pod, Zeroable)]
pub(crate) struct Density {
    pub(crate) nodes: u64,
    pub(crate) values: u64,
    pub(crate) count: i32,
    pub(crate) has_lower: i32,
}

#[repr(C)]
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
pub(crate) struct Chunk {
    pub(crate) first: u64,
    pub(crate) count: u32,
    pub(crate) is_sample: u32,
}

#[repr(C)]
#[derive(Debug, Clone, Copy, Default, Pod, Zeroable)]
pub(crate) struct ChunkTally {
    pub(crate) rows: u64,
    pub(crate) samples: u64,
    pub(crate) overflows: u64,
    pub(crate) not_finite: u64,
    pub(crate) max_u: f64,
    pub(crate) row_log_density: f64,
    pub(crate) weight: f64,
    pub(crate) weight_squared: f64,
}

#[repr(C)]
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
pub(crate) struct Model {
    pub(crate) parameters: u64,
    pub(crate) packed: u64,
    pub(crate) proposal: Density,
    pub(crate) base: Density,
    pub(crate) tiles: u64,
    pub(crate) seed: u32,
    pub(crate) base_kind: i32,
}

#[repr(C)]
#[derive(Debug, Clone, Copy, Default, Pod, Zeroable)]
pub(crate) struct Control {
    pub(crate) next_chunk: u32,
    pub(crate) largest: u32,
    pub(crate) unsound: u32,
    pub(crate) stalled: u32,
    pub(crate) scale: i32,
    pub(crate) scale_of_sums: i32,
}

#[repr(C)]
#[derive(Debug, Clone, Copy, Default, Pod, Zeroable)]
pub(crate) struct StepReport {
    pub(crate) gradient_norm: f64,
    pub(crate) b: f32,
    pub(crate) next_scale: i32,
    pub(crate) applied: u32,
    pub(crate) unused: u32,
}

#[repr(C)]
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
pub(crate) struct PackArguments {
    pub(crate) parameters: u64,
    pub(crate) packed: u64,
}

#[repr(C)]
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
pub(crate) struct StepArguments {
    pub(crate) model: Model,
    pub(crate) rows: u64,
    pub(crate) chunks: u64,
    pub(crate) tallies: u64,
    pub(crate) row_sums: u64,
    pub(crate) sample_sums: u64,
    pub(crate) control: u64,
    pub(crate) sums: u64,
    pub(crate) batch: f64,
    pub(crate) samples: f64,
    pub(crate) n_chunks: u32,
    pub(crate) step: u32,
    pub(crate) stream: u32,
    pub(crate) objective: i32,
    pub(crate) chunk_bits: i32,
    pub(crate) unused: u32,
}

#[repr(C)]
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
pub(crate) struct VerdictArguments {
    pub(crate) control: u64,
    pub(crate) report: u64,
    pub(crate) chunk_bits: i32,
    pub(crate) headroom_bits: i32,
    pub(crate) first_scale: i32,
    pub(crate) finest: i32,
}

#[repr(C)]
#[derive(Debug, Clone, Copy, Default, Pod, Zeroable)]
pub(crate) struct Scored {
    pub(crate) energy: f32,
    pub(crate) log_base: f32,
    pub(crate) log_proposal: f32,
}

#[repr(C)]
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
pub(crate) struct ScoreArguments {
    pub(crate) model: Model,
    pub(crate) points: u64,
    pub(crate) scored: u64,
    pub(crate) first: u64,
    pub(crate) count: u32,
    pub(crate) is_sample: u32,
    pub(crate) step: u32,
    pub(crate) stream: u32,
}

#[repr(C)]
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
pub(crate) struct UpdateArguments {
    pub(crate) parameters: u64,
    pub(crate) first_moment: u64,
    pub(crate) second_moment: u64,
    pub(crate) row_sums: u64,
    pub(crate) sample_sums: u64,
    pub(crate) norm_parts: u64,
    pub(crate) report: u64,
    pub(crate) control: u64,
    pub(crate) sample_factor: f64,
    pub(crate) beta1: f64,
    pub(crate) beta2: f64,
    pub(crate) epsilon: f64,
    pub(crate) correct1: f64,
    pub(crate) correct2: f64,
    pub(crate) lr: f64,
    pub(crate) b_lr: f64,
    pub(crate) weight_decay: f64,
    pub(crate) clip_norm: f64,
}

#[repr(C)]
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
pub(crate) struct ChunkExtent {
    pub(crate) largest: u32,
    pub(crate) not_finite: u32,
}

#[repr(C)]
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
pub(crate) struct LayerArguments {
    pub(crate) step: StepArguments,
    pub(crate) points: u64,
    pub(crate) values: u64,
    pub(crate) slopes: u64,
    pub(crate) product: u64,
    pub(crate) log_base: u64,
    pub(crate) log_proposal: u64,
    pub(crate) energies: u64,
    pub(crate) cotangents: u64,
    pub(crate) gradients: u64,
    pub(crate) extents: u64,
    pub(crate) drawn: u64,
    pub(crate) scored: u64,
    pub(crate) rows: u64,
    pub(crate) chunk_rows: u32,
    pub(crate) layer: i32,
}

#[repr(C)]
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
pub(crate) struct SizesArguments {
    pub(crate) sizes: u64,
}

// The kernels assert the same sizes.
const _: () = assert!(size_of::<DensityNode>() == 56 && size_of::<Density>() == 24);
const _: () = assert!(size_of::<Model>() == 80 && size_of::<Chunk>() == 16);
const _: () = assert!(size_of::<ChunkTally>() == 64 && size_of::<Scored>() == 12);
const _: () = assert!(size_of::<StepArguments>() == 176 && size_of::<ScoreArguments>() == 120);
const _: () = assert!(size_of::<Control>() == 24 && size_of::<StepReport>() == 24);
const _: () = assert!(size_of::<VerdictArguments>() == 32 && size_of::<UpdateArguments>() == 144);
const _: () = assert!(size_of::<LayerArguments>() == 288 && size_of::<ChunkExtent>() == 8);
