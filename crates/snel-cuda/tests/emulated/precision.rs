//! What each precision does to energies, as it is watched while a model is trained.

use snel_core::density::Density;
use snel_core::engine::{DensityEngine, Engine, SampleSet, Scored};
use snel_core::philox::Stream;
use snel_core::precision::EnergyError;
use snel_core::state::State;
use snel_cuda::{CudaEngine, Precision, Settings};

use crate::cases::{Case, diagonal, small};
use crate::compilation::available;
use crate::emulator::Emulator;

const SET: SampleSet = SampleSet { stream: Stream::Validation, step: 0 };

fn case() -> Case {
    Case {
        dim: 8,
        widths: vec![64, 64],
        residual: false,
        proposal: Density::Gaussian { at: diagonal(8) },
        ..Case::new()
    }
}

/// Energies `factor` times as far apart.
fn sharpened(case: &Case, factor: f32) -> State {
    let problem = case.problem();
    let output = problem.model.energy.layers().1;
    let mut state = case.state();
    let b = state.parameters.len() - 1;
    state.parameters[output..b].iter_mut().for_each(|v| *v *= factor);
    state
}

fn spread_of_energies(engine: &CudaEngine<Emulator>, dim: usize) -> f64 {
    let n = 512;
    let (mut x, mut scored) = (vec![0.0; n * dim], vec![Scored::default(); n]);
    engine.score_samples(SET, 0..n as u64, &mut x, &mut scored);
    let mean = scored.iter().map(|s| f64::from(s.energy)).sum::<f64>() / n as f64;
    let square = |s: &Scored| (f64::from(s.energy) - mean).powi(2);
    (scored.iter().map(square).sum::<f64>() / n as f64).sqrt()
}

/// The error is a share of the spread of energies that belongs to the precision. Lower and upper
/// limits: operands lose 2^-9 (bf16), 2^-12 (tf32, and 2^-11 of its tanh), 2^-17 (split bf16) and
/// 2^-24 (fp32) at most, and of the errors of two layers of 64 most cancel.
#[test]
fn errors_are_those_of_the_precision() {
    if !available() {
        return;
    }
    let case = case();
    for (precision, least, most) in [
        (Precision::Fp32, 1e-9, 2e-6),
        (Precision::Bf16x3, 2e-7, 1e-4),
        (Precision::Tf32, 5e-5, 2e-3),
        (Precision::Bf16, 1e-3, 2e-2),
    ] {
        let mut engine = case.engine(Emulator::new(1), &Settings { precision, ..small() });
        for factor in [1.0, 16.0] {
            engine.restore(&sharpened(&case, factor)).unwrap();
            let energy = &case.problem().model.energy;
            let found = EnergyError::measure(&engine, energy, SET);
            let share = found.spread / spread_of_energies(&engine, case.dim);
            println!("{precision}, energies times {factor}: {found:?}, share {share:.1e}");
            assert!((least..most).contains(&share), "{precision} {factor}: {found:?} {share}");
        }
    }
}

/// A model that sharpens leaves bf16 behind, and what is named instead is fine enough.
#[test]
fn what_is_named_instead_does() {
    if !available() {
        return;
    }
    let case = case();
    let (soft, sharp) = (sharpened(&case, 1.0), sharpened(&case, 16.0));
    let look = |precision, state: &State| {
        let mut engine = case.engine(Emulator::new(1), &Settings { precision, ..small() });
        engine.restore(state).unwrap();
        let error = EnergyError::measure(&engine, &case.problem().model.energy, SET);
        (error.is_tolerable(), engine.coarse())
    };
    let (tolerable, coarse) = look(Precision::Bf16, &soft);
    assert!(tolerable);
    assert_eq!(coarse.unwrap().precision, "bf16");
    let (tolerable, coarse) = look(Precision::Bf16, &sharp);
    assert!(!tolerable);
    let (tolerable, coarse) = look(coarse.unwrap().finer.parse().unwrap(), &sharp);
    assert!(tolerable);
    let (tolerable, coarse) = look(coarse.unwrap().finer.parse().unwrap(), &sharp);
    assert!(tolerable && coarse.is_none());
}
