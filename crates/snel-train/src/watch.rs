//! Watches over coarse products: compares energies with exact ones once in a while, and says so once
//! if they are too far off.
//!
//! It warns and changes nothing. A switch to finer products would change bits, so all workers of a
//! run would have to make it at the same step, a checkpoint would have to hold it, and other kernels
//! would have to be compiled in the middle of a run. A warning costs the user one resumption:
//! `--resume` with another `--precision` goes on from the newest checkpoint and says that bits differ.

use snel_core::energy::Energy;
use snel_core::engine::{Coarse, Engine, SampleSet};
use snel_core::philox::Stream;
use snel_core::precision::EnergyError;

/// The error of `engine`'s energies, whose model has energy `energy`, if its products are coarse.
/// Always on the same samples: differences are the model's, not the draw's.
pub fn energy_error(engine: &dyn Engine, energy: &Energy) -> Option<EnergyError> {
    let set = SampleSet { stream: Stream::Validation, step: 0 };
    engine.coarse().map(|_| EnergyError::measure(engine, energy, set))
}

/// What a reader must know of `error`, if anything.
pub fn warning(engine: &dyn Engine, error: Option<EnergyError>) -> Option<String> {
    let EnergyError { spread, log_z } = error.filter(|error| !error.is_tolerable())?;
    let Coarse { precision, finer } = engine.coarse()?;
    Some(format!(
        "products in {precision} are too coarse for this model: its energies are off by {spread:.2} \
         nats (standard deviation) and log Z by {log_z:+.2}; use `--precision {finer}`"
    ))
}

/// Of a run: says it once.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    has_warned: bool,
}

impl Watch {
    /// The error now, and what is to be said of it.
    pub(crate) fn look(
        &mut self,
        engine: &dyn Engine,
        energy: &Energy,
    ) -> (Option<EnergyError>, Option<String>) {
        let error = energy_error(engine, energy);
        let warning = warning(engine, error).filter(|_| !self.has_warned);
        self.has_warned |= warning.is_some();
        (error, warning)
    }
}
