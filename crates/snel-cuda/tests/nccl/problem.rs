//! A small problem, the reference engine on it, and groups of ranks that train it.

use std::io;
use std::sync::Arc;

use snel_core::activation::Activation;
use snel_core::chunks::ChunkSet;
use snel_core::collective::Collective;
use snel_core::density::{Affine, Density, Scale};
use snel_core::energy::Energy;
use snel_core::engine::Engine;
use snel_core::objective::Objective;
use snel_core::optim::Optim;
use snel_core::partial::Partial;
use snel_core::plan::{Batching, StepPlan};
use snel_core::problem::{Base, Model, Problem};
use snel_core::reference::ReferenceEngine;
use snel_core::rows::{Matrix, Rows};
use snel_core::state::State;
use snel_core::step::{StepFault, reduce_step, room_for};
use snel_cuda::nccl::{Communicator, NcclCollective, Shares};

use crate::host::HostDevice;

/// Nine chunks.
pub(crate) const BATCHING: Batching =
    Batching { batch: 24, samples: 120, per_row: false, chunk: 16, total_rows: 50, seed: 3 };

pub(crate) type Group = NcclCollective<HostDevice>;

pub(crate) fn problem(objective: Objective) -> Arc<Problem> {
    let at = Affine { mean: vec![0.0; 2], scale: Scale::Diagonal(vec![1.1; 2]) };
    let widths = vec![5, 5];
    let activation = Activation::Silu;
    let model = Model {
        energy: Energy::Mlp { dim: 2, widths, activation, residual: true },
        base: Base::Proposal,
        proposal: Density::Gaussian { at },
    };
    Arc::new(Problem::new(model, objective, Optim::default(), 3))
}

pub(crate) fn engine(problem: &Arc<Problem>) -> ReferenceEngine {
    let values = (0..100).map(|i| (i as f32 * 0.37).sin()).collect();
    ReferenceEngine::new(problem.clone(), Arc::new(Matrix::new(values, 2).unwrap()))
}

/// Rows that cannot be read.
pub(crate) struct NoRows;

impl Rows for NoRows {
    fn len(&self) -> u64 {
        50
    }

    fn dim(&self) -> usize {
        2
    }

    fn gather(&self, _: &[u64], _: &mut [f32]) -> io::Result<()> {
        Err(io::Error::other("the disk is gone"))
    }
}

/// The plan of a step, and memory for its sums.
pub(crate) fn first_step(problem: &Problem) -> (StepPlan, Partial) {
    let plan = BATCHING.plan(0, snel_core::partial::FIRST_SCALE);
    let mut partial = room_for(problem);
    partial.restart(plan.scale, plan.n_chunks());
    (plan, partial)
}

pub(crate) fn bytes(partial: &Partial) -> Vec<u8> {
    let mut out = Vec::new();
    partial.write_to(&mut out);
    out
}

pub(crate) fn collective(communicator: Communicator, shares: Shares) -> Group {
    NcclCollective::new(communicator, HostDevice { is_well: true }, shares)
}

/// Takes `steps` steps, or as many as the group allows.
pub(crate) fn train(
    engine: &mut dyn Engine,
    problem: &Problem,
    collective: &mut dyn Collective,
    steps: u32,
) -> Result<State, StepFault> {
    let mut partial = room_for(problem);
    for _ in 0..steps {
        let reduced = reduce_step(engine, collective, &BATCHING, &mut partial)?;
        engine.apply(&reduced);
    }
    Ok(engine.snapshot())
}

/// Every chunk to another rank than the one before.
pub(crate) fn scattered_shares(world: u32) -> Shares {
    Box::new(move |plan| {
        let chunk_of = |i: u32| i..i + 1;
        let share = |rank| (rank..plan.n_chunks()).step_by(world as usize).map(chunk_of);
        (0..world).map(|rank| ChunkSet::from_ranges(share(rank)).unwrap()).collect()
    })
}

/// All chunks to the last rank.
pub(crate) fn lopsided_shares(world: u32) -> Shares {
    Box::new(move |plan| {
        let mut shares = vec![ChunkSet::default(); world as usize];
        shares[world as usize - 1] = ChunkSet::of(0..plan.n_chunks());
        shares
    })
}
