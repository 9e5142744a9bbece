//! What goes to the device for a step, and what comes back.

use bytemuck::Zeroable;
use snel_core::chunks::ChunkSet;
use snel_core::engine::EngineError;
use snel_core::partial::Sums;
use snel_core::plan::StepPlan;
use snel_core::problem::Problem;
use snel_core::rows::Rows;
use snel_core::statistics::Tally;

use crate::arguments::{Chunk, ChunkTally};

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
        let Self { chunks: list, rows: values, numbers } = self;
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
    /// Tickets taken, and the bits of the largest magnitude.
    pub(crate) control: [u32; 2],
}

impl SumsOfStep {
    pub(crate) fn new(problem: &Problem) -> Self {
        let len = problem.layout.len();
        let separate = problem.objective.separates_samples();
        Self {
            rows: vec![0; len],
            samples: vec![0; if separate { len } else { 0 }],
            tallies: Vec::new(),
            control: [0; 2],
        }
    }

    /// Makes room for the tallies of `chunks` chunks.
    pub(crate) fn expect(&mut self, chunks: usize) {
        self.tallies.resize(chunks, ChunkTally::zeroed());
    }

    /// Adds them to those of a step.
    pub(crate) fn add_to(&self, sums: &mut Sums) {
        let largest = f32::from_bits(self.control[1]);
        sums.add_rounded(&self.rows, &self.samples, largest, self.tallies.iter().map(tally));
    }
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
