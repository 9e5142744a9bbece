//! Toy densities: they integrate to one, and their points follow them.

use proptest::prelude::*;
use snel_data::Toy;

const FLAT: [&str; 5] = ["rings", "pinwheel", "checkerboard", "two_moons", "banana"];
/// Edge of the square [-REACH, REACH]² looked at; all but the banana's far tips are inside.
const REACH: f64 = 8.0;
/// Cells of the histogram along an edge: 0.5 wide, so the jumps of the densities fall on edges.
const CELLS: usize = 32;
/// Quadrature nodes along the edge of a cell: 64 to a unit of length, six to the narrowest
/// deviation (0.1).
const NODES: usize = 32;

fn toy(name: &str, dim: usize) -> Toy {
    Toy::from_name(name, Some(dim)).unwrap()
}

/// Probability of each cell by the midpoint rule.
fn cell_masses(toy: &Toy) -> Vec<f64> {
    let step = 2.0 * REACH / (CELLS * NODES) as f64;
    let at = |i: usize| -REACH + (i as f64 + 0.5) * step;
    let mut masses = vec![0.0; CELLS * CELLS];
    for i in 0..CELLS * NODES {
        for j in 0..CELLS * NODES {
            let p = toy.log_density(&[at(i), at(j)]).exp();
            masses[i / NODES * CELLS + j / NODES] += p * step * step;
        }
    }
    masses
}

/// The midpoint rule with at least six nodes a deviation errs by less than exp(-2 pi² 6²) on a
/// smooth density. Jumps lie on cell edges, between nodes; along the ends of the moons the density
/// is discontinuous but aligned too. What is left is the mass outside the square: banana beyond
/// y = 8, P(|x| > 3) = 2.7e-3 at most; others below 1e-9.
#[test]
fn flat_densities_integrate_to_one() {
    for name in FLAT.iter().chain(&["gaussian", "gaussian_mixture"]) {
        let total: f64 = cell_masses(&toy(name, 2)).iter().sum();
        let tolerance = if *name == "banana" { 3e-3 } else { 1e-6 };
        assert!((total - 1.0).abs() < tolerance, "{name}: {total}");
    }
}

/// The same for the funnel, in v and x = t exp(v/2), where it fits a box.
#[test]
fn funnel_integrates_to_one() {
    let funnel = toy("funnel", 2);
    let (mut total, step) = (0.0, 0.05);
    for i in -500..500 {
        let v = (f64::from(i) + 0.5) * step;
        for j in -200..200 {
            let x = (f64::from(j) + 0.5) * step * (0.5 * v).exp();
            total += (funnel.log_density(&[v, x]) + 0.5 * v).exp() * step * step;
        }
    }
    assert!((total - 1.0).abs() < 1e-9, "{total}");
}

/// Pearson's chi-square of 400,000 points against the cells' probabilities; cells that expect
/// fewer than ten points are put together. It exceeds its degrees of freedom by five of its
/// standard deviations, sqrt(2 df), less than once in 10^5 times; the seed is fixed.
#[test]
fn points_follow_the_density() {
    let n = 400_000u64;
    for name in FLAT.iter().chain(&["gaussian", "gaussian_mixture"]) {
        let toy = toy(name, 2);
        let mut counts = vec![0u64; CELLS * CELLS + 1];
        for point in toy.sample(3, 0..n).chunks(2) {
            let cell = |x: f64| ((x + REACH) / (2.0 * REACH) * CELLS as f64).floor();
            let (i, j) = (cell(point[0]), cell(point[1]));
            let inside = [i, j].iter().all(|c| (0.0..CELLS as f64).contains(c));
            counts[if inside { i as usize * CELLS + j as usize } else { CELLS * CELLS }] += 1;
        }
        let mut masses = cell_masses(&toy);
        masses.push(1.0 - masses.iter().sum::<f64>());
        let (mut chi2, mut df) = (0.0f64, -1.0f64);
        let (mut rare_count, mut rare_mass) = (0.0, 0.0);
        for (&count, &mass) in counts.iter().zip(&masses) {
            let expected = mass * n as f64;
            if expected < 10.0 {
                rare_count += count as f64;
                rare_mass += expected;
                continue;
            }
            chi2 += (count as f64 - expected).powi(2) / expected;
            df += 1.0;
        }
        if rare_mass > 10.0 {
            chi2 += (rare_count - rare_mass).powi(2) / rare_mass;
            df += 1.0;
        } else {
            assert!(
                rare_count < 40.0,
                "{name}: {rare_count} points where {rare_mass} are expected"
            );
        }
        assert!(df > 10.0);
        assert!(chi2 < df + 5.0 * (2.0 * df).sqrt(), "{name}: chi-square {chi2} of {df}");
    }
}

/// Mean log-density of points against minus the entropy, in closed form. The variance of the
/// log-density of a Gaussian in `dim` dimensions is `dim / 2`; the funnel adds that of
/// `(dim - 1) v / 2`.
#[test]
fn entropies_in_many_dimensions() {
    let n = 100_000u64;
    let unit = 0.5 * (1.0 + std::f64::consts::TAU.ln());
    for dim in [2usize, 5, 20] {
        let d = dim as f64;
        let gaussian = unit * d + 0.5 * (d - 1.0) * (1.0f64 - 0.49).ln();
        let funnel = unit * d + 3.0f64.ln();
        let variance = 0.5 * d + (0.5 * (d - 1.0) * 3.0).powi(2);
        for (name, entropy, variance) in
            [("gaussian", gaussian, 0.5 * d), ("funnel", funnel, variance)]
        {
            let toy = toy(name, dim);
            let points = toy.sample(9, 0..n);
            let mean = points.chunks(dim).map(|x| toy.log_density(x)).sum::<f64>() / n as f64;
            let bound = 5.0 * (variance / n as f64).sqrt();
            assert!((mean + entropy).abs() < bound, "{name} {dim}: {mean} {entropy}");
        }
    }
}

/// `E_p[g / p] = 1` for any density g inside the support of p. Here g is a round Gaussian about a
/// point of the mixture, no wider than the narrowest component (0.3), so the ratio is bounded; the
/// mean is checked against its own standard error.
#[test]
fn mixture_is_normalised_in_many_dimensions() {
    let dim = 5;
    let mixture = toy("gaussian_mixture", dim);
    let n = 200_000u64;
    let points = mixture.sample(1, 0..n);
    let centre = &points[..dim];
    let (mut sum, mut squares) = (0.0, 0.0);
    for x in points.chunks(dim) {
        let log_g: f64 = x
            .iter()
            .zip(centre)
            .map(|(x, c)| {
                -0.5 * ((x - c) / 0.3f64).powi(2) - (0.3 * std::f64::consts::TAU.sqrt()).ln()
            })
            .sum();
        let ratio = (log_g - mixture.log_density(x)).exp();
        sum += ratio;
        squares += ratio * ratio;
    }
    let (mean, n) = (sum / n as f64, n as f64);
    let error = ((squares / n - mean * mean) / n).sqrt();
    assert!(error < 0.1, "the test has no power: {error}");
    assert!((mean - 1.0).abs() < 5.0 * error, "{mean} +- {error}");
}

proptest! {
    /// Any cut of the numbers gives the same points; another seed gives others.
    #[test]
    fn points_do_not_depend_on_the_cut(which in 0usize..10, seed: u32, cut in 0u64..50) {
        let toy = toy(Toy::names()[which], 2);
        let whole = toy.sample(seed, 0..50);
        let pieces = [toy.sample(seed, 0..cut), toy.sample(seed, cut..50)].concat();
        prop_assert_eq!(&whole, &pieces);
        prop_assert_eq!(whole.len(), 50 * toy.dim());
        prop_assert_ne!(&whole, &toy.sample(seed.wrapping_add(1), 0..50));
    }

    /// Rounding a point to f32 keeps it where the density is positive, even at the jumps.
    #[test]
    fn rounded_points_are_still_possible(which in 0usize..10, seed: u32) {
        let toy = toy(Toy::names()[which], 2);
        for point in toy.sample(seed, 0..200).chunks(2) {
            let rounded: Vec<f64> = point.iter().map(|&x| f64::from(x as f32)).collect();
            prop_assert!(toy.log_density(&rounded).is_finite(), "{:?}", point);
        }
    }
}

/// In a regression, the distribution function of `y` given `x` at a point is uniform
/// (Kolmogorov-Smirnov; `sqrt(n) D` exceeds 1.95 once in a thousand), and so is `x`; the seed is
/// fixed. The function is a sum over 4,000 nodes on [-10, 10]: a jump costs up to
/// half a node, a two-hundredth of the narrowest box.
#[test]
fn regressions_follow_their_conditional_density() {
    let step = 5e-3;
    for name in ["sine_lognormal", "patchwork"] {
        let toy = toy(name, 2);
        assert_eq!((toy.targets(), toy.columns().len()), (1, 2));
        let n = 400;
        let mut places = [Vec::new(), Vec::new()];
        for point in toy.sample(4, 0..n).chunks(2) {
            let (mut below, mut total) = (0.0, 0.0);
            for i in 0..4000 {
                let y = (f64::from(i) + 0.5) * step - 10.0;
                let p = toy.conditional_log_density(&[point[0], y]).unwrap().exp() * step;
                total += p;
                below += if y < point[1] { p } else { 0.0 };
            }
            assert!((total - 1.0).abs() < 2e-2, "{name} at {}: {total}", point[0]);
            let joint = toy.log_density(point) - toy.conditional_log_density(point).unwrap();
            let width = if name == "patchwork" { 1.0 } else { 6.0 };
            assert!((joint + f64::ln(width)).abs() < 1e-12);
            places[0].push(below);
            places[1].push(if name == "patchwork" { point[0] } else { point[0] / 6.0 + 0.5 });
        }
        for values in &mut places {
            values.sort_by(f64::total_cmp);
            let distance = values.iter().enumerate().map(|(i, u)| (u - i as f64 / n as f64).abs());
            let d = distance.fold(0.0, f64::max);
            assert!(d * (n as f64).sqrt() < 1.95, "{name}: {d}");
        }
    }
    assert_eq!(toy("rings", 2).conditional_log_density(&[1.0, 0.0]), None);
}

#[test]
fn outside_the_support() {
    let board = toy("checkerboard", 2);
    assert_eq!(board.log_density(&[1.0, -1.0]), f64::NEG_INFINITY);
    assert_eq!(board.log_density(&[9.0, 9.0]), f64::NEG_INFINITY);
    assert_eq!(board.log_density(&[1.0]), f64::NEG_INFINITY);
    assert_eq!(board.log_density(&[1.0, 1.0]), -(32.0f64.ln()));
}
