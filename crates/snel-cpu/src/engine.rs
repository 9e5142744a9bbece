//! The CPU implementation of [`Engine`]: chunks handed to threads.
//!
//! Invariants
//! 1. Which thread computes a chunk changes nothing: chunks are summed as integers.
//! 2. Live memory is a few tiles a thread and two gradients a thread, whatever `M` is.
//! 3. A step takes no lock and, after the first, allocates nothing.

use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use snel_core::chunks::ChunkSet;
use snel_core::engine::{Engine, EngineError, Fingerprint, Head, SampleSet, Scored};
use snel_core::optim::Applied;
use snel_core::partial::{Partial, Reduced, Sums};
use snel_core::plan::StepPlan;
use snel_core::problem::Problem;
use snel_core::rows::Rows;
use snel_core::state::State;

use crate::chunk::{Parameters, Shared, Workspace};
use crate::instruction_set::InstructionSet;
use crate::packed::PackedWeights;
use crate::team::Team;
use crate::tile::TILE;

/// The engine of a machine without a GPU.
pub struct CpuEngine {
    set: InstructionSet,
    shared: Shared,
    state: State,
    packed: PackedWeights,
    /// Memory for the update.
    gradient: Vec<f64>,
    threads: usize,
    /// Locked only to score; a step has the engine to itself.
    crew: Mutex<Crew>,
}

/// The threads and what each of them owns.
struct Crew {
    team: Team,
    members: Vec<Member>,
}

/// What one thread owns. Aligned so that no two threads write to one cache line, or to the pair
/// of lines that some machines fetch together.
#[repr(align(128))]
struct Member {
    workspace: Workspace,
    sums: Sums,
    fault: Option<EngineError>,
}

/// Why the engine cannot be made.
#[derive(Debug, thiserror::Error)]
#[error("cannot start {threads} threads")]
pub struct CpuError {
    pub(crate) threads: usize,
    pub(crate) source: io::Error,
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
        let threads = threads.max(1);
        let team = Team::new(threads).map_err(|source| CpuError { threads, source })?;
        let energy = &problem.model.energy;
        let has_base = problem.model.base_density().is_some();
        let state = State::new(energy.initial_parameters(problem.seed, has_base));
        let mut packed = PackedWeights::new(energy, set.lanes());
        packed.pack(&state.parameters);
        let gradient = vec![0.0; problem.layout.len()];
        let shared = Shared::new(problem, rows);
        let member = || Member {
            workspace: Workspace::new(&shared, set),
            sums: Sums::default(),
            fault: None,
        };
        let members = (0..threads).map(|_| member()).collect();
        let crew = Mutex::new(Crew { team, members });
        Ok(Self { set, shared, state, packed, gradient, threads, crew })
    }

    /// Points of each thread's share when `n` are scored: whole tiles.
    fn share(&self, n: usize) -> usize {
        n.div_ceil(self.threads).next_multiple_of(TILE).max(TILE)
    }

    /// Calls `work` with the share of each thread: the number of its first point, its values and
    /// its results.
    fn score_shares<X: Send>(
        &self,
        x: impl Iterator<Item = X>,
        out: &mut [Scored],
        work: impl Fn(&mut Workspace, usize, &mut X, &mut [Scored]) + Sync,
    ) {
        // Whoever panicked with the lock has left nothing but scratch memory behind.
        let mut crew = self.crew.lock().unwrap_or_else(PoisonError::into_inner);
        let Crew { team, members } = &mut *crew;
        let share = self.share(out.len());
        let starts = (0..).step_by(share);
        let shares = members.iter_mut().zip(starts).zip(x).zip(out.chunks_mut(share));
        let mut shares: Vec<_> = shares.collect();
        team.for_each(&mut shares, |(((member, start), x), out)| {
            work(&mut member.workspace, *start, x, out);
        });
    }
}

impl Engine for CpuEngine {
    fn fingerprint(&self) -> Fingerprint {
        Fingerprint {
            engine: "cpu".to_owned(),
            arithmetic: format!("{} {}", std::env::consts::ARCH, self.set),
            revision: 2,
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }

    fn accumulate(
        &mut self,
        plan: &StepPlan,
        chunks: &ChunkSet,
        partial: &mut Partial,
    ) -> Result<(), EngineError> {
        let Self { shared, state, packed, crew, .. } = self;
        let Crew { team, members } = crew.get_mut().unwrap_or_else(PoisonError::into_inner);
        let parameters = Parameters { flat: &state.parameters, packed };
        let next = AtomicU32::new(0);
        let empty = &*partial;
        team.for_each(members, |Member { workspace, sums, fault }| {
            sums.restart_like(empty);
            *fault = None;
            while let Some(index) = chunks.get(next.fetch_add(1, Ordering::Relaxed)) {
                let done = workspace.accumulate(shared, parameters, plan, index, sums);
                if let Err(error) = done {
                    *fault = Some(error);
                    return;
                }
            }
        });
        // The first thread's sums become those of all.
        let (first, others) = members.split_at_mut(1);
        for member in others {
            first[0].sums.merge(&member.sums);
        }
        if let Some(error) = members.iter_mut().find_map(|member| member.fault.take()) {
            return Err(error);
        }
        Ok(partial.add(chunks, &members[0].sums)?)
    }

    fn apply(&mut self, reduced: &Reduced<'_>) -> Applied {
        let applied = self.state.apply(&self.shared.problem, reduced, &mut self.gradient);
        self.packed.pack(&self.state.parameters);
        applied
    }

    fn skip(&mut self) {
        self.state.step += 1;
    }

    fn head(&self) -> Head {
        self.state.head()
    }

    fn set_b(&mut self, b: f32) {
        self.state.set_b(b);
    }

    fn digest(&self) -> u128 {
        self.state.digest()
    }

    fn snapshot(&self) -> State {
        self.state.clone()
    }

    fn restore(&mut self, state: &State) -> Result<(), EngineError> {
        self.state = state.checked(&self.shared.problem)?;
        self.packed.pack(&self.state.parameters);
        Ok(())
    }

    fn score(&self, x: &[f32], out: &mut [Scored]) {
        let parameters = Parameters { flat: &self.state.parameters, packed: &self.packed };
        let x = x.chunks(self.share(out.len()) * self.shared.problem.model.dim());
        self.score_shares(x, out, |workspace, _, x, out| {
            workspace.score(&self.shared, parameters, x, out);
        });
    }

    fn score_samples(&self, set: SampleSet, range: Range<u64>, x: &mut [f32], out: &mut [Scored]) {
        let parameters = Parameters { flat: &self.state.parameters, packed: &self.packed };
        let x = x.chunks_mut(self.share(out.len()) * self.shared.problem.model.dim());
        self.score_shares(x, out, |workspace, start, x, out| {
            let start = range.start + start as u64;
            let range = start..start + out.len() as u64;
            workspace.score_samples(&self.shared, parameters, set, range, x, out);
        });
    }
}
