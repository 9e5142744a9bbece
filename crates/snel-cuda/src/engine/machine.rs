//! A device with the kernels and the memory of one problem.
//!
//! The launches are here, and with them the `unsafe` of this module: what a launch promises is
//! that its addresses are alive and have the room that the kernel expects.
#![allow(unsafe_code)]

use snel_core::engine::{SampleSet, Scored};
use snel_core::objective::Objective;
use snel_core::partial::Partial;
use snel_core::philox::Stream;
use snel_core::plan::StepPlan;
use snel_core::problem::{Base, Problem};

use super::CudaError;
use super::setup::{DensityOnDevice, ask_sizes, blocks_for, grow};
use super::update::Update;
use super::work::{StepInput, SumsOfStep};
use crate::arguments::{self, Model, PackArguments, ScoreArguments, StepArguments};
use crate::device::{Device, DeviceError, Grid, Memory};
use crate::shape::{Shape, Sizes};

/// The kernels, in the order in which they are kept.
const KERNELS: [&str; 6] =
    ["snel_pack", "snel_step", "snel_score", "snel_norm", "snel_update", "snel_sizes"];

pub(crate) struct Machine<D: Device> {
    pub(super) device: D,
    shape: Shape,
    pub(super) sizes: Sizes,
    seed: u32,
    base_kind: i32,
    /// Blocks of a launch that has enough work.
    blocks: u32,
    pack: D::Kernel,
    step: D::Kernel,
    score: D::Kernel,
    pub(super) update: Update<D>,
    /// The flat vector.
    pub(super) parameters: D::Memory,
    packed: D::Memory,
    proposal: DensityOnDevice<D>,
    base: DensityOnDevice<D>,
    tiles: D::Memory,
    /// A chunk's gradient a block.
    gradients: D::Memory,
    /// Sums of the last step.
    pub(super) row_sums: D::Memory,
    pub(super) sample_sums: Option<D::Memory>,
    control: D::Memory,
    chunks: D::Memory,
    tallies: D::Memory,
    rows: D::Memory,
    points: D::Memory,
    scored: D::Memory,
}

impl<D: Device> Machine<D> {
    /// Compiles the kernels of `shape` and asks for memory.
    pub(crate) fn new(
        mut device: D,
        shape: &Shape,
        problem: &Problem,
        most_blocks: Option<u32>,
    ) -> Result<Self, CudaError> {
        let name = device.name().to_owned();
        let failed = |source| CudaError::Device { device: name.clone(), source };
        let kernels = device.compile(&shape.program(), &KERNELS).map_err(failed)?;
        let Ok([pack, step, score, norm, update, sizes]) = <[D::Kernel; 6]>::try_from(kernels)
        else {
            let device = device.name().to_owned();
            let (action, source) = ("compile".to_owned(), "a kernel is missing".into());
            let source = DeviceError::Failed { device: device.clone(), action, source };
            return Err(CudaError::Device { device, source });
        };
        let found = ask_sizes(&device, &sizes).map_err(failed)?;
        let Sizes { shared, packed, tile, sums, parameters } = shape.sizes();
        let slots = sums / (4 * shape.threads);
        let host = [shared, packed, tile, slots, parameters].map(|n| n as u64);
        if found != host {
            return Err(CudaError::Sizes { kernels: found, host });
        }
        let kernels = [pack, step, score, norm, update];
        Self::with_kernels(device, kernels, shape, problem, most_blocks).map_err(failed)
    }

    fn with_kernels(
        device: D,
        [pack, step, score, norm, update]: [D::Kernel; 5],
        shape: &Shape,
        problem: &Problem,
        most_blocks: Option<u32>,
    ) -> Result<Self, DeviceError> {
        let sizes = shape.sizes();
        let blocks = blocks_for(&device, shape, &sizes).min(most_blocks.unwrap_or(u32::MAX)).max(1);
        let all = |bytes: usize| device.allocate((bytes * blocks as usize).max(1));
        let sums = || device.allocate(8 * sizes.parameters);
        let model = &problem.model;
        let (base_kind, base) = match &model.base {
            Base::None => (0, None),
            Base::Proposal => (1, None),
            Base::Density(density) => (2, Some(density)),
        };
        Ok(Self {
            seed: problem.seed,
            base_kind,
            blocks,
            pack,
            step,
            score,
            parameters: device.allocate(4 * sizes.parameters)?,
            packed: device.allocate(sizes.packed)?,
            proposal: DensityOnDevice::new(&device, Some(&model.proposal))?,
            base: DensityOnDevice::new(&device, base)?,
            tiles: all(sizes.tile)?,
            gradients: all(sizes.sums)?,
            update: Update::new(&device, [norm, update], sizes.parameters)?,
            row_sums: sums()?,
            sample_sums: problem.objective.separates_samples().then(sums).transpose()?,
            control: device.allocate(8)?,
            chunks: device.allocate(1)?,
            tallies: device.allocate(1)?,
            rows: device.allocate(1)?,
            points: device.allocate(1)?,
            scored: device.allocate(1)?,
            shape: shape.clone(),
            sizes,
            device,
        })
    }

    fn model(&self) -> Model {
        Model {
            parameters: self.parameters.address(),
            packed: self.packed.address(),
            proposal: self.proposal.arguments(),
            base: self.base.arguments(),
            tiles: self.tiles.address(),
            seed: self.seed,
            base_kind: self.base_kind,
        }
    }

    /// Packs the parameters, which have changed, for the products.
    pub(super) fn pack(&self) -> Result<(), DeviceError> {
        let arguments =
            PackArguments { parameters: self.parameters.address(), packed: self.packed.address() };
        // SAFETY: both are of this device, live as long as `self`, and have the sizes that `new`
        // has compared with the kernels'.
        unsafe {
            self.device.launch(&self.pack, self.elementwise(), bytemuck::bytes_of(&arguments))
        }
    }

    /// A launch for all parameters, one by one.
    pub(super) fn elementwise(&self) -> Grid {
        let threads = 256;
        let blocks = (self.sizes.parameters as u32).div_ceil(threads).clamp(1, 4 * self.blocks);
        Grid { blocks, threads, shared: 0 }
    }

    /// Sums the chunks of `input`, of the step of `plan`, at the scale of `partial`.
    pub(crate) fn step(
        &mut self,
        problem: &Problem,
        plan: &StepPlan,
        partial: &Partial,
        input: &StepInput,
        sums: &mut SumsOfStep,
    ) -> Result<(), DeviceError> {
        let n_chunks = input.chunks.len();
        sums.expect(n_chunks);
        let Self { device, chunks, tallies, rows, row_sums, sample_sums, control, .. } = self;
        grow(device, chunks, size_of_val(&input.chunks[..]))?;
        grow(device, tallies, size_of_val(&sums.tallies[..]))?;
        grow(device, rows, size_of_val(&input.rows[..]))?;
        device.upload(bytemuck::cast_slice(&input.chunks), chunks)?;
        device.upload(bytemuck::cast_slice(&input.rows), rows)?;
        device.clear(row_sums)?;
        device.clear(control)?;
        if let Some(sample_sums) = sample_sums {
            device.clear(sample_sums)?;
        }
        let arguments = self.step_arguments(problem, plan, partial, n_chunks as u32);
        let grid = self.shape.grid(self.blocks.min(n_chunks as u32));
        // SAFETY: all memory is of this device and lives as long as `self`. Parameters, packed
        // parameters and sums have the sizes that `new` has compared; tiles and gradients
        // are there for `self.blocks` blocks; chunks, tallies and rows were grown to hold
        // `n_chunks` chunks and the rows they point into.
        unsafe { self.device.launch(&self.step, grid, bytemuck::bytes_of(&arguments))? };
        let Self { device, tallies, row_sums, sample_sums, control, .. } = self;
        device.download(row_sums, bytemuck::cast_slice_mut(&mut sums.rows))?;
        if let Some(sample_sums) = sample_sums {
            device.download(sample_sums, bytemuck::cast_slice_mut(&mut sums.samples))?;
        }
        device.download(tallies, bytemuck::cast_slice_mut(&mut sums.tallies))?;
        device.download(control, bytemuck::cast_slice_mut(&mut sums.control))
    }

    fn step_arguments(
        &self,
        problem: &Problem,
        plan: &StepPlan,
        partial: &Partial,
        n_chunks: u32,
    ) -> StepArguments {
        let row_sums = self.row_sums.address();
        StepArguments {
            model: self.model(),
            rows: self.rows.address(),
            chunks: self.chunks.address(),
            tallies: self.tallies.address(),
            row_sums,
            sample_sums: self.sample_sums.as_ref().map_or(row_sums, Memory::address),
            control: self.control.address(),
            sums: self.gradients.address(),
            factor: 2.0f64.powi(partial.scale()),
            limit: partial.limit(),
            batch: plan.batch() as f64,
            samples: plan.samples() as f64,
            n_chunks,
            step: plan.step,
            stream: Stream::Proposal as u32,
            objective: match problem.objective {
                Objective::Snl => 0,
                Objective::IsMle => 1,
                Objective::Nce => 2,
            },
        }
    }

    /// Scores the points `x`.
    pub(crate) fn score(&mut self, x: &[f32], out: &mut [Scored]) -> Result<(), DeviceError> {
        grow(&self.device, &mut self.points, size_of_val(x))?;
        self.device.upload(bytemuck::cast_slice(x), &mut self.points)?;
        self.launch_score(None, out)
    }

    /// Draws the samples of `set` from number `first` on into `x` and scores them.
    pub(crate) fn score_samples(
        &mut self,
        set: SampleSet,
        first: u64,
        x: &mut [f32],
        out: &mut [Scored],
    ) -> Result<(), DeviceError> {
        grow(&self.device, &mut self.points, size_of_val(x))?;
        self.launch_score(Some((set, first)), out)?;
        self.device.download(&self.points, bytemuck::cast_slice_mut(x))
    }

    /// Scores as many points as `out` has room for; `self.points` is large enough for them.
    fn launch_score(
        &mut self,
        samples: Option<(SampleSet, u64)>,
        out: &mut [Scored],
    ) -> Result<(), DeviceError> {
        let mut scored = vec![arguments::Scored::default(); out.len()];
        grow(&self.device, &mut self.scored, size_of_val(&scored[..]))?;
        let (set, first) = samples.unwrap_or((SampleSet { stream: Stream::Proposal, step: 0 }, 0));
        let arguments = ScoreArguments {
            model: self.model(),
            points: self.points.address(),
            scored: self.scored.address(),
            first,
            count: out.len() as u32,
            is_sample: samples.is_some().into(),
            step: set.step,
            stream: set.stream as u32,
        };
        let blocks = out.len().div_ceil(self.shape.tile).min(self.blocks as usize) as u32;
        let grid = self.shape.grid(blocks.max(1));
        // SAFETY: as for a step; points and scores have room for `out.len()` points.
        unsafe { self.device.launch(&self.score, grid, bytemuck::bytes_of(&arguments))? };
        self.device.download(&self.scored, bytemuck::cast_slice_mut(&mut scored))?;
        for (out, s) in out.iter_mut().zip(scored) {
            let arguments::Scored { energy, log_base, log_proposal } = s;
            *out = Scored { energy, log_base, log_proposal };
        }
        Ok(())
    }
}
