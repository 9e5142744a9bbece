//! Gaussian mixtures by expectation and maximisation (Dempster, Laird, Rubin 1977), started by
//! k-means++ (Arthur, Vassilvitskii 2007).
//!
//! Everything is a function of rows and seed. Each iteration raises the penalised likelihood; a
//! component that collapses on a few equal rows is held by a floor on its variances.

use super::super::{Affine, Density, Scale, pick};
use super::{FitError, gaussian, needs, weighted_diagonal, weighted_gaussian};
use crate::energy::triangle;
use crate::lse::LogWeights;
use crate::philox::{Key, Stream, uniform};

const ITERATIONS: usize = 200;
/// Stop when the mean log-likelihood of a row rises by less, in nats.
const TOLERANCE: f64 = 1e-4;
const KMEANS_ITERATIONS: usize = 10;
/// Floor of a component's variance relative to the whole data's: a share of 1e-3 in standard
/// deviation. Repeated rows would otherwise pull a component to a spike.
const VARIANCE_FLOOR: f64 = 1e-6;

/// A mixture of `components` Gaussians fitted to `rows` (`n x dim`), with full or diagonal
/// covariances.
///
/// # Errors
/// [`FitError`] if there are fewer rows than parameters ask for, or a column has no spread.
pub fn gaussian_mixture(
    rows: &[f64],
    dim: usize,
    components: usize,
    full: bool,
    seed: u32,
) -> Result<Density, FitError> {
    let n = rows.len() / dim;
    needs(n, components * (dim + 1), "this many mixture components")?;
    let whole = gaussian(rows, dim)?;
    let floor: Vec<f64> = diagonal_variances(&whole).iter().map(|v| v * VARIANCE_FLOOR).collect();

    // Responsibilities, component by component (k x n): first from the nearest centre.
    let nearest = kmeans(rows, dim, components, seed);
    let mut shares = vec![0.0; components * n];
    for (i, &k) in nearest.iter().enumerate() {
        shares[k * n + i] = 1.0;
    }
    let mut mixture = maximise(rows, dim, &shares, &whole, &floor, full);
    let mut before = f64::NEG_INFINITY;
    for _ in 0..ITERATIONS {
        let likelihood = expect(rows, dim, &mixture, &mut shares);
        mixture = maximise(rows, dim, &shares, &whole, &floor, full);
        if likelihood - before < TOLERANCE {
            break;
        }
        before = likelihood;
    }
    let (weights, components) =
        mixture.into_iter().map(|(w, at)| (w, Density::Gaussian { at })).unzip();
    Ok(Density::Mixture { weights, components })
}

/// Fills the shares and returns the mean log-likelihood of a row.
fn expect(rows: &[f64], dim: usize, mixture: &[(f64, Affine)], shares: &mut [f64]) -> f64 {
    let n = rows.len() / dim;
    for ((w, at), shares) in mixture.iter().zip(shares.chunks_exact_mut(n)) {
        // log w + log N(x), without the constant that all components share.
        let offset = w.ln() - at.log_det();
        for (row, share) in rows.chunks_exact(dim).zip(shares) {
            *share = offset - 0.5 * at.squared_distance(row);
        }
    }
    let mut total = 0.0;
    for i in 0..n {
        let mut sum = LogWeights::default();
        for k in 0..mixture.len() {
            sum.add(shares[k * n + i]);
        }
        let log_sum = sum.log_sum();
        total += log_sum;
        for k in 0..mixture.len() {
            shares[k * n + i] = (shares[k * n + i] - log_sum).exp();
        }
    }
    total / n as f64
}

fn maximise(
    rows: &[f64],
    dim: usize,
    shares: &[f64],
    whole: &Affine,
    floor: &[f64],
    full: bool,
) -> Vec<(f64, Affine)> {
    let n = rows.len() / dim;
    let fitted: Vec<(f64, Affine)> = shares
        .chunks_exact(n)
        .filter_map(|share| {
            let mass: f64 = share.iter().sum();
            // A component with less than half a row is dropped.
            (mass > 0.5).then(|| {
                let fit = if full { weighted_gaussian } else { weighted_diagonal };
                let at = match fit(rows, dim, share) {
                    Ok(at) if diagonal_variances(&at).iter().zip(floor).all(|(v, f)| v >= f) => at,
                    _ => floored(rows, dim, share, floor),
                };
                (mass, at)
            })
        })
        .collect();
    let total: f64 = fitted.iter().map(|(mass, _)| mass).sum();
    if fitted.is_empty() {
        return vec![(1.0, whole.clone())];
    }
    fitted.into_iter().map(|(mass, at)| (mass / total, at)).collect()
}

/// A diagonal Gaussian whose variances are at least `floor`.
fn floored(rows: &[f64], dim: usize, share: &[f64], floor: &[f64]) -> Affine {
    let mean = super::weighted_mean(rows, dim, share);
    let total: f64 = share.iter().sum();
    let mut variance = vec![0.0; dim];
    for (row, w) in rows.chunks_exact(dim).zip(share) {
        for j in 0..dim {
            variance[j] += w / total * (row[j] - mean[j]).powi(2);
        }
    }
    let deviations = variance.iter().zip(floor).map(|(v, f)| v.max(*f).sqrt()).collect();
    Affine { mean, scale: Scale::Diagonal(deviations) }
}

/// Variance left in each column given the columns before it (the squared diagonal of the factor).
fn diagonal_variances(at: &Affine) -> Vec<f64> {
    (0..at.dim())
        .map(|i| match &at.scale {
            Scale::Diagonal(s) => s[i] * s[i],
            Scale::Lower(s) => s[triangle(i, i)].powi(2),
        })
        .collect()
}

/// The nearest of `k` centres for each row: k-means++ start and a few Lloyd iterations.
fn kmeans(rows: &[f64], dim: usize, k: usize, seed: u32) -> Vec<usize> {
    let key = Key::new(seed, Stream::Fit);
    let n = rows.len() / dim;
    let row = |i: usize| &rows[i * dim..(i + 1) * dim];
    let first = (uniform(key.block(0, 0, 0)[0]) * n as f64) as usize;
    let mut centres = row(first).to_vec();
    let mut nearest = vec![0; n];
    let mut distance: Vec<f64> = (0..n).map(|i| squared_distance(row(i), &centres)).collect();
    for c in 1..k {
        let total: f64 = distance.iter().sum();
        let u = uniform(key.block(0, c as u64, 0)[0]) * total;
        let chosen = pick(&distance, u);
        centres.extend_from_slice(row(chosen));
        for i in 0..n {
            let d = squared_distance(row(i), row(chosen));
            if d < distance[i] {
                (distance[i], nearest[i]) = (d, c);
            }
        }
    }
    for _ in 0..KMEANS_ITERATIONS {
        let mut counts = vec![0.0; k];
        let mut sums = vec![0.0; k * dim];
        for (i, &c) in nearest.iter().enumerate() {
            counts[c] += 1.0;
            for (s, x) in sums[c * dim..].iter_mut().zip(row(i)) {
                *s += x;
            }
        }
        for (j, s) in sums.iter().enumerate() {
            if counts[j / dim] > 0.0 {
                centres[j] = s / counts[j / dim];
            }
        }
        for (i, best) in nearest.iter_mut().enumerate() {
            let mut least = f64::INFINITY;
            for (c, centre) in centres.chunks_exact(dim).enumerate() {
                let d = squared_distance(row(i), centre);
                if d < least {
                    (least, *best) = (d, c);
                }
            }
        }
    }
    nearest
}

fn squared_distance(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum()
}

#[cfg(test)]
mod tests {
    use super::super::super::Draws;
    use super::*;

    fn truth() -> Density {
        let component = |mean: [f64; 2]| Density::Gaussian {
            at: Affine { mean: mean.to_vec(), scale: Scale::Lower(vec![0.5, 0.2, 0.3]) },
        };
        Density::Mixture {
            weights: vec![0.2, 0.3, 0.5],
            components: vec![component([-3.0, 0.0]), component([3.0, 0.0]), component([0.0, 3.0])],
        }
    }

    fn rows(n: u64, seed: u32) -> Vec<f64> {
        let mut rows = vec![0.0; 2 * n as usize];
        for (i, row) in rows.chunks_exact_mut(2).enumerate() {
            truth().sample(&mut Draws::new(Key::new(seed, Stream::Toy), 0, i as u64), row);
        }
        rows
    }

    fn mean_log_density(p: &Density, rows: &[f64]) -> f64 {
        rows.chunks_exact(2).map(|x| p.log_density(x)).sum::<f64>() / (rows.len() / 2) as f64
    }

    /// On fresh rows a fit with p parameters to n rows loses about p / (2 n) nats: 17 / 20,000.
    #[test]
    fn recovers_a_mixture() {
        let fitted = gaussian_mixture(&rows(10_000, 1), 2, 3, true, 0).unwrap();
        let fresh = rows(10_000, 2);
        let loss = mean_log_density(&truth(), &fresh) - mean_log_density(&fitted, &fresh);
        assert!(loss.abs() < 5e-3, "{loss}");
        fitted.check(2).unwrap();
        let diagonal = gaussian_mixture(&rows(10_000, 1), 2, 3, false, 0).unwrap();
        assert!(mean_log_density(&diagonal, &fresh) < mean_log_density(&fitted, &fresh));
    }

    #[test]
    fn repeated_rows_do_not_collapse() {
        let mut rows = rows(300, 1);
        for row in rows.chunks_exact_mut(2).take(100) {
            row.copy_from_slice(&[1.0, 1.0]);
        }
        let fitted = gaussian_mixture(&rows, 2, 5, true, 0).unwrap();
        fitted.check(2).unwrap();
        // A spike of the floor's width has log-density below log(0.4 * 1 / (1e-6 * 2 pi)) + slack.
        assert!(fitted.log_density(&[1.0, 1.0]) < 14.0);
    }
}
