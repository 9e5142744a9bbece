//! Sums: log-sum-exp, exact sums of scalars and of gradients, the optimiser, the order of rows.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use snel_core::activation::Activation;
use snel_core::chunks::ChunkSet;
use snel_core::energy::Energy;
use snel_core::exact_sum::ExactSum;
use snel_core::layout::Layout;
use snel_core::lse::LogWeights;
use snel_core::optim::Optim;
use snel_core::partial::{FIRST_SCALE, Partial, Side};
use snel_core::plan::Batching;
use snel_core::state::State;
use snel_core::statistics::Tally;

fn scalars(c: &mut Criterion) {
    let mut group = c.benchmark_group("scalars");
    let values: Vec<f64> = (0..4096).map(|i| (f64::from(i) * 0.7).sin()).collect();
    group.throughput(Throughput::Elements(values.len() as u64));
    group.bench_function("log-sum-exp", |b| {
        b.iter(|| {
            let mut sum = LogWeights::default();
            values.iter().for_each(|&v| assert!(sum.add(v)));
            black_box(sum.log_sum())
        });
    });
    group.bench_function("exact sum", |b| {
        b.iter(|| {
            let mut sum = ExactSum::default();
            values.iter().for_each(|&v| assert!(sum.add(v)));
            black_box(sum.value())
        });
    });
    group.bench_function("plain sum", |b| b.iter(|| black_box(values.iter().sum::<f64>())));
    group.finish();
}

/// A chunk's gradient into fixed point, the sum of two threads, and the update.
fn gradients(c: &mut Criterion) {
    let mut group = c.benchmark_group("gradients");
    for width in [64, 128, 256] {
        let energy = Energy::Mlp {
            dim: 8,
            widths: vec![width; 3],
            activation: Activation::Silu,
            residual: false,
        };
        let layout = Layout::new(&energy);
        let len = layout.len();
        let gradient: Vec<f32> = (0..len).map(|i| (i as f32 * 0.7).sin() * 1e-3).collect();
        group.throughput(Throughput::Elements(len as u64));
        let mut sums = Partial::new(len, FIRST_SCALE, 1 << 20, false).empty_sums();
        group.bench_function(BenchmarkId::new("to fixed point", len), |b| {
            b.iter(|| sums.add_chunk(Side::Rows, black_box(&gradient), &Tally::default()));
        });
        let other = sums.clone();
        group.bench_function(BenchmarkId::new("merge", len), |b| {
            b.iter(|| sums.merge(black_box(&other)));
        });

        let mut one = Partial::new(len, FIRST_SCALE, 1, false);
        let mut sums = one.empty_sums();
        sums.add_chunk(Side::Rows, &gradient, &Tally::default());
        assert!(one.add(&ChunkSet::of(0..1), &sums).is_ok());
        let mut out = vec![0.0; len];
        if let Ok(reduced) = one.reduce() {
            group.bench_function(BenchmarkId::new("from fixed point", len), |b| {
                b.iter(|| reduced.gradient(black_box(&mut out)));
            });
        }
        let mut state = State::new(vec![0.1; len]);
        let optim = Optim { clip_norm: Some(10.0), ..Optim::default() };
        group.bench_function(BenchmarkId::new("adam", len), |b| {
            b.iter(|| optim.update(&layout, black_box(&out), &mut state));
        });
    }
    group.finish();
}

fn rows(c: &mut Criterion) {
    let mut group = c.benchmark_group("rows");
    let mut numbers = vec![0; 4096];
    group.throughput(Throughput::Elements(numbers.len() as u64));
    for total_rows in [5000, 65_536, 10_000_000] {
        let batching =
            Batching { batch: 4096, samples: 1, per_row: false, chunk: 1024, total_rows, seed: 0 };
        let mut step = 0;
        group.bench_function(BenchmarkId::new("row numbers", total_rows), |b| {
            b.iter(|| {
                step += 1;
                batching.plan(step, 0).rows(0, black_box(&mut numbers));
            });
        });
    }
    group.finish();
}

criterion_group!(benches, scalars, gradients, rows);
criterion_main!(benches);
