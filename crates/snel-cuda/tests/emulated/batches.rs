//! Steps that are launched at once against the same steps one by one: equal bits, whatever the length
//! of the batches, and whatever they meet on their way.

use std::sync::Arc;

use snel_core::collective::{Alone, Collective, CollectiveError};
use snel_core::engine::{DensityEngine, Engine, Scored, StepOutcome};
use snel_core::objective::Objective;
use snel_core::optim::{Optim, Schedule, Shape};
use snel_core::partial::{FINEST, FIRST_SCALE, Partial};
use snel_core::plan::{Batching, StepPlan};
use snel_core::problem::Problem;
use snel_core::reference::ReferenceEngine;
use snel_core::rows::{Matrix, Rows};
use snel_core::step::{advance, room_for};
use snel_cuda::{CudaEngine, Settings};

use crate::cases::{Case, normals, rows, small};
use crate::compilation::available;
use crate::emulator::Emulator;

/// A worker that might have company: no step is made without the host.
struct InCompany;

impl Collective for InCompany {
    fn sum(
        &mut self,
        plan: &StepPlan,
        engine: &mut dyn Engine,
        partial: &mut Partial,
    ) -> Result<(), CollectiveError> {
        Alone.sum(plan, engine, partial)
    }
}

/// Rows in two chunks, samples in three.
const BATCHING: Batching =
    Batching { batch: 20, samples: 40, per_row: false, chunk: 16, total_rows: 200, seed: 5 };

pub(crate) struct Run {
    case: Case,
    optim: Optim,
    pub(crate) rows: Vec<f32>,
    b: f32,
    steps: u64,
    pub(crate) settings: Settings,
}

/// All that must be equal.
#[derive(Debug, PartialEq)]
pub(crate) struct Found {
    digest: u128,
    scale: i32,
    pub(crate) steps: Vec<String>,
}

impl Run {
    /// Clipped, decaying, scheduled.
    pub(crate) fn new(objective: Objective) -> Self {
        let case = Case { objective, ..Case::new() };
        let optim = Optim {
            lr: 0.01,
            b_lr: 0.02,
            weight_decay: 0.1,
            clip_norm: Some(0.05),
            schedule: Schedule { warmup: 3, shape: Shape::Cosine { steps: 60, floor: 0.1 } },
            ..Optim::default()
        };
        let rows = normals(200 * 3, 7).into_iter().map(|v| v as f32).collect();
        Self { case, optim, rows, b: 0.2, steps: 10, settings: small() }
    }

    fn make(&self, collective: &mut dyn Collective, most: u64) -> (Found, Vec<usize>) {
        let mut problem: Problem = (*self.case.problem()).clone();
        problem.optim = self.optim.clone();
        let mut partial = room_for(&problem);
        let rows: Arc<dyn Rows> = Arc::new(Matrix::new(self.rows.clone(), 3).unwrap());
        let settings = Settings { blocks: Some(2), ..self.settings };
        let device = Emulator::new(most);
        let mut engine = CudaEngine::new(Arc::new(problem), rows, device, &settings).unwrap();
        let mut state = self.case.state();
        state.set_b(self.b);
        engine.restore(&state).unwrap();
        let (mut steps, mut lengths, mut outcomes) = (Vec::new(), Vec::new(), Vec::new());
        while engine.head().step < self.steps {
            let asked = most.min(self.steps - engine.head().step);
            advance(&mut engine, collective, &BATCHING, asked, &mut partial, &mut outcomes)
                .unwrap();
            lengths.push(outcomes.len());
            steps.extend(outcomes.iter().map(written));
            assert_eq!(engine.head(), outcomes.last().unwrap().head);
        }
        assert_eq!(engine.snapshot().head(), engine.head());
        (Found { digest: engine.digest(), scale: engine.head().scale, steps }, lengths)
    }

    /// Compares batches of several lengths with single steps; returns the steps and the lengths of
    /// the longest batches.
    pub(crate) fn check(&self) -> (Found, Vec<usize>) {
        self.check_with(&[1, 3, 64])
    }

    fn check_with(&self, most: &[u64]) -> (Found, Vec<usize>) {
        let (right, lengths) = self.make(&mut InCompany, 64);
        assert!(lengths.iter().all(|&steps| steps == 1));
        let mut longest = lengths;
        for most in most {
            let (found, lengths) = self.make(&mut Alone, *most);
            assert_eq!(found, right, "batches of {lengths:?}");
            longest = lengths;
        }
        (right, longest)
    }
}

/// A step in numbers that tell bits apart.
fn written(outcome: &StepOutcome) -> String {
    let StepOutcome { b, head, result } = outcome;
    match result {
        Err(error) => format!("{b:?} {head:?} refused: {error:?}"),
        Ok(update) => {
            let s = &update.statistics;
            let scalars = [s.max_u, s.mean_row(), s.mean_weight(), s.ess_fraction()];
            let counts = [s.rows, s.samples, s.overflows, s.not_finite];
            format!("{b:?} {head:?} {:?} {scalars:?} {counts:?}", update.applied)
        }
    }
}

#[test]
fn batches_have_the_bits_of_single_steps() {
    if !available() {
        return;
    }
    for objective in [Objective::Snl, Objective::Nce] {
        let (found, _) = Run::new(objective).check();
        assert!(found.steps.iter().all(|step| !step.contains("refused")));
    }
    // More than the longest batch.
    let (_, lengths) = Run { steps: 66, ..Run::new(Objective::Snl) }.check_with(&[64]);
    assert_eq!(lengths, [64, 2]);
}

/// A row ten million times as far as the others has a gradient that the scale does not hold: that
/// step is repeated by the host, and the batch goes on behind it.
#[test]
fn an_overflow_of_the_scale_in_a_batch() {
    if !available() {
        return;
    }
    let mut run = Run::new(Objective::Snl);
    run.rows[3 * 77..3 * 78].fill(1e7);
    let (found, lengths) = run.check();
    assert!(found.steps.iter().all(|step| !step.contains("refused")));
    // In the first ten steps every row is visited once.
    assert_eq!(lengths.len(), 3, "{lengths:?}");
    assert_eq!(lengths[1], 1);
}

/// Weights about as large as they may be: steps with a larger one are refused, the others not.
#[test]
fn weights_that_overflow_in_a_batch() {
    if !available() {
        return;
    }
    let run = Run { b: -71.5, ..Run::new(Objective::Snl) };
    let slow = Optim { lr: 1e-6, b_lr: 1e-6, ..run.optim.clone() };
    let (found, _) = Run { optim: slow, steps: 16, ..run }.check();
    let refused = |step: &&String| step.contains("WeightOverflow");
    let count = found.steps.iter().filter(refused).count();
    assert!(count > 1 && count < 15, "{found:?}");
}

/// A row that is not a number costs the step that has it, and no other.
#[test]
fn a_row_that_is_not_finite_in_a_batch() {
    if !available() {
        return;
    }
    for objective in [Objective::Snl, Objective::Nce] {
        let mut run = Run::new(objective);
        run.rows[3 * 77 + 1] = f32::NAN;
        let (found, lengths) = run.check();
        let refused = |step: &&String| step.contains("NotFinite");
        assert_eq!(found.steps.iter().filter(refused).count(), 1);
        assert_eq!(lengths.iter().sum::<usize>(), 10);
        assert_eq!(lengths.len(), 3, "{lengths:?}");
    }
}

/// Samples that are divided by their mean weight need the host in every step.
#[test]
fn importance_sampling_goes_step_by_step() {
    if !available() {
        return;
    }
    let (_, lengths) = Run { steps: 3, ..Run::new(Objective::IsMle) }.check();
    assert_eq!(lengths, [1, 1, 1]);
}

/// The next scale is the one that the host computes, at magnitudes that are far apart.
#[test]
fn the_next_scale_is_that_of_the_host() {
    if !available() {
        return;
    }
    let scale = |b| Run { b, steps: 2, ..Run::new(Objective::Snl) }.check().0.scale;
    assert!(scale(60.0) > scale(-20.0) + 20 && scale(-20.0) > scale(-60.0) + 40);
}

/// Rows so far from the proposal that `u` is about `u` there, and `b` such that no sample has weight:
/// the gradient of noise contrast is then that of the rows, about `exp(-u)`. Returns the scale after a
/// step.
fn scale_of_faint_gradients(u: f64) -> i32 {
    let mut run = Run { steps: 1, ..Run::new(Objective::Nce) };
    let row = [12.0; 3];
    run.rows.fill(12.0);
    let mut reference = ReferenceEngine::new(run.case.problem(), rows(3));
    reference.restore(&run.case.state()).unwrap();
    let mut scored = [Scored::default()];
    reference.score(&row.map(|v| v as f32), &mut scored);
    let energy = f64::from(scored[0].energy);
    let b = -energy - run.case.proposal.log_density(&row) - u;
    assert!(b > 100.0, "samples have weight: {b}");
    run.b = b as f32;
    run.check().0.scale
}

/// Magnitudes of 2^-115 would want a finer scale than there is, those that vanish have none.
#[test]
fn the_scale_of_faint_gradients_is_that_of_the_host() {
    if !available() {
        return;
    }
    assert_eq!(scale_of_faint_gradients(80.0), FINEST);
    assert_eq!(scale_of_faint_gradients(150.0), FIRST_SCALE);
}
