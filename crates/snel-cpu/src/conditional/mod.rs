//! The engine of conditional models: chunks of rows handed to threads.
//!
//! What depends on `x` alone is computed for a tile of rows at a time, what depends on `(x, y)` for
//! a tile of the samples of one row: the part of `x` in the energy's first layer is then the same
//! for the whole tile, and takes the place of its bias. So features cost the same whatever `M` is,
//! and the sum over a row's samples never leaves its chunk.
//!
//! Invariants are those of [`crate::CpuEngine`]. A defensive density in a learned proposal is evaluated
//! as [`snel_core::density::Density`] does it, which allocates a little for every point.

mod inputs;
mod points;
mod workspace;

use std::sync::Arc;

use snel_core::chunks::ChunkSet;
use snel_core::conditional::{ConditionalEngine, ConditionalModel, RowSamples};
use snel_core::engine::{EngineError, Fingerprint, Scored};
use snel_core::host::{Host, HostEngine};
use snel_core::partial::Partial;
use snel_core::plan::StepPlan;
use snel_core::problem::Problem;
use snel_core::rows::Rows;

use crate::crew::{CpuError, Crew};
use crate::instruction_set::InstructionSet;
use inputs::PackedNetworks;
use workspace::{Parameters, Shared, Workspace};

/// The engine of a conditional model on a machine without a GPU.
pub struct ConditionalCpuEngine {
    set: InstructionSet,
    shared: Shared,
    host: Host<ConditionalModel>,
    packed: PackedNetworks,
    crew: Crew<Workspace>,
}

impl ConditionalCpuEngine {
    /// An engine for `problem` on the training rows `rows`, with `threads` threads and the best
    /// instruction set of this machine.
    ///
    /// # Errors
    /// [`CpuError`] if the system gives no threads.
    pub fn new(
        problem: Arc<Problem<ConditionalModel>>,
        rows: Arc<dyn Rows>,
        threads: usize,
    ) -> Result<Self, CpuError> {
        Self::with_instruction_set(problem, rows, threads, InstructionSet::best())
    }

    /// The same on a given instruction set.
    ///
    /// # Errors
    /// [`CpuError`] if the system gives no threads.
    pub fn with_instruction_set(
        problem: Arc<Problem<ConditionalModel>>,
        rows: Arc<dyn Rows>,
        threads: usize,
        set: InstructionSet,
    ) -> Result<Self, CpuError> {
        let host = Host::new(problem.clone());
        let shared = Shared::new(problem, rows);
        let mut packed = PackedNetworks::new(&shared.networks, set.lanes());
        packed.pack(&host.state.parameters);
        let crew = Crew::new(threads, || Workspace::new(&shared, set))?;
        Ok(Self { set, shared, host, packed, crew })
    }

    fn parameters(&self) -> Parameters<'_> {
        Parameters { b: self.host.state.b(), packed: &self.packed }
    }
}

impl HostEngine for ConditionalCpuEngine {
    type Model = ConditionalModel;

    fn arithmetic(&self) -> Fingerprint {
        self.set.fingerprint(1)
    }

    fn add_chunks(
        &mut self,
        plan: &StepPlan,
        chunks: &ChunkSet,
        partial: &mut Partial,
    ) -> Result<(), EngineError> {
        let Self { shared, host, packed, crew, .. } = self;
        let parameters = Parameters { b: host.state.b(), packed };
        crew.accumulate(chunks, partial, |workspace, index, sums| {
            workspace.accumulate(shared, parameters, plan, index, sums)
        })
    }

    fn host(&self) -> &Host<ConditionalModel> {
        &self.host
    }

    fn host_mut(&mut self) -> &mut Host<ConditionalModel> {
        &mut self.host
    }

    fn refresh(&mut self) {
        self.packed.pack(&self.host.state.parameters);
    }
}

impl ConditionalEngine for ConditionalCpuEngine {
    fn model(&self) -> &ConditionalModel {
        &self.shared.problem.model
    }

    fn log_normalisers(&self, x: &[f32], out: &mut [f32]) {
        let inputs = self.shared.problem.model.inputs;
        let share = self.crew.share_of(out.len());
        let shares = x.chunks(share * inputs).zip(out.chunks_mut(share));
        self.crew.share(shares, |workspace, (x, out)| {
            workspace.log_normalisers(self.parameters(), x, out);
        });
    }

    fn score(&self, x: &[f32], y: &[f32], out: &mut [Scored]) {
        if out.is_empty() {
            return;
        }
        let ConditionalModel { inputs, targets, .. } = self.shared.problem.model;
        let rows = x.len() / inputs;
        let (share, points) = (self.crew.share_of(rows), out.len() / rows);
        let y = y.chunks(share * points * targets);
        let shares = x.chunks(share * inputs).zip(y).zip(out.chunks_mut(share * points));
        self.crew.share(shares, |workspace, ((x, y), out)| {
            workspace.score(&self.shared, self.parameters(), x, y, out);
        });
    }

    fn score_samples(&self, samples: &RowSamples, x: &[f32], y: &mut [f32], out: &mut [Scored]) {
        if out.is_empty() {
            return;
        }
        let ConditionalModel { inputs, targets, .. } = self.shared.problem.model;
        let rows = x.len() / inputs;
        let (share, points) = (self.crew.share_of(rows), out.len() / rows);
        let y = y.chunks_mut(share * points * targets);
        let parts = x.chunks(share * inputs).zip(y).zip(out.chunks_mut(share * points));
        let shares = (samples.first_row..).step_by(share).zip(parts);
        self.crew.share(shares, |workspace, (first_row, ((x, y), out))| {
            let samples = RowSamples { first_row: *first_row, ..samples.clone() };
            workspace.score_samples(&self.shared, self.parameters(), &samples, x, y, out);
        });
    }
}
