//! The directions in which points vary most: principal components.

/// Turns over all pairs of axes, at most.
const SWEEPS: usize = 50;

/// Orthogonal directions through a centre.
pub(super) struct Map {
    centre: Vec<f64>,
    /// Unit vectors, the one of largest variance first.
    directions: Vec<Vec<f64>>,
}

impl Map {
    /// Number of directions.
    pub(super) fn directions(&self) -> usize {
        self.directions.len()
    }

    /// Coordinates of the points `z` (row-major) along the directions, row-major.
    pub(super) fn project(&self, z: &[f32]) -> Vec<f64> {
        let dot = |z: &[f32], direction: &[f64]| -> f64 {
            let terms = z.iter().zip(&self.centre).zip(direction);
            terms.map(|((z, centre), v)| (f64::from(*z) - centre) * v).sum()
        };
        let points = z.chunks_exact(self.centre.len().max(1));
        points.flat_map(|z| self.directions.iter().map(move |v| dot(z, v))).collect()
    }
}

/// The `count` principal components of the points `z` of `dim` values each.
pub(super) fn principal(z: &[f32], dim: usize, count: usize) -> Map {
    let n = (z.len() / dim).max(1) as f64;
    let mut centre = vec![0.0; dim];
    for point in z.chunks_exact(dim) {
        centre.iter_mut().zip(point).for_each(|(c, z)| *c += f64::from(*z) / n);
    }
    let mut covariance = vec![vec![0.0; dim]; dim];
    for point in z.chunks_exact(dim) {
        let from: Vec<f64> = point.iter().zip(&centre).map(|(z, c)| f64::from(*z) - c).collect();
        for (row, a) in covariance.iter_mut().zip(&from) {
            row.iter_mut().zip(&from).for_each(|(to, b)| *to += a * b / n);
        }
    }
    let mut vectors = diagonalise(&mut covariance);
    let mut order: Vec<usize> = (0..dim).collect();
    order.sort_by(|&i, &j| covariance[j][j].total_cmp(&covariance[i][i]));
    let directions = order.into_iter().take(count).map(|i| std::mem::take(&mut vectors[i]));
    Map { centre, directions: directions.collect() }
}

/// Jacobi's rotations (Golub, Van Loan, section 8.5): `matrix`, symmetric, becomes diagonal; returns the
/// eigenvectors, one for each diagonal value.
fn diagonalise(matrix: &mut [Vec<f64>]) -> Vec<Vec<f64>> {
    let dim = matrix.len();
    let mut vectors: Vec<Vec<f64>> =
        (0..dim).map(|i| (0..dim).map(|j| f64::from(u8::from(i == j))).collect()).collect();
    for _ in 0..SWEEPS {
        let mut moved = false;
        for p in 0..dim {
            for q in p + 1..dim {
                let off = matrix[p][q];
                if off.abs() <= f64::EPSILON * (matrix[p][p] * matrix[q][q]).abs().sqrt() {
                    continue;
                }
                moved = true;
                let tau = (matrix[q][q] - matrix[p][p]) / (2.0 * off);
                let t = tau.signum() / (tau.abs() + (1.0 + tau * tau).sqrt());
                let c = 1.0 / (1.0 + t * t).sqrt();
                let s = t * c;
                for row in matrix.iter_mut() {
                    (row[p], row[q]) = (c * row[p] - s * row[q], s * row[p] + c * row[q]);
                }
                for k in 0..dim {
                    let (a, b) = (matrix[p][k], matrix[q][k]);
                    (matrix[p][k], matrix[q][k]) = (c * a - s * b, s * a + c * b);
                    let (a, b) = (vectors[p][k], vectors[q][k]);
                    (vectors[p][k], vectors[q][k]) = (c * a - s * b, s * a + c * b);
                }
            }
        }
        if !moved {
            break;
        }
    }
    vectors
}

#[cfg(test)]
mod tests {
    use super::*;
    use snel_core::density::Draws;
    use snel_core::philox::{Key, Stream};

    /// Points spread 3, 2 and 1 along known orthogonal directions: 4,000 of them give those to a few
    /// hundredths.
    #[test]
    fn directions_are_those_of_largest_variance() {
        let (a, b) = (0.6, 0.8);
        let basis = [[a, b, 0.0], [-b * a, a * a, b], [b * b, -a * b, a]];
        let mut z = Vec::new();
        for number in 0..4000 {
            let mut normal = [0.0; 3];
            Draws::new(Key::new(1, Stream::Fit), 0, number).normals(&mut normal);
            for d in 0..3 {
                let at: f64 = (0..3).map(|k| (3.0 - k as f64) * normal[k] * basis[k][d]).sum();
                z.push((1.0 + at) as f32);
            }
        }
        let map = principal(&z, 3, 2);
        assert_eq!(map.directions(), 2);
        for (direction, expected) in map.directions.iter().zip(&basis) {
            let dot: f64 = direction.iter().zip(expected).map(|(a, b)| a * b).sum();
            assert!(dot.abs() > 0.995, "{direction:?}");
        }
        let projected = map.project(&z);
        let spread = |k: usize| {
            let values = projected.iter().skip(k).step_by(2);
            (values.map(|v| v * v).sum::<f64>() / 4000.0).sqrt()
        };
        assert!((spread(0) - 3.0).abs() < 0.2 && (spread(1) - 2.0).abs() < 0.15);
    }
}
