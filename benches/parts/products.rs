//! The three matrix products of a layer, on one tile of points, against the same products by the
//! usual crates: `ndarray` (which calls `matrixmultiply`) and `faer`. Ours includes the epilogue:
//! bias, activation and slope forward, the slope and the bias gradient backward.
//!
//! The crates' products are bare. For a fair sum, add what `elementwise` measures.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use faer::{Accum, Mat, Par, linalg::matmul::matmul};
use ndarray::{Array2, linalg::general_mat_mul};
use snel_core::activation::Activation;
use snel_cpu::InstructionSet;
use snel_cpu::parts::{OneLayer, POINTS};

fn products(c: &mut Criterion) {
    let mut group = c.benchmark_group("products");
    for width in [32, 64, 128, 256, 512] {
        let set = InstructionSet::best();
        let mut layer = OneLayer::new(width, Activation::Silu, set);
        // Elements are multiply-adds counted twice: criterion then prints operations a second.
        group.throughput(Throughput::Elements(layer.operations()));
        let mut ours = |name: &str, work: fn(&mut OneLayer)| {
            group.bench_function(BenchmarkId::new(format!("snel {name}"), width), |b| {
                b.iter(|| work(&mut layer));
            });
        };
        ours("forward", OneLayer::forward);
        ours("backward", OneLayer::backward);
        ours("weight gradient", OneLayer::weight_gradient);

        let points = Array2::from_elem((POINTS, width), 0.3f32);
        let weight = Array2::from_elem((width, width), 0.1f32);
        let (mut wide, mut square) = (points.clone(), weight.clone());
        group.bench_function(BenchmarkId::new("matrixmultiply forward", width), |b| {
            b.iter(|| general_mat_mul(1.0, &points, &weight.t(), 0.0, black_box(&mut wide)));
        });
        group.bench_function(BenchmarkId::new("matrixmultiply weight gradient", width), |b| {
            b.iter(|| general_mat_mul(1.0, &points.t(), &points, 1.0, black_box(&mut square)));
        });

        let points = Mat::<f32>::from_fn(width, POINTS, |_, _| 0.3); // columns are points
        let weight = Mat::<f32>::from_fn(width, width, |_, _| 0.1);
        let (mut wide, mut square) = (points.clone(), weight.clone());
        group.bench_function(BenchmarkId::new("faer forward", width), |b| {
            b.iter(|| {
                let to = black_box(wide.as_mut());
                matmul(to, Accum::Replace, &weight, &points, 1.0, Par::Seq);
            });
        });
        group.bench_function(BenchmarkId::new("faer weight gradient", width), |b| {
            b.iter(|| {
                let to = black_box(square.as_mut());
                matmul(to, Accum::Add, &points, points.transpose(), 1.0, Par::Seq);
            });
        });
    }
    group.finish();
}

/// Packing the weights of two layers, once a step.
fn packing(c: &mut Criterion) {
    let mut group = c.benchmark_group("packing");
    for width in [64u32, 128, 256] {
        let mut layer = OneLayer::new(width as usize, Activation::Silu, InstructionSet::best());
        group.throughput(Throughput::Elements(2 * u64::from(width * width)));
        group.bench_function(BenchmarkId::from_parameter(width), |b| b.iter(|| layer.pack()));
    }
    group.finish();
}

/// The same products on every instruction set of the machine.
fn instruction_sets(c: &mut Criterion) {
    let mut group = c.benchmark_group("instruction sets");
    for set in InstructionSet::present() {
        let mut layer = OneLayer::new(128, Activation::Silu, set);
        group.throughput(Throughput::Elements(3 * layer.operations()));
        group.bench_function(BenchmarkId::from_parameter(set), |b| {
            b.iter(|| {
                layer.forward();
                layer.weight_gradient();
                layer.backward();
            });
        });
    }
    group.finish();
}

criterion_group!(benches, products, packing, instruction_sets);
criterion_main!(benches);
