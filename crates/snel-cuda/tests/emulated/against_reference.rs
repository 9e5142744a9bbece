//! Energies, densities and gradients against the reference engine, which is f64.

use snel_core::activation::Activation;
use snel_core::engine::{DensityEngine, Engine, SampleSet, Scored};
use snel_core::objective::Objective;
use snel_core::philox::Stream;
use snel_core::problem::Base;
use snel_core::reference::ReferenceEngine;
use snel_cuda::{Precision, Settings};

use crate::cases::{Case, densities, gradient, rows, small};
use crate::compilation::available;
use crate::emulator::Emulator;

/// Error of an energy, whose terms are of order one. f32: some tens of roundings of 6e-8. tf32: a
/// product's operands are rounded to 2^-11, an activation's error is up to 2^-11, and a hundred of
/// them add up like a random walk. bf16 rounds the hidden values to 2^-9. Split bf16 drops
/// products of the two small parts, 2^-17, and rounds them to 2^-17.
fn energy_bound(precision: Precision) -> f64 {
    match precision {
        Precision::Fp32 => 1e-5,
        Precision::Tf32 => 6e-3,
        Precision::Bf16x3 => 3e-4,
        Precision::Bf16 => 3e-2,
    }
}

/// Relative error of a gradient in the Euclidean norm. A weight has the error of its energy, and
/// one heavy sample hands it to the whole gradient; gradients of split bf16 are those of bf16 under
/// better weights.
fn gradient_bound(precision: Precision) -> f64 {
    match precision {
        Precision::Fp32 => 1e-5,
        Precision::Tf32 => 5e-3,
        Precision::Bf16x3 => 1e-2,
        Precision::Bf16 => 6e-2,
    }
}

fn distance(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum::<f64>().sqrt()
}

fn reference(case: &Case) -> ReferenceEngine {
    let mut engine = ReferenceEngine::new(case.problem(), rows(case.dim));
    engine.restore(&case.state()).unwrap();
    engine
}

pub(crate) fn check(case: &Case, settings: &Settings) {
    let precision = settings.precision;
    let mut engine = case.engine(Emulator::new(1), settings);
    let mut expected = reference(case);
    let problem = case.problem();
    let (found, right) = (gradient(&mut engine, &problem), gradient(&mut expected, &problem));
    for segment in problem.layout.segments() {
        let (found, right) = (&found[segment.range()], &right[segment.range()]);
        let error = distance(found, right) / distance(right, &vec![0.0; right.len()]);
        let name = &segment.name;
        assert!(error < gradient_bound(precision), "{precision} {name} of {case:?}: {error}");
    }
    // Both scored at the points of the emulator.
    let set = SampleSet { stream: Stream::Validation, step: 3 };
    let n = 37;
    let mut x = vec![0.0; n * case.dim];
    let mut scored = vec![Scored::default(); n];
    engine.score_samples(set, 1000..1000 + n as u64, &mut x, &mut scored);
    let mut right = vec![Scored::default(); n];
    expected.score(&x, &mut right);
    let mut again = vec![Scored::default(); n];
    engine.score(&x, &mut again);
    for ((s, r), again) in scored.iter().zip(&right).zip(&again) {
        assert_eq!(s, again);
        let error = f64::from((s.energy - r.energy).abs());
        assert!(error < energy_bound(precision), "{precision} {case:?}: {s:?} {r:?}");
    }
}

/// Every activation in every precision. Widths are unequal, and neither they nor the dimension are
/// multiples of 16; the last tile of a chunk is not full.
#[test]
fn every_activation_in_every_precision() {
    if !available() {
        return;
    }
    for activation in Activation::ALL {
        for precision in Precision::ALL {
            let case = Case { activation, ..Case::new() };
            check(&case, &Settings { precision, ..small() });
        }
    }
}

#[test]
fn every_objective_proposal_and_base() {
    if !available() {
        return;
    }
    let settings = Settings { precision: Precision::Fp32, ..small() };
    let all = densities(3);
    for objective in Objective::ALL {
        for (i, proposal) in all.iter().enumerate() {
            let other = all[(i + 1) % all.len()].clone();
            for base in [Base::None, Base::Proposal, Base::Density(other)] {
                let proposal = proposal.clone();
                // Data outside of a uniform base has no density: nothing to compare.
                if matches!(&base, Base::Density(d) if is_bounded(d))
                    || (base == Base::Proposal && is_bounded(&proposal))
                {
                    continue;
                }
                check(&Case { objective, proposal, base, ..Case::new() }, &settings);
            }
        }
    }
}

fn is_bounded(density: &snel_core::density::Density) -> bool {
    matches!(density, snel_core::density::Density::Uniform { .. })
}
