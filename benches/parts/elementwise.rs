//! What is done once an element: activations, random numbers, proposal densities.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use snel_core::activation::Activation;
use snel_core::density::{Affine, Density, Draws, Scale};
use snel_core::philox::{Key, Stream};
use snel_cpu::InstructionSet;
use snel_cpu::parts::{POINTS, Proposal, activate};

fn activations(c: &mut Criterion) {
    let mut group = c.benchmark_group("activations");
    let x: Vec<f32> = (0..4096).map(|i| (i as f32 * 0.7).sin() * 4.0).collect();
    let (mut value, mut slope) = (x.clone(), x.clone());
    group.throughput(Throughput::Elements(x.len() as u64));
    for set in InstructionSet::present() {
        for activation in Activation::ALL {
            let name = BenchmarkId::new(set.to_string(), format!("{activation:?}"));
            group.bench_function(name, |b| {
                b.iter(|| activate(set, activation, black_box(&x), &mut value, &mut slope));
            });
        }
    }
    group.finish();
}

fn proposals(c: &mut Criterion) {
    let mut group = c.benchmark_group("proposals");
    for dim in [2, 8, 64] {
        let mut lower = vec![0.01; dim * (dim + 1) / 2];
        (0..dim).for_each(|i| lower[i * (i + 1) / 2 + i] = 1.2);
        let at = || Affine { mean: vec![0.1; dim], scale: Scale::Lower(lower.clone()) };
        let gaussian = Density::Gaussian { at: at() };
        let student = Density::Student { df: 5.0, at: at() };
        let mixture = Density::Mixture {
            weights: vec![1.0 / 17.0; 17],
            components: (0..16).map(|_| gaussian.clone()).chain([student.clone()]).collect(),
        };
        group.throughput(Throughput::Elements(POINTS as u64));
        for (name, density) in [("gaussian", gaussian), ("student", student), ("mixture", mixture)]
        {
            let mut proposal = Proposal::new(density.clone());
            let mut first = 0;
            group.bench_function(BenchmarkId::new(format!("draw {name}"), dim), |b| {
                b.iter(|| {
                    first += POINTS as u64;
                    proposal.draw(first);
                });
            });
            group.bench_function(BenchmarkId::new(format!("log-density {name}"), dim), |b| {
                b.iter(|| black_box(proposal.log_density()[0]));
            });
            // One point after the other: the definition that the tile must agree with.
            let (key, mut point) = (Key::new(0, Stream::Proposal), vec![0.0; dim]);
            group.bench_function(BenchmarkId::new(format!("one by one {name}"), dim), |b| {
                b.iter(|| {
                    for sample in 0..POINTS as u64 {
                        density.sample(&mut Draws::new(key, 0, sample), black_box(&mut point));
                    }
                });
            });
        }
    }
    group.finish();
}

criterion_group!(benches, activations, proposals);
criterion_main!(benches);
