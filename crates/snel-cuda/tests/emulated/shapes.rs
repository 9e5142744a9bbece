//! Shapes at the edges: no hidden layer, one unit, wider than a tile, points of more than 16
//! values, everything out of shared memory.

use snel_core::density::Density;
use snel_core::engine::Engine;
use snel_core::problem::Base;
use snel_core::reference::ReferenceEngine;
use snel_cuda::{Placement, Precision, Settings};

use crate::cases::{Case, diagonal, gradient, lower, rows, small};
use crate::compilation::available;
use crate::emulator::Emulator;

fn check(case: &Case, settings: &Settings) {
    let mut engine = case.engine(Emulator::new(2), settings);
    let mut reference = ReferenceEngine::new(case.problem(), rows(case.dim));
    reference.restore(&case.state()).unwrap();
    let problem = case.problem();
    let (found, right) = (gradient(&mut engine, &problem), gradient(&mut reference, &problem));
    let norm = |v: &[f64]| v.iter().map(|v| v * v).sum::<f64>().sqrt();
    let difference: Vec<f64> = found.iter().zip(&right).map(|(a, b)| a - b).collect();
    // As in against_reference: a few tens of roundings of f32, which a heavy weight hands on.
    assert!(norm(&difference) < 2e-5 * norm(&right), "{case:?}");
}

#[test]
fn edges() {
    if !available() {
        return;
    }
    let fp32 = Settings { precision: Precision::Fp32, ..small() };
    let shape = |dim: usize, widths: &[usize]| Case {
        dim,
        widths: widths.to_vec(),
        proposal: Density::Gaussian { at: diagonal(dim) },
        base: Base::Proposal,
        ..Case::new()
    };
    check(&shape(3, &[]), &fp32);
    check(&shape(1, &[1]), &fp32);
    check(&shape(19, &[33, 33, 33]), &fp32);
    let nowhere =
        Placement { weights_shared: false, tiles_shared: false, sums_in_registers: false };
    let wide = Case { proposal: Density::Gaussian { at: lower(5) }, ..shape(5, &[150]) };
    check(&wide, &Settings { placement: Some(nowhere), tile: Some(48), ..fp32 });
}
