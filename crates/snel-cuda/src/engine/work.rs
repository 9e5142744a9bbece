//! What goes to the device for a step, and what comes back.

use bytemuck::Zeroable;
use snel_core::chunks::ChunkSet;
use snel_core::engine::EngineError;
use snel_core::partial::Sums;
use snel_core::plan::{Batching, StepPlan};
use snel_core::problem::Problem;
use snel_core::rows::Rows;
use snel_core::statistics::{Statistics, Tally};

use crate::arguments::{Chunk, ChunkTally, Control};

/// The chunks of a launch and the rows of its data chunks.
#[derive(Debug, Default)]
pub(crate) struct StepInput {
    pub(crate) chunks: Vec<Chunk>,
    /// Row after row, in the order of the chunks.
    pub(crate) rows: Vec<f32>,
    numbers: Vec<u64>,
}

impl StepInput {
    /// Becomes the input of `chunks` of `plan`.
    pub(crate) fn gather(
        &mut self,
        plan: &StepPlan,
        chunks: &ChunkSet,
        rows: &dyn Rows,
    ) -> Result<(), EngineError> {
        self.list(plan, chunks);
        self.fetch(rows)
    }

    /// Becomes the input of `steps` whole steps of `batching` from `first` on. The list of chunks is
    /// the same for each; the rows of each step are behind those of the step before.
    pub(crate) fn gather_steps(
        &mut self,
        batching: &Batching,
        first: u64,
        steps: u64,
        rows: &dyn Rows,
    ) -> Result<(), EngineError> {
        // No sum is made here, so the scale is of no matter.
        let plan = |step: u64| batching.plan(step as u32, 0);
        self.list(&plan(first), &ChunkSet::of(0..plan(first).n_chunks()));
        for step in first + 1..first + steps {
            let end = self.numbers.len();
            self.numbers.resize(end + batching.batch as usize, 0);
            plan(step).rows(0, &mut self.numbers[end..]);
        }
        self.fetch(rows)
    }

    /// Lists the chunks and the numbers of their rows.
    fn list(&mut self, plan: &StepPlan, chunks: &ChunkSet) {
        let Self { chunks: list, numbers, .. } = self;
        list.clear();
        numbers.clear();
        for index in chunks.iter() {
            list.push(match plan.chunk(index) {
                snel_core::plan::Chunk::Rows(range) => {
                    let first = numbers.len();
                    numbers.resize(first + (range.end - range.start) as usize, 0);
                    plan.rows(range.start, &mut numbers[first..]);
                    let count = (numbers.len() - first) as u32;
                    Chunk { first: first as u64, count, is_sample: 0 }
                }
                snel_core::plan::Chunk::Samples(range) => {
                    let count = (range.end - range.start) as u32;
                    Chunk { first: range.start, count, is_sample: 1 }
                }
            });
        }
    }

    /// Fetches the rows of all numbers.
    fn fetch(&mut self, rows: &dyn Rows) -> Result<(), EngineError> {
        let Self { rows: values, numbers, .. } = self;
        values.resize(numbers.len() * rows.dim(), 0.0);
        Ok(rows.gather(numbers, values)?)
    }
}

/// The sums of a launch.
#[derive(Debug)]
pub(crate) struct SumsOfStep {
    pub(crate) rows: Vec<i64>,
    /// Empty unless the objective separates samples.
    pub(crate) samples: Vec<i64>,
    pub(crate) tallies: Vec<ChunkTally>,
    pub(crate) control: Control,
    /// Whether the device has the same in its memory.
    pub(crate) on_device: bool,
}

impl SumsOfStep {
    pub(crate) fn new(problem: &Problem) -> Self {
        let len = problem.layout.len();
        let separate = problem.objective.separates_samples();
        Self {
            rows: vec![0; len],
            samples: vec![0; if separate { len } else { 0 }],
            tallies: Vec::new(),
            control: Control::default(),
            on_device: false,
        }
    }

    /// Makes room for the tallies of `chunks` chunks.
    pub(crate) fn expect(&mut self, chunks: usize) {
        self.tallies.resize(chunks, ChunkTally::zeroed());
    }

    /// Adds them to those of a step.
    pub(crate) fn add_to(&self, sums: &mut Sums) {
        let largest = f32::from_bits(self.control.largest);
        sums.add_rounded(&self.rows, &self.samples, largest, self.tallies.iter().map(tally));
    }
}

/// The sums of the chunks that `tallies` are of.
pub(crate) fn statistics(tallies: &[ChunkTally]) -> Statistics {
    let mut statistics = Statistics::default();
    tallies.iter().map(tally).for_each(|tally| statistics.add(&tally));
    statistics
}

fn tally(from: &ChunkTally) -> Tally {
    let mut tally = Tally::default();
    tally.rows = from.rows;
    tally.samples = from.samples;
    tally.overflows = from.overflows;
    tally.not_finite = from.not_finite;
    tally.max_u = from.max_u;
    tally.with_sums(from.row_log_density, from.weight, from.weight_squared)
}
