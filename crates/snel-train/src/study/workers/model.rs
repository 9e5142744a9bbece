//! The time of a step on a cluster, from four numbers.
//!
//! ```text
//! T(N) = flop / N · a  +  P · u  +  N P · c  +  l
//! ```
//!
//! `N` workers share the `flop = 6 P (M + n)` operations of a step, `a` seconds each. Every worker
//! does something for each of the `P` parameters, `u`: rounding, update, packing. Every worker sends
//! its sums to the coordinator and is sent the total, `16 P` bytes, `c` seconds a parameter; the
//! coordinator is one, so this grows with `N`. And each step has a latency, `l`.
//!
//! What the model leaves out: a network that is slower than the one measured, machines of unequal
//! speed, more workers than chunks.

use serde::Serialize;

use super::load::Load;

/// Number of terms.
const TERMS: usize = 4;

/// The four times, seconds; none is negative.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Model {
    /// Of an operation on one worker: `a`.
    pub flop: f64,
    /// Of a parameter on every worker: `u`.
    pub parameter: f64,
    /// Of a parameter of one worker at the coordinator: `c`.
    pub exchange: f64,
    /// Of a step: `l`.
    pub latency: f64,
}

/// A load on so many workers, and how long a step took, seconds.
#[derive(Debug, Clone, Copy)]
pub struct Point {
    /// The load, of all workers.
    pub load: Load,
    /// How many there are.
    pub workers: u32,
    /// Seconds of a step.
    pub seconds: f64,
}

impl Model {
    /// The model whose relative errors at `points` are least in squares. None for fewer points than
    /// times.
    pub fn fit(points: &[Point]) -> Option<Self> {
        if points.len() < TERMS {
            return None;
        }
        let rows: Vec<[f64; TERMS]> =
            points.iter().map(|p| terms(&p.load, p.workers).map(|term| term / p.seconds)).collect();
        let [flop, parameter, exchange, latency] = least_squares(&rows)?;
        Some(Self { flop, parameter, exchange, latency })
    }

    /// Seconds of a step.
    pub fn predict(&self, load: &Load, workers: u32) -> f64 {
        let Self { flop, parameter, exchange, latency } = self;
        let times = [flop, parameter, exchange, latency];
        terms(load, workers).iter().zip(times).map(|(term, time)| term * time).sum()
    }

    /// `predicted / measured - 1` at a point.
    pub fn error(&self, point: &Point) -> f64 {
        self.predict(&point.load, point.workers) / point.seconds - 1.0
    }
}

/// Of each point, the error of the model that was fitted to all others.
pub fn errors_left_out(points: &[Point]) -> Vec<f64> {
    let without = |i: usize| {
        let others: Vec<Point> =
            points.iter().enumerate().filter(|(j, _)| *j != i).map(|(_, p)| *p).collect();
        Model::fit(&others).map_or(f64::NAN, |model| model.error(&points[i]))
    };
    (0..points.len()).map(without).collect()
}

fn terms(load: &Load, workers: u32) -> [f64; TERMS] {
    let (n, p) = (f64::from(workers), load.parameters() as f64);
    [load.flop() / n, p, n * p, 1.0]
}

/// The `x >= 0` with the least `|rows x - 1|^2`. With four terms all sets of those that are not zero
/// are tried; the best one that needs no negative is the solution (Lawson, Hanson 1974, chapter 23).
fn least_squares(rows: &[[f64; TERMS]]) -> Option<[f64; TERMS]> {
    // Terms differ by many orders; solved for columns of length one.
    let length = |j: usize| rows.iter().map(|row| row[j] * row[j]).sum::<f64>().sqrt();
    let lengths: [f64; TERMS] = std::array::from_fn(length);
    let scaled: Vec<[f64; TERMS]> =
        rows.iter().map(|row| std::array::from_fn(|j| row[j] / lengths[j])).collect();
    let residual = |x: &[f64; TERMS]| -> f64 {
        let miss = |row: &[f64; TERMS]| row.iter().zip(x).map(|(a, x)| a * x).sum::<f64>() - 1.0;
        scaled.iter().map(|row| miss(row).powi(2)).sum()
    };
    let candidates = (1..1u32 << TERMS).filter_map(|set| {
        let used: Vec<usize> = (0..TERMS).filter(|j| set & (1 << j) != 0).collect();
        solve(&scaled, &used).filter(|x| x.iter().all(|&x| x >= 0.0))
    });
    let best = candidates.min_by(|a, b| residual(a).total_cmp(&residual(b)))?;
    Some(std::array::from_fn(|j| best[j] / lengths[j]))
}

/// Normal equations of the columns `used`, by elimination with pivots on the diagonal. None if they
/// are linearly dependent.
fn solve(rows: &[[f64; TERMS]], used: &[usize]) -> Option<[f64; TERMS]> {
    let k = used.len();
    let mut a = vec![vec![0.0; k + 1]; k];
    for row in rows {
        for (i, &p) in used.iter().enumerate() {
            for (j, &q) in used.iter().enumerate() {
                a[i][j] += row[p] * row[q];
            }
            a[i][k] += row[p];
        }
    }
    // The matrix is symmetric and positive: the order of elimination is free.
    for i in 0..k {
        let pivot = a[i][i];
        if pivot < 1e-9 {
            return None;
        }
        let upper = a[i].clone();
        for (_, lower) in a.iter_mut().enumerate().filter(|(r, _)| *r != i) {
            let factor = lower[i] / pivot;
            lower.iter_mut().zip(&upper).for_each(|(v, u)| *v -= factor * u);
        }
    }
    let mut x = [0.0; TERMS];
    used.iter().enumerate().for_each(|(i, &j)| x[j] = a[i][k] / a[i][i]);
    Some(x)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(model: &Model) -> Vec<Point> {
        let mut points = Vec::new();
        for (width, samples) in [(64, 16_384), (128, 8192), (128, 65_536), (512, 4096)] {
            for workers in [1, 2, 4] {
                let load = Load { width, samples, batch: 512 };
                points.push(Point { load, workers, seconds: model.predict(&load, workers) });
            }
        }
        points
    }

    #[test]
    fn exact_times_give_the_model_back() {
        let truth = Model { flop: 1e-11, parameter: 2e-9, exchange: 8e-9, latency: 3e-4 };
        let points = points(&truth);
        let found = Model::fit(&points).unwrap();
        for (a, b) in [
            (found.flop, truth.flop),
            (found.parameter, truth.parameter),
            (found.exchange, truth.exchange),
            (found.latency, truth.latency),
        ] {
            assert!((a / b - 1.0).abs() < 1e-6, "{found:?}");
        }
        assert!(errors_left_out(&points).iter().all(|e| e.abs() < 1e-6));
    }

    /// Times that fall faster than the model allows make no time negative.
    #[test]
    fn no_time_is_negative() {
        let truth = Model { flop: 1e-11, parameter: 0.0, exchange: 0.0, latency: 0.0 };
        let mut points = points(&truth);
        for point in &mut points {
            point.seconds *= 1.0 - 0.03 * f64::from(point.workers);
        }
        let found = Model::fit(&points).unwrap();
        assert!(found.parameter >= 0.0 && found.exchange >= 0.0 && found.latency >= 0.0);
        assert!(points.iter().all(|p| found.error(p).abs() < 0.1), "{found:?}");
        assert_eq!(Model::fit(&points[..3]), None);
    }
}
