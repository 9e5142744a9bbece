use super::*;
use crate::philox::{Key, Stream};

fn lower() -> Affine {
    Affine { mean: vec![0.5, -1.0], scale: Scale::Lower(vec![1.2, -0.7, 0.6]) }
}

fn all_in_2d() -> Vec<Density> {
    let at = Affine { mean: vec![-1.0, 2.0], scale: Scale::Diagonal(vec![0.8, 1.5]) };
    let gaussian = Density::Gaussian { at: lower() };
    let student = Density::Student { df: 4.0, at: lower() };
    let uniform = Density::Uniform { low: vec![-2.0, -1.0], high: vec![1.0, 3.0] };
    vec![
        gaussian.clone(),
        Density::Gaussian { at: at.clone() },
        student.clone(),
        Density::Student { df: 0.9, at },
        uniform.clone(),
        Density::Mixture {
            weights: vec![0.5, 0.3, 0.2],
            components: vec![gaussian, student, uniform],
        },
    ]
}

/// The mean of `p(x) / q(x)` over `x ~ q` is one if `p` is normalised, whatever `q` covers it;
/// with `q` of another kind this ties log-density and sampling of both together. Five standard
/// errors of the mean weight.
#[test]
fn sampling_and_log_density_agree() {
    let densities = all_in_2d();
    // A wide, heavy-tailed proposal under which every ratio has finite variance.
    let wide = Affine { mean: vec![0.0, 0.0], scale: Scale::Diagonal(vec![2.5, 2.5]) };
    let q = Density::Student { df: 0.8, at: wide };
    let key = Key::new(3, Stream::Proposal);
    for p in &densities {
        let mut sums = LogWeights::default();
        let mut x = [0.0; 2];
        for i in 0..200_000 {
            q.sample(&mut Draws::new(key, 0, i), &mut x);
            sums.add(p.log_density(&x) - q.log_density(&x));
        }
        let error = sums.relative_error();
        assert!(error < 0.02, "{p:?}: proposal too poor to test with ({error})");
        assert!(sums.log_mean().abs() < 5.0 * error, "{p:?}: {} +- {error}", sums.log_mean());
    }
}

/// Samples of `p` fill the half planes through a point as often as 2-D quadrature says.
#[test]
fn samples_follow_the_density() {
    let key = Key::new(4, Stream::Proposal);
    for p in all_in_2d() {
        let mut x = [0.0; 2];
        let n = 100_000;
        // The inside of a box that cuts through all of them.
        let inside = |x: &[f64]| (-1.0..0.5).contains(&x[0]) && (-0.5..2.0).contains(&x[1]);
        let mut count = 0;
        for i in 0..n {
            p.sample(&mut Draws::new(key, 1, i), &mut x);
            count += u32::from(inside(&x));
        }
        let (nx, ny) = (300, 500);
        let (hx, hy) = (1.5 / f64::from(nx), 2.5 / f64::from(ny));
        let mut mass = 0.0;
        for i in 0..nx {
            for j in 0..ny {
                let point = [-1.0 + (f64::from(i) + 0.5) * hx, -0.5 + (f64::from(j) + 0.5) * hy];
                mass += p.log_density(&point).exp() * hx * hy;
            }
        }
        let n = n as f64;
        // Five binomial standard errors, and 1e-3 for the midpoint rule at the uniform's edge.
        let bound = 5.0 * (mass * (1.0 - mass) / n).sqrt() + 1e-3;
        assert!((f64::from(count) / n - mass).abs() < bound, "{p:?}: {count} {mass}");
    }
}

#[test]
fn gradient_is_the_derivative() {
    let h = 1e-5;
    for p in all_in_2d() {
        for x in [[0.2, 0.3], [-1.7, 2.1], [0.9, -0.9]] {
            let mut gradient = [0.0; 2];
            p.add_gradient(&x, 1.0, &mut gradient);
            for i in 0..2 {
                let (mut up, mut down) = (x, x);
                up[i] += h;
                down[i] -= h;
                let slope = (p.log_density(&up) - p.log_density(&down)) / (2.0 * h);
                assert!((gradient[i] - slope).abs() < 1e-7, "{p:?} at {x:?}");
            }
        }
    }
}

#[test]
fn widening_scales_the_spread() {
    let key = Key::new(9, Stream::Proposal);
    for p in all_in_2d() {
        let wide = p.clone().widened(3.0);
        let (mut x, mut y) = ([0.0; 2], [0.0; 2]);
        p.sample(&mut Draws::new(key, 0, 1), &mut x);
        wide.sample(&mut Draws::new(key, 0, 1), &mut y);
        // Where the map is affine in the draws, the log-density falls by D log 3.
        let fall = p.log_density(&x) - wide.log_density(&y);
        if !matches!(p, Density::Mixture { .. }) {
            assert!((fall - 2.0 * 3.0f64.ln()).abs() < 1e-9, "{p:?}");
        }
    }
}

#[test]
fn unsound_values_are_refused() {
    let bad_scale = Affine { mean: vec![0.0], scale: Scale::Diagonal(vec![0.0]) };
    assert!(Density::Gaussian { at: bad_scale }.check(1).is_err());
    assert!(Density::Gaussian { at: lower() }.check(3).is_err());
    assert!(Density::Uniform { low: vec![1.0], high: vec![1.0] }.check(1).is_err());
    assert!(Density::Mixture { weights: vec![], components: vec![] }.check(1).is_err());
    for p in all_in_2d() {
        assert!(p.check(2).is_ok());
    }
}
