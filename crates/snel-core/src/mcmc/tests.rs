//! Chains against densities of which everything is known.

use super::*;
use crate::density::{Affine, Density, Scale};

const SEED: u32 = 3;

/// A density that can be sampled and has its gradient.
struct Known(Density);

impl Target for Known {
    fn evaluate(&mut self, places: &mut Places) {
        let dim = self.0.dim();
        places.gradient.fill(0.0);
        let points = places.x.chunks_exact(dim).zip(places.gradient.chunks_exact_mut(dim));
        for (value, (x, gradient)) in places.value.iter_mut().zip(points) {
            *value = self.0.log_density(x);
            self.0.add_gradient(x, 1.0, gradient);
        }
    }
}

/// Two correlated values of unlike scale.
fn gaussian() -> Density {
    let at = Affine { mean: vec![0.5, -1.0], scale: Scale::Lower(vec![1.2, 0.7, 0.6]) };
    Density::Gaussian { at }
}

fn places(density: &Density, n: usize) -> Vec<f64> {
    let mut x = vec![0.0; n * density.dim()];
    for (i, x) in x.chunks_exact_mut(density.dim()).enumerate() {
        density.sample(&mut Draws::new(Key::new(SEED, Stream::Proposal), 0, i as u64), x);
    }
    x
}

/// Moves `n` chains that start as samples of `density`; their places, and the mean acceptance.
fn walk(density: &Density, kernel: Kernel, size: f64, moves: u32, n: usize) -> (Vec<f64>, f64) {
    let dim = density.dim();
    let mut walkers = Walkers::new(dim, 1, n);
    walkers.begin(n).copy_from_slice(&places(density, n));
    let mut target = Known(density.clone());
    let to = Move { kernel, size, weights: &[1.0] };
    let accepted: f64 = (0..moves)
        .map(|number| {
            walkers.advance(&mut target, to, |i| draws_of_move(SEED, dim, 0, i as u64, number))
        })
        .sum();
    (walkers.here().x.clone(), accepted / f64::from(moves) / n as f64)
}

/// First moments, then the entries of the second ones, of two values.
fn moments(x: &[f64]) -> [f64; 5] {
    let mut sums = [0.0; 5];
    for p in x.chunks_exact(2) {
        let terms = [p[0], p[1], p[0] * p[0], p[0] * p[1], p[1] * p[1]];
        sums.iter_mut().zip(terms).for_each(|(sum, term)| *sum += term);
    }
    sums.map(|sum| sum / (x.len() / 2) as f64)
}

/// Chains that follow the density before moves do so after them, at step sizes at which a good part
/// is refused. Errors: 40,000 independent chains, terms of deviation below 3, four standard errors,
/// 0.06. Without the refusals second moments would be off by 0.3 and more: leapfrog steps of size `s`
/// alone stretch a variance `v` by `1 / (1 - s²/(4 v))`, and the narrow direction here has 0.255.
#[test]
fn adjusted_moves_leave_the_density_as_it_is() {
    let mean = [0.5, -1.0];
    let expected =
        [mean[0], mean[1], 1.44 + 0.25, 1.2 * 0.7 + mean[0] * mean[1], 0.49 + 0.36 + 1.0];
    for (kernel, size) in [(Kernel::Mala, 1.0), (Kernel::Hmc { leapfrog: 4 }, 0.9)] {
        let (x, acceptance) = walk(&gaussian(), kernel, size, 12, 40_000);
        assert!((0.3..0.95).contains(&acceptance), "{kernel:?} {acceptance}");
        for (found, expected) in moments(&x).into_iter().zip(expected) {
            assert!((found - expected).abs() < 0.06, "{kernel:?}: {found} {expected}");
        }
    }
}

/// On a standard normal `x' = (1 - s²/2) x + s z` has the variance `1 / (1 - s²/4)` in the long run:
/// the bias of a chain that is not adjusted, here 1/3. With `noise` it is that times its square.
/// 20,000 chains: relative standard error of a variance 0.01.
#[test]
fn unadjusted_moves_have_the_bias_that_theory_says() {
    let at = Affine { mean: vec![0.0], scale: Scale::Diagonal(vec![1.0]) };
    let normal = Density::Gaussian { at };
    for noise in [1.0, 0.5] {
        let (x, acceptance) = walk(&normal, Kernel::Ula { noise }, 1.0, 30, 20_000);
        let variance = x.iter().map(|x| x * x).sum::<f64>() / x.len() as f64;
        let expected = noise * noise / (1.0 - 0.25);
        assert!((variance / expected - 1.0).abs() < 0.04, "{variance} {expected}");
        assert_eq!(acceptance, 1.0);
    }
}

/// The error of the energy along a trajectory of fixed length is of second order in the step: halving
/// it divides what is refused by about four. Refusals are that error's size for small steps, up to a
/// factor; the ratio is 4 up to terms of fourth order and the noise of 4,000 chains.
#[test]
fn leapfrog_is_of_second_order() {
    let refused = |leapfrog: u32| {
        let size = 1.6 / f64::from(leapfrog);
        1.0 - walk(&gaussian(), Kernel::Hmc { leapfrog }, size, 1, 4000).1
    };
    let ratio = refused(8) / refused(16);
    assert!((3.5..4.7).contains(&ratio), "{ratio}");
}

/// A trajectory with its momentum turned round ends where it began.
#[test]
fn leapfrog_is_reversible() {
    let density = gaussian();
    let leapfrog = |x: &mut [f64], v: &mut [f64]| {
        let s = 0.3;
        let kick = |x: &[f64], v: &mut [f64]| density.add_gradient(x, 0.5 * s, v);
        for _ in 0..7 {
            kick(x, v);
            x.iter_mut().zip(&*v).for_each(|(x, v)| *x += s * v);
            kick(x, v);
        }
    };
    let (mut x, mut v) = (vec![1.0, 0.2], vec![0.4, -1.1]);
    leapfrog(&mut x, &mut v);
    assert!((x[0] - 1.0).abs() > 0.1, "it went somewhere: {x:?}");
    // The walker's own trajectory, from the same place with the same momentum, ends there too.
    let mut walkers = Walkers::new(2, 1, 1);
    walkers.begin(1).copy_from_slice(&[1.0, 0.2]);
    let draws = |_| draws_of_move(SEED, 2, 0, 0, 0);
    let mut momentum = vec![0.0; 2];
    draws(0).normals(&mut momentum);
    let (mut y, kernel) = (vec![1.0, 0.2], Kernel::Hmc { leapfrog: 7 });
    let to = Move { kernel, size: 0.3, weights: &[1.0] };
    let acceptance = walkers.advance(&mut Known(density.clone()), to, draws);
    let energy =
        |x: &[f64], v: &[f64]| 0.5 * v.iter().map(|v| v * v).sum::<f64>() - density.log_density(x);
    let before = energy(&y, &momentum);
    leapfrog(&mut y, &mut momentum);
    let expected = (before - energy(&y, &momentum)).exp().min(1.0);
    assert!((acceptance - expected).abs() < 1e-12, "{acceptance} {expected}");
    // And back.
    v.iter_mut().for_each(|v| *v = -*v);
    leapfrog(&mut x, &mut v);
    // Rounding of fourteen steps of values near one.
    assert!((x[0] - 1.0).abs() < 1e-12 && (x[1] - 0.2).abs() < 1e-12, "{x:?}");
    assert!((v[0] + 0.4).abs() < 1e-12 && (v[1] - 1.1).abs() < 1e-12, "{v:?}");
}

/// Where a chain goes does not depend on which others move beside it, or that there were others.
#[test]
fn chains_are_independent() {
    let density = gaussian();
    let start = places(&density, 9);
    let kernel = Kernel::Hmc { leapfrog: 2 };
    let to = Move { kernel, size: 0.8, weights: &[1.0] };
    let run = |walkers: &mut Walkers, first: usize, n: usize| {
        walkers.begin(n).copy_from_slice(&start[2 * first..][..2 * n]);
        for number in 0..3 {
            walkers.advance(&mut Known(density.clone()), to, |i| {
                draws_of_move(SEED, 2, 5, (first + i) as u64, number)
            });
        }
        walkers.here().x.clone()
    };
    let mut walkers = Walkers::new(2, 1, 9);
    let all = run(&mut walkers, 0, 9);
    let parts = [run(&mut walkers, 0, 4), run(&mut walkers, 4, 5)].concat();
    assert_eq!(all, parts);
    assert!(run(&mut walkers, 0, 0).is_empty());
}

/// Of two parts the one without weight has no say, whatever it is.
#[test]
fn parts_without_weight_have_no_say() {
    struct Wild(Known);
    impl Target for Wild {
        fn evaluate(&mut self, places: &mut Places) {
            let n = places.value.len() / 2;
            let mut good = Places {
                x: places.x.clone(),
                value: vec![0.0; n],
                gradient: vec![0.0; places.x.len()],
            };
            self.0.evaluate(&mut good);
            places.value.fill(f64::NEG_INFINITY);
            places.gradient.fill(f64::NAN);
            places.value[n..].copy_from_slice(&good.value);
            let values = places.x.len();
            places.gradient[values..].copy_from_slice(&good.gradient);
        }
    }
    let density = gaussian();
    let (alone, _) = walk(&density, Kernel::Mala, 0.9, 1, 7);
    let mut walkers = Walkers::new(2, 2, 7);
    walkers.begin(7).copy_from_slice(&places(&density, 7));
    let to = Move { kernel: Kernel::Mala, size: 0.9, weights: &[0.0, 1.0] };
    let draws = |i| draws_of_move(SEED, 2, 0, i as u64, 0);
    walkers.advance(&mut Wild(Known(density)), to, draws);
    assert_eq!(walkers.here().x, alone);
}

/// A chain outside the support comes in, and never leaves it.
#[test]
fn the_support_is_kept() {
    let inside = Density::Uniform { low: vec![-1.0], high: vec![1.0] };
    let (x, acceptance) = walk(&inside, Kernel::Mala, 0.7, 50, 500);
    assert!(x.iter().all(|x| (-1.0..1.0).contains(x)));
    assert!((0.5..0.95).contains(&acceptance), "{acceptance}");
}

/// Every chain is moved once a pass, in another order each time; the slots of a step are disjoint, and
/// those of a range are those of the whole.
#[test]
fn steps_go_through_all_chains() {
    let chains = Persistent { chains: 600, moved: 200, reinit: 0.0 };
    let slots = |step, range: std::ops::Range<u64>| {
        let mut slots = Vec::new();
        chains.for_each_slot(SEED, step, range, |_, slot| slots.push(slot));
        slots
    };
    let pass = |pass: u64| (3 * pass..3 * pass + 3).flat_map(|step| slots(step, 0..200)).collect();
    let (first, second): (Vec<usize>, Vec<usize>) = (pass(0), pass(1));
    assert_ne!(first, second);
    for mut all in [first, second] {
        all.sort_unstable();
        assert_eq!(all, (0..600).collect::<Vec<_>>());
    }
    assert_eq!(slots(4, 70..200), slots(4, 0..200)[70..]);
}

/// 0.05 of 20,000; four standard errors are 0.0062.
#[test]
fn a_share_starts_anew() {
    let chains = Persistent { chains: 20_000, moved: 20_000, reinit: 0.05 };
    let anew = (0..20_000).filter(|&chain| chains.starts_anew(SEED, 7, chain)).count();
    assert!((anew as f64 / 20_000.0 - 0.05).abs() < 0.0062, "{anew}");
}

/// The adapted size reaches the acceptance that it is after, and stays near it.
#[test]
fn adaptation_finds_the_acceptance() {
    for kernel in [Kernel::Mala, Kernel::Hmc { leapfrog: 5 }] {
        let mcmc = Mcmc {
            start: Start::Proposal,
            kernel,
            moves: 1,
            step_size: 1e-3,
            adapt: true,
            posterior: None,
        };
        let mut size = mcmc.step_size;
        let mut last = 0.0;
        for update in 0..400 {
            last = walk(&gaussian(), kernel, size, 1, 400).1;
            size = mcmc.adapted(size, update, last);
        }
        let best = kernel.best_acceptance().unwrap();
        assert!((last - best).abs() < 0.05, "{kernel:?}: {last} at {size}");
        let fixed = Mcmc { adapt: false, ..mcmc };
        assert_eq!(fixed.adapted(0.3, 0, 0.0), 0.3);
    }
}

/// Half of the chains in a normal density, half in one twenty times as narrow. By the plain mean the wide half,
/// which accepts everything, makes up for a narrow one that accepts little.
#[test]
fn narrow_places_decide_about_an_adapted_size() {
    const N: usize = 400;
    const NARROW: f64 = 0.05;
    struct TwoWidths;
    impl Target for TwoWidths {
        fn evaluate(&mut self, places: &mut Places) {
            for (i, x) in places.x.iter().enumerate() {
                let precision = if i < N / 2 { 1.0 } else { NARROW.powi(-2) };
                places.value[i] = -0.5 * precision * x * x;
                places.gradient[i] = -precision * x;
            }
        }
    }
    let mcmc = Mcmc {
        start: Start::Proposal,
        kernel: Kernel::Mala,
        moves: 10,
        step_size: 0.5,
        adapt: true,
        posterior: None,
    };
    let by = |mean: fn(Fared) -> f64| {
        let (mut size, mut walkers) = (mcmc.step_size, Walkers::new(1, 1, N));
        let mut x: Vec<f64> = (0..N).map(|i| if i < N / 2 { 1.0 } else { NARROW }).collect();
        for update in 0..300u32 {
            walkers.begin(N).copy_from_slice(&x);
            let walk = Walk { mcmc, size, seed: SEED, step: update, first: 0 };
            let fared = walkers.walk(&mut TwoWidths, walk);
            size = mcmc.adapted(size, update.into(), mean(fared) / N as f64);
            x.copy_from_slice(&walkers.here().x);
        }
        size
    };
    let plain = by(|fared| fared.acceptance);
    let harmonic = by(|fared| (N * N) as f64 / fared.inverse_acceptance);
    assert!(NARROW < harmonic && harmonic < 0.7 * plain, "{plain} {harmonic}");
}

/// Chains look at as many points as the ledger of a run says.
#[test]
fn chains_look_as_often_as_planned() {
    struct Counting(Known, u64);
    impl Target for Counting {
        fn evaluate(&mut self, places: &mut Places) {
            self.1 += places.value.len() as u64;
            self.0.evaluate(places);
        }
    }
    for (kernel, expected) in [
        (Kernel::Ula { noise: 1.0 }, 5 * 4),
        (Kernel::Mala, 5 * (4 + 1)),
        (Kernel::Hmc { leapfrog: 3 }, 5 * (4 * 3 + 1)),
    ] {
        let mut target = Counting(Known(gaussian()), 0);
        let mut walkers = Walkers::new(2, 1, 5);
        walkers.begin(5).fill(0.1);
        let to = Move { kernel, size: 0.2, weights: &[1.0] };
        for number in 0..4 {
            walkers.advance(&mut target, to, |i| draws_of_move(SEED, 2, 0, i as u64, number));
        }
        let mcmc = Mcmc {
            start: Start::Data,
            kernel,
            moves: 4,
            step_size: 0.2,
            adapt: false,
            posterior: None,
        };
        assert_eq!((target.1, mcmc.points(5)), (expected, expected), "{kernel:?}");
    }
}
