//! Steps that must not be applied, and points that have no density.

use snel_core::density::Density;
use snel_core::engine::Engine;
use snel_core::partial::StepError;
use snel_core::problem::Base;
use snel_core::reference::ReferenceEngine;
use snel_core::state::State;

use crate::cases::{Case, bytes, empty, plan, rows, small, whole};
use crate::compilation::available;
use crate::emulator::Emulator;

/// The verdict on a step from `state`, and that of the reference engine.
fn verdicts(case: &Case, state: &State, scale: i32) -> [StepError; 2] {
    let mut plan = plan();
    plan.scale = scale;
    let problem = case.problem();
    let mut engine = case.engine(Emulator::new(1), &small());
    engine.restore(state).unwrap();
    let mut reference = ReferenceEngine::new(case.problem(), rows(case.dim));
    reference.restore(state).unwrap();
    let found = whole(&mut engine, &problem, &plan).reduce().unwrap_err();
    [found, whole(&mut reference, &problem, &plan).reduce().unwrap_err()]
}

#[test]
fn weights_that_overflow_are_counted() {
    if !available() {
        return;
    }
    let case = Case::new();
    let mut state = case.state();
    state.set_b(-100.0);
    let [found, right] = verdicts(&case, &state, 40);
    let StepError::WeightOverflow { count, total, .. } = found else { panic!("{found:?}") };
    assert!(count > 0);
    let StepError::WeightOverflow { count: c, total: t, .. } = right else { panic!("{right:?}") };
    assert_eq!((count, total), (c, t));
}

#[test]
fn values_that_are_not_finite_are_counted() {
    if !available() {
        return;
    }
    let case = Case::new();
    let mut state = case.state();
    state.parameters[4] = f32::NAN;
    let [found, right] = verdicts(&case, &state, 40);
    for verdict in [found, right] {
        assert!(matches!(verdict, StepError::NotFinite { count } if count > 75), "{verdict:?}");
    }
}

/// A scale that is too fine is refused, and the scale that is named instead does.
#[test]
fn a_gradient_that_does_not_fit_names_its_scale() {
    if !available() {
        return;
    }
    let case = Case::new();
    let [found, right] = verdicts(&case, &case.state(), 90);
    let StepError::Overflow { scale, .. } = found else { panic!("{found:?}") };
    assert!(matches!(right, StepError::Overflow { scale: s, .. } if s == scale));
    let mut plan = plan();
    plan.scale = scale;
    let mut engine = case.engine(Emulator::new(1), &small());
    assert!(whole(&mut engine, &case.problem(), &plan).reduce().is_ok());
}

/// Outside of a bounded base a sample weighs nothing, and a row has no density.
#[test]
fn points_outside_of_the_base() {
    if !available() {
        return;
    }
    let base = Density::Uniform { low: vec![-0.5; 3], high: vec![0.9; 3] };
    let case = Case { base: Base::Density(base), ..Case::new() };
    let [found, right] = verdicts(&case, &case.state(), 40);
    assert!(matches!(found, StepError::NotFinite { .. }));
    assert_eq!(found, right);
}

/// No chunk, no launch, nothing added.
#[test]
fn no_chunks_are_no_work() {
    if !available() {
        return;
    }
    let (case, plan) = (Case::new(), plan());
    let problem = case.problem();
    let mut engine = case.engine(Emulator::new(1), &small());
    let mut partial = empty(&problem, &plan);
    engine.accumulate(&plan, &snel_core::chunks::ChunkSet::default(), &mut partial).unwrap();
    assert_eq!(bytes(&partial), bytes(&empty(&problem, &plan)));
}
