//! The directions in which points vary most: principal components.

use crate::frechet::Moments;

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
    let Moments { mean: centre, covariance } = Moments::new(z, dim);
    let eigen = covariance.symmetric_eigen();
    let mut order: Vec<usize> = (0..dim).collect();
    order.sort_by(|&i, &j| eigen.eigenvalues[j].total_cmp(&eigen.eigenvalues[i]));
    let direction = |i: usize| eigen.eigenvectors.column(i).iter().copied().collect();
    let directions = order.into_iter().take(count).map(direction);
    Map { centre, directions: directions.collect() }
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
