//! Layer by layer: the same oracles as tile by tile, and the same indifference to grids, schedules, and
//! the division of chunks.

use snel_core::activation::Activation;
use snel_core::chunks::ChunkSet;
use snel_core::density::Density;
use snel_core::engine::{DensityEngine, Engine, SampleSet, Scored};
use snel_core::objective::Objective;
use snel_core::philox::Stream;
use snel_core::problem::Base;
use snel_cuda::device::Device;
use snel_cuda::{Precision, Settings};

use crate::against_reference::check;
use crate::batches::Run;
use crate::cases::{Case, bytes, densities, diagonal, empty, plan, small, whole};
use crate::compilation;
use crate::emulator::Emulator;

/// True if there is a machine that multiplies large matrices; says so if not.
fn available() -> bool {
    let multiplies = || {
        let found = Emulator::new(0).multiplier().is_some();
        if !found {
            println!("skipped: there is no cuBLASLt");
        }
        found
    };
    compilation::available() && multiplies()
}

/// Layer by layer, two chunks at a time.
fn layers() -> Settings {
    Settings { layerwise: Some(true), rows: Some(64), ..small() }
}

/// Widths that differ, and are no multiples of 16; the last tile of a chunk is not full. What an
/// activation does in each precision is seen tile by tile.
#[test]
fn every_activation_and_every_precision() {
    if !available() {
        return;
    }
    let activations = Activation::ALL.map(|activation| (activation, Precision::Bf16x3));
    let precisions = Precision::ALL.map(|precision| (Activation::Silu, precision));
    for (activation, precision) in activations.into_iter().chain(precisions) {
        let case = Case { activation, ..Case::new() };
        check(&case, &Settings { precision, ..layers() });
    }
}

#[test]
fn every_objective_and_base() {
    if !available() {
        return;
    }
    let settings = Settings { precision: Precision::Fp32, ..layers() };
    let mixture = densities(3).pop().unwrap();
    let gaussian = Density::Gaussian { at: diagonal(3) };
    for objective in Objective::ALL {
        for base in [Base::None, Base::Proposal, Base::Density(gaussian.clone())] {
            let proposal = mixture.clone();
            check(&Case { objective, proposal, base, ..Case::new() }, &settings);
        }
    }
}

/// One layer; the last two of one width, with a residual connection behind the last; one unit.
#[test]
fn edges() {
    if !available() {
        return;
    }
    let settings = Settings { precision: Precision::Fp32, ..layers() };
    for widths in [vec![33], vec![17, 40, 40], vec![1, 1]] {
        check(&Case { widths, ..Case::new() }, &settings);
    }
}

/// Any grid, any schedule, any number of chunks at a time: the same bytes, of steps and of scores.
#[test]
fn grids_schedules_and_pieces_cannot_be_seen() {
    if !available() {
        return;
    }
    for (precision, objective) in
        [(Precision::Bf16x3, Objective::Snl), (Precision::Fp32, Objective::IsMle)]
    {
        let case = Case { objective, ..Case::new() };
        let mut seen = None;
        for (seed, (blocks, rows)) in [(1, 32), (2, 64), (5, 96), (3, 1000)].into_iter().enumerate()
        {
            let settings =
                Settings { precision, blocks: Some(blocks), rows: Some(rows), ..layers() };
            let mut engine = case.engine(Emulator::new(1000 * seed as u64), &settings);
            let sums = bytes(&whole(&mut engine, &case.problem(), &plan()));
            let (mut x, mut scored) = (vec![0.0; 3 * 1100], vec![Scored::default(); 1100]);
            let set = SampleSet { stream: Stream::Validation, step: 3 };
            engine.score_samples(set, 500..1600, &mut x, &mut scored);
            let found = (sums, x, scored);
            assert_eq!(&found, seen.get_or_insert_with(|| found.clone()), "{settings:?}");
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
    let mut engine = case.engine(Emulator::new(11), &layers());
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

/// In batches too, with a step that must be repeated and one that is refused.
#[test]
fn batches_have_the_bits_of_single_steps() {
    if !available() {
        return;
    }
    let mut run = Run::new(Objective::Snl);
    run.settings = layers();
    let (found, _) = run.check();
    assert!(found.steps.iter().all(|step| !step.contains("refused")));
    run.rows[3 * 77..3 * 78].fill(1e7);
    run.rows[3 * 78] = f32::NAN;
    let (found, lengths) = run.check();
    assert_eq!(found.steps.iter().filter(|step| step.contains("NotFinite")).count(), 1);
    assert!(lengths.len() > 3, "{lengths:?}");
}
