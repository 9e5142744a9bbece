//! The CPU implementation of [`Engine`]: chunks handed to threads.
//!
//! Invariants
//! 1. Which thread computes a chunk changes nothing: chunks are summed as integers.
//! 2. Live memory is a few tiles a thread and two gradients a thread, whatever `M` is.

use std::ops::Range;
use std::sync::Arc;

use rayon::prelude::*;
use snel_core::chunks::ChunkSet;
use snel_core::engine::{Engine, EngineError, Fingerprint, Head, SampleSet, Scored};
use snel_core::optim::Applied;
use snel_core::partial::{Partial, Reduced};
use snel_core::plan::StepPlan;
use snel_core::problem::Problem;
use snel_core::rows::Rows;
use snel_core::state::State;

use crate::chunk::{Shared, Workspace};

/// Points scored by one task: a few tiles.
const SCORE_BLOCK: usize = 1024;

/// The engine of a machine without a GPU.
pub struct CpuEngine {
    shared: Shared,
    state: State,
    pool: rayon::ThreadPool,
    workers: Vec<Workspace>,
}

/// Why the engine cannot be made.
#[derive(Debug, thiserror::Error)]
#[error("cannot start {threads} threads")]
pub struct CpuError {
    threads: usize,
    source: rayon::ThreadPoolBuildError,
}

impl CpuEngine {
    /// An engine for `problem` on the training rows `rows`, with `threads` threads.
    ///
    /// # Errors
    /// [`CpuError`] if the system gives no threads.
    pub fn new(
        problem: Arc<Problem>,
        rows: Arc<dyn Rows>,
        threads: usize,
    ) -> Result<Self, CpuError> {
        let threads = threads.max(1);
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .thread_name(|i| format!("snel-cpu-{i}"))
            .build()
            .map_err(|source| CpuError { threads, source })?;
        let energy = &problem.model.energy;
        let has_base = problem.model.base_density().is_some();
        let state = State::new(energy.initial_parameters(problem.seed, has_base));
        let workers = (0..threads).map(|_| Workspace::new(&problem)).collect();
        Ok(Self { shared: Shared::new(problem, rows), state, pool, workers })
    }

    /// Number of threads.
    pub fn threads(&self) -> usize {
        self.workers.len()
    }
}

/// The instruction set of the matrix products, best first: `matrixmultiply`'s own order. Everything
/// else has the same bits on all of them.
pub fn arithmetic() -> &'static str {
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx512f") {
            return "x86-64 avx512f";
        }
        if is_x86_feature_detected!("fma") && is_x86_feature_detected!("avx2") {
            return "x86-64 avx2+fma";
        }
        if is_x86_feature_detected!("avx") {
            return "x86-64 avx";
        }
    }
    std::env::consts::ARCH
}

/// The vector instruction sets of this machine that matter here.
pub fn instruction_sets() -> Vec<&'static str> {
    #[allow(unused_mut)] // on machines without a list
    let mut sets = Vec::new();
    #[cfg(target_arch = "x86_64")]
    {
        let present = [
            ("sse2", is_x86_feature_detected!("sse2")),
            ("avx", is_x86_feature_detected!("avx")),
            ("avx2", is_x86_feature_detected!("avx2")),
            ("fma", is_x86_feature_detected!("fma")),
            ("avx512f", is_x86_feature_detected!("avx512f")),
        ];
        sets.extend(present.iter().filter(|(_, there)| *there).map(|(name, _)| *name));
    }
    #[cfg(target_arch = "aarch64")]
    sets.push("neon");
    sets
}

impl Engine for CpuEngine {
    fn fingerprint(&self) -> Fingerprint {
        Fingerprint {
            engine: "cpu".to_owned(),
            arithmetic: arithmetic().to_owned(),
            revision: 1,
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }

    fn accumulate(
        &mut self,
        plan: &StepPlan,
        chunks: &ChunkSet,
        partial: &mut Partial,
    ) -> Result<(), EngineError> {
        let Self { shared, state, pool, workers } = self;
        let queue = std::sync::Mutex::new(chunks.iter());
        let next = || queue.lock().ok().and_then(|mut chunks| chunks.next());
        let empty = &*partial;
        let sums: Vec<Result<Partial, EngineError>> = pool.install(|| {
            workers
                .par_iter_mut()
                .map(|worker| {
                    let mut sum = empty.empty_like();
                    while let Some(index) = next() {
                        worker.accumulate(shared, &state.parameters, plan, index, &mut sum)?;
                    }
                    Ok(sum)
                })
                .collect()
        });
        for sum in sums {
            partial.merge(&sum?)?;
        }
        Ok(())
    }

    fn apply(&mut self, reduced: &Reduced) -> Applied {
        self.state.apply(&self.shared.problem, reduced)
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

    fn snapshot(&self) -> State {
        self.state.clone()
    }

    fn restore(&mut self, state: &State) -> Result<(), EngineError> {
        self.state = state.checked(&self.shared.problem)?;
        Ok(())
    }

    fn score(&self, x: &[f32], out: &mut [Scored]) {
        let (shared, parameters) = (&self.shared, &self.state.parameters);
        let dim = shared.problem.model.dim();
        self.pool.install(|| {
            x.par_chunks(SCORE_BLOCK * dim).zip(out.par_chunks_mut(SCORE_BLOCK)).for_each_init(
                || Workspace::new(&shared.problem),
                |workspace, (x, out)| workspace.score(shared, parameters, x, out),
            );
        });
    }

    fn score_samples(&self, set: SampleSet, range: Range<u64>, x: &mut [f32], out: &mut [Scored]) {
        let (shared, parameters) = (&self.shared, &self.state.parameters);
        let dim = shared.problem.model.dim();
        self.pool.install(|| {
            let blocks = x.par_chunks_mut(SCORE_BLOCK * dim).zip(out.par_chunks_mut(SCORE_BLOCK));
            blocks.enumerate().for_each_init(
                || Workspace::new(&shared.problem),
                |workspace, (i, (x, out))| {
                    let start = range.start + (i * SCORE_BLOCK) as u64;
                    let tile = start..start + out.len() as u64;
                    workspace.score_samples(shared, parameters, set, tile, x, out);
                },
            );
        });
    }
}
