//! Workers that are threads of one process: the collective that needs no network.
//!
//! Each worker owns an engine and a share of the chunks. A reduction is a meeting: every worker
//! adds its partial to the common sum, the last one opens the door, and all leave with a copy.
//!
//! Invariants
//! 1. A round's sum is made of exactly one partial of each member.
//! 2. A member that drops out wakes the others, who fail with `MemberLeft` instead of waiting.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use snel_core::chunks::ChunkSet;
use snel_core::collective::{Collective, CollectiveError};
use snel_core::engine::Engine;
use snel_core::partial::Partial;
use snel_core::plan::StepPlan;

/// One member of a group of threads.
pub struct InProcess {
    rank: usize,
    meeting: Arc<Meeting>,
}

struct Meeting {
    members: usize,
    round: Mutex<Round>,
    door: Condvar,
}

#[derive(Default)]
struct Round {
    number: u64,
    arrived: usize,
    sum: Option<Partial>,
    /// The sum of the round before, for members who have yet to leave it.
    last: Option<Partial>,
    left: bool,
}

impl InProcess {
    /// The members of a group of `n`.
    pub fn group(n: usize) -> Vec<Self> {
        let meeting = Arc::new(Meeting {
            members: n,
            round: Mutex::new(Round::default()),
            door: Condvar::new(),
        });
        (0..n).map(|rank| Self { rank, meeting: meeting.clone() }).collect()
    }

    /// The chunks of this member: the later it is in the group, the more, so that tests meet
    /// unequal shares.
    fn share(&self, chunks: u32) -> ChunkSet {
        let n = self.meeting.members;
        let edge = |k: usize| (chunks as usize * k * k / (n * n)) as u32;
        ChunkSet::of(edge(self.rank)..edge(self.rank + 1))
    }

    /// A poisoned lock means that a member panicked; its `drop` says so in `left`.
    fn lock(&self) -> MutexGuard<'_, Round> {
        self.meeting.round.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Collective for InProcess {
    fn sum(
        &mut self,
        plan: &StepPlan,
        engine: &mut dyn Engine,
        partial: &mut Partial,
    ) -> Result<(), CollectiveError> {
        engine.accumulate(plan, &self.share(plan.n_chunks()), partial)?;
        let mut round = self.lock();
        let mine = round.number;
        match &mut round.sum {
            None => round.sum = Some(partial.clone()),
            Some(sum) => {
                if let Err(error) = sum.merge(partial) {
                    // Partials that do not fit end the group: nobody can finish this round.
                    round.left = true;
                    self.meeting.door.notify_all();
                    return Err(error.into());
                }
            }
        }
        round.arrived += 1;
        if round.arrived == self.meeting.members {
            round.last = round.sum.take();
            round.arrived = 0;
            round.number += 1;
            self.meeting.door.notify_all();
        }
        while round.number == mine && !round.left {
            round = self.meeting.door.wait(round).unwrap_or_else(PoisonError::into_inner);
        }
        match &round.last {
            Some(sum) if round.number > mine => {
                partial.clone_from(sum);
                Ok(())
            }
            _ => Err(CollectiveError::MemberLeft),
        }
    }
}

impl Drop for InProcess {
    fn drop(&mut self) {
        self.lock().left = true;
        self.meeting.door.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use snel_core::activation::Activation;
    use snel_core::collective::Alone;
    use snel_core::density::{Affine, Density, Scale};
    use snel_core::energy::Energy;
    use snel_core::mcmc::{Kernel, Mcmc, Persistent, Start};
    use snel_core::objective::Objective;
    use snel_core::optim::Optim;
    use snel_core::plan::Batching;
    use snel_core::problem::{Base, Model, Problem};
    use snel_core::rows::Matrix;
    use snel_core::state::State;
    use snel_core::step::{reduce_step, room_for};
    use snel_cpu::CpuEngine;

    fn problem(objective: Objective) -> Arc<Problem> {
        let at = Affine { mean: vec![0.0; 2], scale: Scale::Diagonal(vec![1.1; 2]) };
        let model = Model {
            energy: Energy::Mlp {
                dim: 2,
                widths: vec![9, 9],
                activation: Activation::Silu,
                residual: true,
            },
            base: Base::Proposal,
            proposal: Density::Gaussian { at },
        };
        Arc::new(Problem::new(model, objective, Optim::default(), 3))
    }

    fn engine(problem: &Arc<Problem>) -> CpuEngine {
        let values = (0..400).map(|i| (i as f32 * 0.37).sin()).collect();
        let rows = Arc::new(Matrix::new(values, 2).unwrap());
        CpuEngine::new(problem.clone(), rows, 1).unwrap()
    }

    const BATCHING: Batching =
        Batching { batch: 96, samples: 1000, per_row: false, chunk: 64, total_rows: 200, seed: 3 };

    fn train(problem: &Arc<Problem>, collective: &mut dyn Collective) -> State {
        let mut engine = engine(problem);
        let mut partial = room_for(problem);
        for _ in 0..20 {
            let step = reduce_step(&mut engine, collective, &BATCHING, &mut partial);
            engine.apply(&step.unwrap());
        }
        engine.snapshot()
    }

    /// Any number of workers, with shares of any size, ends in the bits of one worker alone.
    #[test]
    fn workers_do_not_change_a_bit() {
        let start = Start::Persistent(Persistent { chains: 2000, moved: 1000, reinit: 0.1 });
        let kernel = Kernel::Mala;
        let mcmc = Mcmc { start, kernel, moves: 2, step_size: 0.5, adapt: true, posterior: None };
        for objective in Objective::ALL.into_iter().chain([Objective::Mcmc(mcmc)]) {
            let problem = problem(objective);
            let alone = train(&problem, &mut Alone);
            for workers in [2, 3, 5] {
                let states: Vec<State> = std::thread::scope(|scope| {
                    let problem = &problem;
                    let run = |mut member| scope.spawn(move || train(problem, &mut member));
                    let handles: Vec<_> = InProcess::group(workers).into_iter().map(run).collect();
                    handles.into_iter().map(|h| h.join().unwrap()).collect()
                });
                for state in states {
                    assert_eq!(state, alone, "{workers} workers, {objective:?}");
                }
            }
        }
    }

    #[test]
    fn a_member_that_leaves_is_noticed() {
        let mut group = InProcess::group(2);
        let gone = group.pop();
        let mut stays = group.pop().unwrap();
        let waiting = std::thread::spawn(move || {
            let problem = problem(Objective::Snl);
            let plan = BATCHING.plan(0, 0);
            let mut partial = room_for(&problem);
            partial.restart(plan.scale, plan.n_chunks());
            stays.sum(&plan, &mut engine(&problem), &mut partial)
        });
        drop(gone);
        assert!(matches!(waiting.join().unwrap(), Err(CollectiveError::MemberLeft)));
    }
}
