//! A batch of steps that are launched at once and waited for together.
//!
//! All that the launches are told is known before: rows, learning rates, bias corrections. What is
//! not, the scale of the sums and whether a step may be applied, the device decides by itself
//! (`kernels/verdict.cuh`). A step that must be repeated or refused stalls the batch: what was
//! launched behind it does nothing.
#![allow(unsafe_code)]

use snel_core::engine::Head;
use snel_core::optim::Constants;
use snel_core::partial::{FINEST, FIRST_SCALE, HEADROOM_BITS, chunk_bits};
use snel_core::plan::Batching;
use snel_core::problem::Problem;

use super::machine::Machine;
use super::setup::grow;
use super::work::StepInput;
use crate::arguments::{ChunkTally, Control, StepReport, VerdictArguments};
use crate::device::{Device, DeviceError, Grid, Memory};

/// Most steps of a batch.
const MOST_STEPS: u64 = 64;
/// Most bytes of rows and reports of a batch, unless one step alone has more.
const MOST_BYTES: u64 = 64 << 20;
/// One thread of these decides.
const VERDICT: Grid = Grid { blocks: 1, threads: 32, shared: 0 };

/// Steps of `batching` that a batch may have, on points of `dim` values.
pub(crate) fn most_steps(batching: &Batching, dim: usize) -> u64 {
    let chunks = u64::from(batching.plan(0, 0).n_chunks());
    let tallies = chunks * size_of::<ChunkTally>() as u64;
    let step = tallies + 4 * batching.batch * dim as u64 + size_of::<StepReport>() as u64;
    (MOST_BYTES / step).clamp(1, MOST_STEPS)
}

/// What the steps of a batch tell: a report a step, then the tallies of all chunks of all steps.
/// As words, because it comes from the device in one piece.
#[derive(Debug, Default)]
pub(crate) struct Reports {
    words: Vec<u64>,
    steps: usize,
    n_chunks: usize,
}

impl Reports {
    /// Makes room for `steps` steps of `n_chunks` chunks.
    fn expect(&mut self, steps: usize, n_chunks: usize) {
        let bytes = Self::tallies_at(steps) + steps * n_chunks * size_of::<ChunkTally>();
        self.words.resize(bytes / 8, 0);
        (self.steps, self.n_chunks) = (steps, n_chunks);
    }

    /// Bytes before the tallies of a batch of `steps` steps.
    fn tallies_at(steps: usize) -> usize {
        steps * size_of::<StepReport>()
    }

    /// The steps that were applied, with the tallies of their chunks.
    pub(crate) fn applied(&self) -> impl Iterator<Item = (&StepReport, &[ChunkTally])> {
        let (reports, tallies) = self.words.split_at(Self::tallies_at(self.steps) / 8);
        let reports: &[StepReport] = bytemuck::cast_slice(reports);
        let tallies: &[ChunkTally] = bytemuck::cast_slice(tallies);
        let steps = reports.iter().zip(tallies.chunks_exact(self.n_chunks.max(1)));
        steps.take_while(|(report, _)| report.applied != 0)
    }
}

impl<D: Device> Machine<D> {
    /// Makes steps from `head` on, one for each of `constants`, of all chunks of `input`, and waits.
    pub(crate) fn batch(
        &mut self,
        problem: &Problem,
        batching: &Batching,
        head: Head,
        constants: &[Constants],
        input: &StepInput,
        reports: &mut Reports,
    ) -> Result<(), DeviceError> {
        reports.expect(constants.len(), input.chunks.len());
        let Self { device, chunks, rows, reports: told, control, .. } = self;
        grow(device, chunks, size_of_val(&input.chunks[..]))?;
        grow(device, rows, size_of_val(&input.rows[..]))?;
        grow(device, told, size_of_val(&reports.words[..]))?;
        device.upload(bytemuck::cast_slice(&input.chunks), chunks)?;
        device.upload(bytemuck::cast_slice(&input.rows), rows)?;
        let beginning = Control { scale: head.scale, ..Control::default() };
        device.upload(bytemuck::bytes_of(&beginning), control)?;
        for (i, constants) in constants.iter().enumerate() {
            self.launch_one(problem, batching, head, *constants, (i, reports))?;
        }
        self.device.download(&self.reports, bytemuck::cast_slice_mut(&mut reports.words))
    }

    /// Starts step `i` of a batch from `head` on.
    fn launch_one(
        &mut self,
        problem: &Problem,
        batching: &Batching,
        head: Head,
        constants: Constants,
        (i, reports): (usize, &Reports),
    ) -> Result<(), DeviceError> {
        let Reports { steps, n_chunks, .. } = *reports;
        let plan = batching.plan((head.step + i as u64) as u32, head.scale);
        let rows = i * plan.batch() as usize * problem.model.dim() * size_of::<f32>();
        let tallies = Reports::tallies_at(steps) + i * n_chunks * size_of::<ChunkTally>();
        let report = self.reports.address() + (i * size_of::<StepReport>()) as u64;
        let mut step = self.step_arguments(problem, &plan, n_chunks as u32);
        step.rows += rows as u64;
        step.tallies = self.reports.address() + tallies as u64;
        let verdict = VerdictArguments {
            control: self.control.address(),
            report,
            chunk_bits: chunk_bits(plan.n_chunks()),
            headroom_bits: HEADROOM_BITS,
            first_scale: FIRST_SCALE,
            finest: FINEST,
        };
        self.device.clear(&mut self.row_sums)?;
        // SAFETY: as for a step alone; rows, reports and tallies were grown to hold those of all
        // steps of the batch, and this is one of them.
        unsafe {
            self.launch_step(step, plan.chunk_size())?;
            self.device.launch(&self.verdict, VERDICT, bytemuck::bytes_of(&verdict))?;
        }
        // The factor is that of separated samples: there are none.
        self.launch_update(problem, constants, 1.0, report)
    }
}
