//! The steps that are timed.

use snel_core::activation::Activation;
use snel_core::energy::Energy;
use snel_core::layout::Layout;
use snel_core::plan::Batching;

use crate::study::Extent;

/// Values of a point.
pub const DIM: usize = 8;
/// Hidden layers.
pub const DEPTH: usize = 3;
/// Rows of the data that threads are timed on.
pub const ROWS: u64 = 65_536;

/// A step of SNL: a perceptron on normal data of [`DIM`] values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Load {
    /// Units of a hidden layer.
    pub width: usize,
    /// Proposal samples.
    pub samples: u64,
    /// Data rows.
    pub batch: u64,
}

impl Load {
    /// The energy.
    pub fn energy(&self) -> Energy {
        let widths = vec![self.width; DEPTH];
        Energy::Mlp { dim: DIM, widths, activation: Activation::Silu, residual: false }
    }

    /// Parameters, `b` included.
    pub fn parameters(&self) -> u64 {
        Layout::new(&self.energy()).len() as u64
    }

    /// Floating-point operations of a step: `6 parameters (M + n)`.
    pub fn flop(&self) -> f64 {
        6.0 * self.parameters() as f64 * (self.samples + self.batch) as f64
    }

    /// The same step with so many times the points.
    #[must_use]
    pub fn times(&self, factor: u64) -> Self {
        Self { samples: self.samples * factor, batch: self.batch * factor, ..*self }
    }

    /// How it is cut into chunks.
    pub fn batching(&self) -> Batching {
        Batching {
            batch: self.batch,
            samples: self.samples,
            per_row: false,
            chunk: Batching::default_chunk(self.batch, self.samples),
            total_rows: ROWS,
            seed: 0,
        }
    }

    /// The config of a run of `steps` such steps that does nothing else to speak of.
    pub fn config(&self, steps: u64) -> String {
        let Self { width, samples, batch } = self;
        let later = 10 * steps + 1000;
        let rows = 2 * batch.max(&2048);
        format!(
            "[data]\ntoy = \"gaussian\"\ndim = {DIM}\nrows = {rows}\n\
             [model]\ndepth = {DEPTH}\nwidth = {width}\n\
             [train]\nsteps = {steps}\nbatch = {batch}\nsamples = {samples}\n\
             valid_every = {later}\nvalid_samples = 1000\ncheckpoint_every = {later}\n\
             [eval]\nsamples = 1000\n[output]\nreport = false\ntensorboard = false\n"
        )
    }
}

/// The loads of a study: from small steps, where sending counts, to large ones.
pub(super) fn loads(extent: Extent) -> Vec<Load> {
    let load = |width, samples, batch| Load { width, samples, batch };
    match extent {
        Extent::Quick => vec![load(16, 4096, 256), load(32, 2048, 256), load(64, 1024, 256)],
        Extent::Usual | Extent::Deep => vec![
            load(64, 16_384, 1024),
            load(128, 8192, 512),
            load(128, 65_536, 4096),
            load(256, 16_384, 1024),
            load(512, 4096, 256),
        ],
    }
}
