//! Watches over coarse products: compares energies with exact ones once in a while, and says so once
//! if they are too far off.
//!
//! It warns and changes nothing. A switch to finer products would change bits, so all workers of a
//! run would have to make it at the same step, a checkpoint would have to hold it, and other kernels
//! would have to be compiled in the middle of a run. A warning costs the user one resumption:
//! `--resume` with another `--precision` goes on from the newest checkpoint and says that bits differ.

use snel_core::energy::Energy;
use snel_core::engine::{Coarse, DensityEngine, SampleSet};
use snel_core::philox::Stream;
use snel_core::precision::EnergyError;

/// Coarse products, and how far they are off.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Watched {
    /// The products.
    pub coarse: Coarse,
    /// The error of energies.
    pub error: EnergyError,
}

/// Compares the energies of `engine`, whose model has energy `energy`, if its products are coarse.
/// Always on the same samples: differences are the model's, not the draw's.
pub fn look(engine: &dyn DensityEngine, energy: &Energy) -> Option<Watched> {
    let set = SampleSet { stream: Stream::Validation, step: 0 };
    let coarse = engine.coarse()?;
    Some(Watched { coarse, error: EnergyError::measure(engine, energy, set) })
}

impl Watched {
    /// What a reader must know, if anything.
    pub fn warning(&self) -> Option<String> {
        let Self { coarse: Coarse { precision, finer }, error } = self;
        let EnergyError { spread, log_z } = error;
        (!error.is_tolerable()).then(|| {
            format!(
                "products in {precision} are too coarse for this model: its energies are off by \
                 {spread:.2} nats (standard deviation) and log Z by {log_z:+.2}; use \
                 `--precision {finer}`"
            )
        })
    }
}

/// Of a run: says it once.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    has_warned: bool,
}

impl Watch {
    /// What is to be said of `watched`.
    pub(crate) fn hear(&mut self, watched: &Watched) -> Option<String> {
        let warning = watched.warning().filter(|_| !self.has_warned);
        self.has_warned |= warning.is_some();
        warning
    }
}
