//! A device with the kernels and the memory of one problem.
//!
//! The launches are here, and with them the `unsafe` of this module: what a launch promises is
//! that its addresses are alive and have the room that the kernel expects.
#![allow(unsafe_code)]

use snel_core::engine::{SampleSet, Scored};
use snel_core::objective::Objective;
use snel_core::partial::{Partial, chunk_bits};
use snel_core::philox::Stream;
use snel_core::plan::StepPlan;
use snel_core::problem::{Base, Problem};

use super::CudaError;
use super::layers::{self, Layers};
use super::setup::{DensityOnDevice, ask_sizes, grow};
use super::tiles::{self, Tiles};
use super::update::Update;
use super::work::{StepInput, SumsOfStep};
use crate::arguments::{self, Control, Model, PackArguments, ScoreArguments, StepArguments};
use crate::device::{Device, DeviceError, Grid, Memory};
use crate::settings::Settings;
use crate::shape::{Shape, Sizes};

/// The kernels that every machine has, in the order in which they are kept.
const KERNELS: [&str; 5] = ["snel_pack", "snel_verdict", "snel_norm", "snel_update", "snel_sizes"];

/// What goes through all points of a step, or of a set to score.
enum Work<D: Device> {
    Tiles(Tiles<D>),
    Layers(Layers<D>),
}

pub(crate) struct Machine<D: Device> {
    pub(super) device: D,
    shape: Shape,
    pub(super) sizes: Sizes,
    seed: u32,
    base_kind: i32,
    pack: D::Kernel,
    work: Work<D>,
    pub(super) verdict: D::Kernel,
    pub(super) update: Update<D>,
    /// The flat vector.
    pub(super) parameters: D::Memory,
    packed: D::Memory,
    proposal: DensityOnDevice<D>,
    base: DensityOnDevice<D>,
    /// Sums of the last step.
    pub(super) row_sums: D::Memory,
    pub(super) sample_sums: Option<D::Memory>,
    pub(super) control: D::Memory,
    pub(super) chunks: D::Memory,
    tallies: D::Memory,
    pub(super) rows: D::Memory,
    /// What the steps of a batch tell.
    pub(super) reports: D::Memory,
    points: D::Memory,
    scored: D::Memory,
}

impl<D: Device> Machine<D> {
    /// Compiles the kernels of `shape` and asks for memory.
    pub(crate) fn new(
        mut device: D,
        shape: &Shape,
        problem: &Problem,
        settings: &Settings,
    ) -> Result<Self, CudaError> {
        let name = device.name().to_owned();
        let failed = |source| CudaError::Device { device: name.clone(), source };
        let of_work: &[&str] = if shape.layerwise { &layers::KERNELS } else { &tiles::KERNELS };
        let names = [&KERNELS, of_work].concat();
        let mut kernels = device.compile(&shape.program(), &names).map_err(failed)?;
        let of_work = kernels.split_off(KERNELS.len().min(kernels.len()));
        let [pack, verdict, norm, update, sizes] = all(&device, kernels).map_err(failed)?;
        let found = ask_sizes(&device, &sizes).map_err(failed)?;
        let Sizes { shared, packed, tile, sums, row, parameters } = shape.sizes();
        let middle =
            if shape.layerwise { [row, sums / 4] } else { [tile, sums / (4 * shape.threads)] };
        let host = [shared, packed, middle[0], middle[1], parameters].map(|n| n as u64);
        if found != host {
            return Err(CudaError::Sizes { kernels: found, host });
        }
        let most = settings.blocks.unwrap_or(u32::MAX);
        let work = if shape.layerwise {
            let kernels = all(&device, of_work).map_err(failed)?;
            Work::Layers(Layers::new(&device, kernels, shape, settings).map_err(failed)?)
        } else {
            let kernels = all(&device, of_work).map_err(failed)?;
            Work::Tiles(Tiles::new(&device, kernels, shape, most).map_err(failed)?)
        };
        Self::with(device, [pack, verdict, norm, update], work, shape, problem).map_err(failed)
    }

    fn with(
        device: D,
        [pack, verdict, norm, update]: [D::Kernel; 4],
        work: Work<D>,
        shape: &Shape,
        problem: &Problem,
    ) -> Result<Self, DeviceError> {
        let sizes = shape.sizes();
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
            pack,
            work,
            verdict,
            parameters: device.allocate(4 * sizes.parameters)?,
            packed: device.allocate(sizes.packed)?,
            proposal: DensityOnDevice::new(&device, Some(&model.proposal))?,
            base: DensityOnDevice::new(&device, base)?,
            update: Update::new(&device, [norm, update], sizes.parameters)?,
            row_sums: sums()?,
            sample_sums: problem.objective.separates_samples().then(sums).transpose()?,
            control: device.allocate(size_of::<Control>())?,
            chunks: device.allocate(1)?,
            tallies: device.allocate(1)?,
            rows: device.allocate(1)?,
            reports: device.allocate(1)?,
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
            tiles: match &self.work {
                Work::Tiles(tiles) => tiles.room.address(),
                Work::Layers(_) => 0,
            },
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
        // Enough for every multiprocessor to have all the threads that it takes.
        let most = 8 * self.device.multiprocessors();
        let blocks = (self.sizes.parameters as u32).div_ceil(threads).clamp(1, most);
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
        sums.on_device = false;
        let Self { device, chunks, tallies, rows, row_sums, sample_sums, control, .. } = self;
        grow(device, chunks, size_of_val(&input.chunks[..]))?;
        grow(device, tallies, size_of_val(&sums.tallies[..]))?;
        grow(device, rows, size_of_val(&input.rows[..]))?;
        device.upload(bytemuck::cast_slice(&input.chunks), chunks)?;
        device.upload(bytemuck::cast_slice(&input.rows), rows)?;
        device.clear(row_sums)?;
        // The scale that finished sums have too: nothing but an update asks for it.
        let scale = partial.scale();
        let beginning = Control { scale, scale_of_sums: scale, ..Control::default() };
        device.upload(bytemuck::bytes_of(&beginning), control)?;
        if let Some(sample_sums) = sample_sums {
            device.clear(sample_sums)?;
        }
        let arguments = self.step_arguments(problem, plan, n_chunks as u32);
        // SAFETY: all memory is of this device and lives as long as `self`. Parameters, packed
        // parameters and sums have the sizes that `new` has compared; chunks, tallies and rows were
        // grown to hold `n_chunks` chunks and the rows they point into.
        unsafe { self.launch_step(arguments, plan.chunk_size())? };
        let Self { device, tallies, row_sums, sample_sums, control, .. } = self;
        device.download(row_sums, bytemuck::cast_slice_mut(&mut sums.rows))?;
        if let Some(sample_sums) = sample_sums {
            device.download(sample_sums, bytemuck::cast_slice_mut(&mut sums.samples))?;
        }
        device.download(tallies, bytemuck::cast_slice_mut(&mut sums.tallies))?;
        device.download(control, bytemuck::bytes_of_mut(&mut sums.control))?;
        sums.on_device = true;
        Ok(())
    }

    /// Starts a step whose chunks have at most `chunk_size` points.
    ///
    /// # Safety
    /// The arguments are those of [`Self::step_arguments`], or of another step in the same memory.
    pub(super) unsafe fn launch_step(
        &mut self,
        arguments: StepArguments,
        chunk_size: u64,
    ) -> Result<(), DeviceError> {
        let Self { device, shape, work, .. } = self;
        // SAFETY: the caller's promise.
        unsafe {
            match work {
                Work::Tiles(tiles) => tiles.step(device, shape, arguments),
                Work::Layers(layers) => layers.step(device, shape, &arguments, chunk_size),
            }
        }
    }

    /// For `n_chunks` of the chunks of `plan`.
    pub(super) fn step_arguments(
        &self,
        problem: &Problem,
        plan: &StepPlan,
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
            sums: 0,
            batch: plan.batch() as f64,
            samples: plan.samples() as f64,
            n_chunks,
            step: plan.step,
            stream: Stream::Proposal as u32,
            objective: match problem.objective {
                Objective::Snl => 0,
                Objective::IsMle => 1,
                Objective::Nce => 2,
                // Refused where an engine is made; no kernel knows the number.
                Objective::Mcmc(_) => i32::MAX,
            },
            chunk_bits: chunk_bits(plan.n_chunks()),
            unused: 0,
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
        let room = match &self.work {
            Work::Tiles(_) => out.len(),
            Work::Layers(_) => Layers::<D>::scores(out.len(), &self.shape),
        };
        grow(&self.device, &mut self.scored, room * size_of::<arguments::Scored>())?;
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
        let Self { device, shape, work, .. } = self;
        // SAFETY: as for a step; points have room for `out.len()` points, scores for what was asked.
        unsafe {
            match work {
                Work::Tiles(tiles) => tiles.score(device, shape, &arguments)?,
                Work::Layers(layers) => layers.score(device, shape, &arguments)?,
            }
        }
        self.device.download(&self.scored, bytemuck::cast_slice_mut(&mut scored))?;
        for (out, s) in out.iter_mut().zip(scored) {
            let arguments::Scored { energy, log_base, log_proposal } = s;
            *out = Scored { energy, log_base, log_proposal };
        }
        Ok(())
    }
}

/// The `N` kernels that were asked for.
fn all<D: Device, const N: usize>(
    device: &D,
    kernels: Vec<D::Kernel>,
) -> Result<[D::Kernel; N], DeviceError> {
    kernels.try_into().map_err(|_| DeviceError::Failed {
        device: device.name().to_owned(),
        action: "compile".to_owned(),
        source: "a kernel is missing".into(),
    })
}
