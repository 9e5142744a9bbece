//! The CPU implementation of [`Engine`]: chunks handed to threads.
//!
//! Invariants
//! 1. Which thread computes a chunk changes nothing: chunks are summed as integers.
//! 2. Live memory is a few tiles a thread and two gradients a thread, whatever `M` is.
//! 3. A step takes no lock and, after the first, allocates nothing.

use std::ops::Range;
use std::sync::Arc;

use snel_core::chunks::ChunkSet;
use snel_core::engine::{DensityEngine, EngineError, Fingerprint, SampleSet, Scored};
use snel_core::host::{Host, HostEngine};
use snel_core::partial::Partial;
use snel_core::plan::StepPlan;
use snel_core::problem::{Model, Problem};
use snel_core::rows::Rows;

use crate::chunk::{Parameters, Shared, Workspace};
use crate::crew::{CpuError, Crew};
use crate::instruction_set::InstructionSet;
use crate::packed::PackedWeights;
use crate::tile::TILE;

/// The engine of a machine without a GPU.
pub struct CpuEngine {
    set: InstructionSet,
    shared: Shared,
    host: Host<Model>,
    packed: PackedWeights,
    crew: Crew<Workspace>,
}

impl CpuEngine {
    /// An engine for `problem` on the training rows `rows`, with `threads` threads and the best
    /// instruction set of this machine.
    ///
    /// # Errors
    /// [`CpuError`] if the system gives no threads.
    pub fn new(
        problem: Arc<Problem>,
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
        problem: Arc<Problem>,
        rows: Arc<dyn Rows>,
        threads: usize,
        set: InstructionSet,
    ) -> Result<Self, CpuError> {
        let host = Host::new(problem.clone());
        let moves_points = problem.objective.mcmc().is_some();
        let mut packed = PackedWeights::new(&problem.model.energy, set.lanes(), moves_points);
        packed.pack(&host.state.parameters);
        let shared = Shared::new(problem, rows);
        let crew = Crew::new(threads, || Workspace::new(&shared, set))?;
        Ok(Self { set, shared, host, packed, crew })
    }

    /// Points of each thread's share when `n` are scored: whole tiles.
    fn share(&self, n: usize) -> usize {
        self.crew.share_of(n).next_multiple_of(TILE)
    }

    /// Calls `work` with the share of each thread: the number of its first point, its values and
    /// its results.
    fn score_shares<X: Send>(
        &self,
        x: impl Iterator<Item = X>,
        out: &mut [Scored],
        work: impl Fn(&mut Workspace, usize, &mut X, &mut [Scored]) + Sync,
    ) {
        let share = self.share(out.len());
        let shares = (0..).step_by(share).zip(x).zip(out.chunks_mut(share));
        self.crew.share(shares, |workspace, ((start, x), out)| work(workspace, *start, x, out));
    }
}

impl HostEngine for CpuEngine {
    type Model = Model;

    fn arithmetic(&self) -> Fingerprint {
        self.set.fingerprint(2)
    }

    fn add_chunks(
        &mut self,
        plan: &StepPlan,
        chunks: &ChunkSet,
        partial: &mut Partial,
    ) -> Result<(), EngineError> {
        let Self { shared, host, packed, crew, .. } = self;
        let parameters = Parameters::new(&host.state, packed);
        crew.accumulate(chunks, partial, |workspace, index, sums| {
            workspace.accumulate(shared, parameters, plan, index, sums)
        })
    }

    fn host(&self) -> &Host<Model> {
        &self.host
    }

    fn host_mut(&mut self) -> &mut Host<Model> {
        &mut self.host
    }

    fn refresh(&mut self) {
        self.packed.pack(&self.host.state.parameters);
    }
}

impl DensityEngine for CpuEngine {
    fn score(&self, x: &[f32], out: &mut [Scored]) {
        let parameters = Parameters::new(&self.host.state, &self.packed);
        let x = x.chunks(self.share(out.len()) * self.shared.problem.model.dim());
        self.score_shares(x, out, |workspace, _, x, out| {
            workspace.score(&self.shared, parameters, x, out);
        });
    }

    fn score_samples(&self, set: SampleSet, range: Range<u64>, x: &mut [f32], out: &mut [Scored]) {
        let parameters = Parameters::new(&self.host.state, &self.packed);
        let x = x.chunks_mut(self.share(out.len()) * self.shared.problem.model.dim());
        self.score_shares(x, out, |workspace, start, x, out| {
            let start = range.start + start as u64;
            let range = start..start + out.len() as u64;
            workspace.score_samples(&self.shared, parameters, set, range, x, out);
        });
    }
}
