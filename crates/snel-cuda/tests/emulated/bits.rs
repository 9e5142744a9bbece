//! What must agree to the last bit: random numbers with snel-core, and sums with themselves
//! whatever the grid, the schedule of threads, the placement of operands, or the division of chunks.

use snel_core::chunks::ChunkSet;
use snel_core::density::{Affine, Density, Draws, Scale};
use snel_core::engine::{DensityEngine, Engine, SampleSet, Scored};
use snel_core::objective::Objective;
use snel_core::philox::{Key, Stream};
use snel_cuda::{Placement, Precision, Settings};

use crate::cases::{Case, bytes, densities, empty, plan, small, whole};
use crate::compilation::available;
use crate::emulator::Emulator;

/// Samples of `density` from the kernels.
fn samples(density: &Density, n: usize, first: u64) -> Vec<f32> {
    let case = Case { proposal: density.clone(), ..Case::new() };
    let engine = case.engine(Emulator::new(1), &Settings { precision: Precision::Fp32, ..small() });
    let mut x = vec![0.0; n * case.dim];
    let mut scored = vec![Scored::default(); n];
    let set = SampleSet { stream: Stream::Evaluation, step: 9 };
    engine.score_samples(set, first..first + n as u64, &mut x, &mut scored);
    x
}

/// The same samples in f64, by definition.
fn definition(density: &Density, n: usize, first: u64) -> Vec<f64> {
    let key = Key::new(5, Stream::Evaluation);
    let mut x = vec![0.0; 3 * n];
    for (i, x) in x.chunks_exact_mut(3).enumerate() {
        density.sample(&mut Draws::new(key, 9, first + i as u64), x);
    }
    x
}

/// With mean 0 and scale 1 a sample is its normal numbers; in the unit box it is its uniforms.
/// Sample numbers pass 2^32.
#[test]
fn random_numbers_are_those_of_snel_core() {
    if !available() {
        return;
    }
    let first = (1 << 32) - 1000;
    let at = Affine { mean: vec![0.0; 3], scale: Scale::Diagonal(vec![1.0; 3]) };
    let unit = Density::Uniform { low: vec![0.0; 3], high: vec![1.0; 3] };
    for density in [Density::Gaussian { at }, unit] {
        let found = samples(&density, 4000, first);
        for (x, y) in found.iter().zip(definition(&density, 4000, first)) {
            assert_eq!(x.to_bits(), (y as f32).to_bits(), "{density:?}");
        }
    }
}

/// f32 against f64: a few roundings of terms that the values bound; the factor of a heavy Student
/// multiplies them all.
#[test]
fn samples_follow_the_definition() {
    if !available() {
        return;
    }
    for density in densities(3) {
        let found = samples(&density, 500, 70);
        for (x, y) in found.chunks(3).zip(definition(&density, 500, 70).chunks(3)) {
            let size = 1.0 + y.iter().fold(0.0, |m: f64, v| m.max(v.abs()));
            for (x, y) in x.iter().zip(y) {
                assert!((f64::from(*x) - y).abs() < 1e-6 * size, "{density:?}: {x} {y}");
            }
        }
    }
}

/// Log-densities in f32 at the points that the kernels drew: 2e-6 of their own size, and of the
/// squared distance behind them, which is below 40 where samples fall.
#[test]
fn log_densities_follow_the_definition() {
    if !available() {
        return;
    }
    let all = densities(3);
    for (i, proposal) in all.iter().enumerate() {
        let base = all[(i + 2) % all.len()].clone();
        let case = Case {
            proposal: proposal.clone(),
            base: snel_core::problem::Base::Density(base.clone()),
            ..Case::new()
        };
        let settings = Settings { precision: Precision::Fp32, ..small() };
        let engine = case.engine(Emulator::new(1), &settings);
        let mut x = vec![0.0; 3 * 400];
        let mut scored = vec![Scored::default(); 400];
        let set = SampleSet { stream: Stream::Proposal, step: 0 };
        engine.score_samples(set, 0..400, &mut x, &mut scored);
        for (x, s) in x.chunks(3).zip(&scored) {
            let x: Vec<f64> = x.iter().map(|&v| f64::from(v)).collect();
            for (found, density) in [(s.log_proposal, proposal), (s.log_base, &base)] {
                let right = density.log_density(&x);
                let (found, same) = (f64::from(found), f64::from(found) == right);
                let bound = 4e-6 * (3.0 + right.abs());
                assert!(
                    same || (found - right).abs() < bound,
                    "{density:?} at {x:?}: {found} {right}"
                );
            }
        }
    }
}

/// Any grid, any schedule: the same bytes. Objectives that separate samples too.
#[test]
fn grids_and_schedules_cannot_be_seen() {
    if !available() {
        return;
    }
    for (precision, objective) in
        [(Precision::Bf16, Objective::Snl), (Precision::Fp32, Objective::IsMle)]
    {
        let case = Case { objective, ..Case::new() };
        let mut seen = None;
        for blocks in [1, 2, 5] {
            for seed in 0..4 {
                let settings = Settings { precision, blocks: Some(blocks), ..small() };
                let mut engine = case.engine(Emulator::new(1000 * seed), &settings);
                let sums = bytes(&whole(&mut engine, &case.problem(), &plan()));
                assert_eq!(&sums, seen.get_or_insert_with(|| sums.clone()), "{blocks} {seed}");
            }
        }
    }
}

/// Where operands are kept, and the number of threads, are nothing that a number depends on; nor is
/// the height of the blocks that products are cut into, which follows from both where layers have 64
/// units.
#[test]
fn placements_and_threads_cannot_be_seen() {
    if !available() {
        return;
    }
    let narrow = (Case::new(), 16, [64, 64, 32, 128], [Precision::Bf16, Precision::Fp32]);
    let wider = Case { widths: vec![64, 64], ..Case::new() };
    let tall = (wider, 64, [128, 64, 64, 128], [Precision::Bf16, Precision::Bf16x3]);
    for (case, tile, threads, precisions) in [narrow, tall] {
        for precision in precisions {
            let place = |weights_shared, tiles_shared, sums_in_registers| {
                Some(Placement { weights_shared, tiles_shared, sums_in_registers })
            };
            let placements = [
                place(true, true, true),
                place(false, true, false),
                place(true, false, false),
                place(false, false, true),
            ];
            let mut seen = None;
            for (placement, threads) in placements.into_iter().zip(threads) {
                let (tile, threads) = (Some(tile), Some(threads));
                let settings = Settings { precision, placement, threads, tile, ..small() };
                let mut engine = case.engine(Emulator::new(3), &settings);
                let sums = bytes(&whole(&mut engine, &case.problem(), &plan()));
                assert_eq!(&sums, seen.get_or_insert_with(|| sums.clone()), "{settings:?}");
            }
        }
    }
}

/// Two workers that share the chunks, in any way, end with the bytes of one.
#[test]
fn division_of_chunks_cannot_be_seen() {
    if !available() {
        return;
    }
    let (case, plan) = (Case::new(), plan());
    let mut engine = case.engine(Emulator::new(11), &small());
    let problem = case.problem();
    let alone = bytes(&whole(&mut engine, &problem, &plan));
    let n = plan.n_chunks();
    for cut in 0..=n {
        let mut parts = [ChunkSet::of(0..cut), ChunkSet::of(cut..n)].map(|chunks| {
            let mut partial = empty(&problem, &plan);
            engine.accumulate(&plan, &chunks, &mut partial).unwrap();
            partial
        });
        let [first, second] = &mut parts;
        second.merge(first).unwrap();
        assert_eq!(bytes(second), alone, "{cut}");
    }
}
