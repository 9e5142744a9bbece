//! A step allocates nothing once the first few have made room.

#![allow(clippy::unwrap_used, clippy::print_stdout)] // a test may panic and speak
#![allow(unsafe_code)] // an allocator is unsafe by its interface

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use snel_core::activation::Activation;
use snel_core::collective::Alone;
use snel_core::conditional::{ConditionalModel, ConditionalProposal, MixtureLoss, MixtureNetwork};
use snel_core::density::{Affine, Density, Scale};
use snel_core::energy::Energy;
use snel_core::engine::Engine;
use snel_core::mcmc::{Kernel, Mcmc, Persistent, Start};
use snel_core::objective::Objective;
use snel_core::optim::Optim;
use snel_core::plan::Batching;
use snel_core::problem::{Base, Model, Problem};
use snel_core::rows::Matrix;
use snel_core::step::{reduce_step, room_for};
use snel_cpu::{ConditionalCpuEngine, CpuEngine};

/// Counts what it hands out, on all threads.
struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// SAFETY: everything is passed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promise is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is the same.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn main() {
    let dim = 3;
    let gaussian = Density::Gaussian {
        at: Affine {
            mean: vec![0.1; dim],
            scale: Scale::Lower(vec![1.0, 0.2, 1.1, 0.1, 0.3, 0.9]),
        },
    };
    let student = Density::Student {
        df: 4.0,
        at: Affine { mean: vec![0.0; dim], scale: Scale::Diagonal(vec![1.3; dim]) },
    };
    let uniform = Density::Uniform { low: vec![-4.0; dim], high: vec![4.0; dim] };
    let mixture = Density::Mixture {
        weights: vec![0.6, 0.3, 0.1],
        components: vec![gaussian.clone(), student, uniform],
    };
    for (proposal, base) in [(gaussian.clone(), Base::None), (mixture, Base::Density(gaussian))] {
        let chains = [Kernel::Ula { noise: 1.0 }, Kernel::Hmc { leapfrog: 2 }].map(|kernel| {
            let start = Start::Persistent(Persistent { chains: 3000, moved: 1500, reinit: 0.05 });
            Objective::Mcmc(Mcmc {
                start,
                kernel,
                moves: 2,
                step_size: 0.1,
                adapt: true,
                posterior: None,
            })
        });
        for objective in Objective::ALL.into_iter().chain(chains) {
            let energy = Energy::Mlp {
                dim,
                widths: vec![24, 24],
                activation: Activation::Silu,
                residual: true,
            };
            let model = Model { energy, base: base.clone(), proposal: proposal.clone() };
            let problem = Arc::new(Problem::new(model, objective, Optim::default(), 1));
            let rows = Matrix::new((0..600).map(|i| (i as f32 * 0.7).sin()).collect(), dim);
            let mut engine = CpuEngine::new(problem.clone(), Arc::new(rows.unwrap()), 3).unwrap();
            let batching = Batching {
                batch: 100,
                samples: 1500,
                per_row: false,
                chunk: 64,
                total_rows: 200,
                seed: 1,
            };
            let mut partial = room_for(&problem);
            let mut step = || {
                let step = reduce_step(&mut engine, &mut Alone, &batching, &mut partial);
                engine.apply(&step.unwrap());
            };
            (0..3).for_each(|_| step());
            let before = ALLOCATIONS.load(Ordering::Relaxed);
            (0..50).for_each(|_| step());
            let after = ALLOCATIONS.load(Ordering::Relaxed);
            assert_eq!(after - before, 0, "{objective:?}");
        }
    }
    conditional();
    println!("a step allocates nothing: ok");
}

/// The same for conditional models, by every kind of proposal.
fn conditional() {
    let gaussian = || Density::Gaussian {
        at: Affine { mean: vec![0.1; 2], scale: Scale::Diagonal(vec![1.1; 2]) },
    };
    let network = MixtureNetwork {
        widths: vec![9],
        components: 3,
        loss: MixtureLoss::Both,
        pretrain: 0,
        defensive: None,
    };
    let observed = ConditionalProposal::Observed { noise: gaussian(), elsewhere: gaussian() };
    for proposal in
        [ConditionalProposal::Fixed(gaussian()), ConditionalProposal::Network(network), observed]
    {
        let model = ConditionalModel {
            inputs: 1,
            targets: 2,
            activation: Activation::Silu,
            features: vec![8],
            energy: vec![12, 12],
            log_normaliser: vec![5],
            base: Base::Density(gaussian()),
            proposal,
        };
        let problem = Arc::new(Problem::new(model, Objective::Nce, Optim::default(), 1));
        let rows = Matrix::new((0..600).map(|i| (i as f32 * 0.7).sin()).collect(), 3);
        let rows = Arc::new(rows.unwrap());
        let mut engine = ConditionalCpuEngine::new(problem.clone(), rows, 3).unwrap();
        let batching =
            Batching { batch: 50, samples: 150, per_row: true, chunk: 9, total_rows: 200, seed: 1 };
        let mut partial = room_for(&*problem);
        let mut step = || {
            let step = reduce_step(&mut engine, &mut Alone, &batching, &mut partial);
            engine.apply(&step.unwrap());
        };
        (0..3).for_each(|_| step());
        let before = ALLOCATIONS.load(Ordering::Relaxed);
        (0..30).for_each(|_| step());
        assert_eq!(ALLOCATIONS.load(Ordering::Relaxed) - before, 0);
    }
}
