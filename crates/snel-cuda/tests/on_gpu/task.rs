//! What worlds are for, and the training that they and one process do alike.

use snel_core::collective::Collective;
use snel_core::engine::Engine;
use snel_core::objective::Objective;
use snel_core::plan::Batching;
use snel_core::step::{StepFault, reduce_step, room_for};
use snel_cuda::{CudaEngine, Settings};

use crate::cases::Case;
use crate::emulator::Emulator;

/// Steps of a run.
pub(crate) const STEPS: u32 = 10;
/// Steps before a rank is killed.
pub(crate) const FIRST_STEPS: u32 = 4;

/// Two chunks of rows, eleven of samples: more than there are ranks, and no multiple of them.
const BATCHING: Batching =
    Batching { batch: 41, samples: 325, per_row: false, chunk: 30, total_rows: 200, seed: 5 };

/// What a world is started for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Task {
    /// The ranks find each other; needs no GPU. The last one waits to be killed.
    Meet,
    /// The ranks fail.
    Fail,
    /// The ranks train.
    Train(Objective),
    /// The ranks train, and the last one waits to be killed in the middle.
    Lose,
}

impl Task {
    /// What is trained while a rank is lost.
    pub(crate) const LOSE_OBJECTIVE: Objective = Objective::Snl;

    fn all() -> impl Iterator<Item = Self> {
        let others = [Self::Meet, Self::Fail, Self::Lose];
        others.into_iter().chain(Objective::ALL.map(Self::Train))
    }

    pub(crate) fn name(self) -> String {
        format!("{self:?}")
    }

    pub(crate) fn named(name: &str) -> Self {
        Self::all().find(|task| task.name() == name).unwrap_or_else(|| panic!("no task {name}"))
    }
}

fn case(objective: Objective) -> Case {
    Case { objective, ..Case::new() }
}

pub(crate) fn engine(objective: Objective) -> CudaEngine<Emulator> {
    case(objective).engine(Emulator::new(0), &Settings::default())
}

/// Takes `steps` steps, or as many as the group allows.
pub(crate) fn train(
    engine: &mut dyn Engine,
    collective: &mut dyn Collective,
    objective: Objective,
    steps: u32,
) -> Result<(), StepFault> {
    let mut partial = room_for(&case(objective).problem());
    for _ in 0..steps {
        let reduced = reduce_step(engine, collective, &BATCHING, &mut partial)?;
        engine.apply(&reduced);
    }
    Ok(())
}
