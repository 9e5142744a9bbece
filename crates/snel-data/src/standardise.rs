//! Scales each column to mean 0 and standard deviation 1 over the training rows.

use crate::DataError;
use serde::{Deserialize, Serialize};

/// An affine map of each column, `z = (x - mean) / sd`.
///
/// A density changes by the volume: with `p_x` in original and `p_z` in standardised units,
/// `log p_x(x) = log p_z(z) + log_det()`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Scales")]
pub struct Standardise {
    mean: Vec<f64>,
    sd: Vec<f64>,
}

/// What a file may claim to be a [`Standardise`].
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Scales {
    mean: Vec<f64>,
    sd: Vec<f64>,
}

impl TryFrom<Scales> for Standardise {
    type Error = &'static str;

    fn try_from(Scales { mean, sd }: Scales) -> Result<Self, Self::Error> {
        Self::new(mean, sd).ok_or("means must be finite, deviations positive and as many")
    }
}

impl Standardise {
    /// A map with these means and standard deviations; `None` unless they are equally many, the
    /// means finite, the deviations finite and positive.
    pub fn new(mean: Vec<f64>, sd: Vec<f64>) -> Option<Self> {
        let scales = sd.iter().all(|sd| sd.is_finite() && *sd > 0.0);
        let valid = mean.len() == sd.len() && mean.iter().all(|m| m.is_finite()) && scales;
        valid.then_some(Self { mean, sd })
    }

    /// The map that changes nothing.
    pub fn identity(dim: usize) -> Self {
        Self { mean: vec![0.0; dim], sd: vec![1.0; dim] }
    }

    /// The map that divides by `scale`; `None` unless that is finite and positive.
    pub fn scaled(dim: usize, scale: f64) -> Option<Self> {
        Self::new(vec![0.0; dim], vec![scale; dim])
    }

    /// Mean of each column, original units.
    pub fn mean(&self) -> &[f64] {
        &self.mean
    }

    /// Standard deviation of each column (dividing by the number of rows), original units.
    pub fn sd(&self) -> &[f64] {
        &self.sd
    }

    /// Columns.
    pub fn dim(&self) -> usize {
        self.mean.len()
    }

    /// The map of the columns `range` alone.
    ///
    /// # Panics
    /// If there are no such columns.
    #[must_use]
    pub fn columns(&self, range: std::ops::Range<usize>) -> Self {
        Self { mean: self.mean[range.clone()].to_vec(), sd: self.sd[range].to_vec() }
    }

    /// Original to standardised units; `rows` is row-major, `dim` values a row.
    pub fn apply(&self, rows: &mut [f64]) {
        for row in rows.chunks_mut(self.dim().max(1)) {
            for ((x, mean), sd) in row.iter_mut().zip(&self.mean).zip(&self.sd) {
                *x = (*x - mean) / sd;
            }
        }
    }

    /// Standardised to original units; `rows` is row-major, `dim` values a row.
    pub fn invert(&self, rows: &mut [f64]) {
        for row in rows.chunks_mut(self.dim().max(1)) {
            for ((z, mean), sd) in row.iter_mut().zip(&self.mean).zip(&self.sd) {
                *z = *z * sd + mean;
            }
        }
    }

    /// `log |dz/dx| = -sum ln sd`, nats: what to add to a log-density in standardised units to
    /// get it in original units.
    pub fn log_det(&self) -> f64 {
        -self.sd.iter().map(|sd| sd.ln()).sum::<f64>()
    }
}

/// Mean and standard deviation of columns in one pass (Welford, *Technometrics* 4, 1962), in f64.
#[derive(Debug, Clone)]
pub struct Welford {
    rows: u64,
    mean: Vec<f64>,
    squares: Vec<f64>,
}

impl Welford {
    /// Nothing seen yet of `dim` columns.
    pub fn new(dim: usize) -> Self {
        Self { rows: 0, mean: vec![0.0; dim], squares: vec![0.0; dim] }
    }

    /// Takes in one row of `dim` values.
    pub fn push(&mut self, row: &[f64]) {
        self.rows += 1;
        let n = self.rows as f64;
        for ((x, mean), squares) in row.iter().zip(&mut self.mean).zip(&mut self.squares) {
            let before = x - *mean;
            *mean += before / n;
            *squares += before * (x - *mean);
        }
    }

    /// The map to mean 0 and standard deviation 1.
    ///
    /// # Errors
    /// [`DataError::ConstantColumn`] and [`DataError::OutOfRange`], with the name from `columns`.
    pub fn finish(self, columns: &[String]) -> Result<Standardise, DataError> {
        let rows = self.rows.max(1) as f64;
        let mut sd = self.squares;
        for ((sd, mean), column) in sd.iter_mut().zip(&self.mean).zip(columns) {
            // Equal values leave exactly 0: their distance to the mean is 0 from the second row on.
            if *sd == 0.0 {
                return Err(DataError::ConstantColumn { column: column.clone(), value: *mean });
            }
            *sd = (*sd / rows).sqrt();
            if !sd.is_normal() {
                return Err(DataError::OutOfRange { column: column.clone(), value: *sd });
            }
        }
        Ok(Standardise { mean: self.mean, sd })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn names(dim: usize) -> Vec<String> {
        (0..dim).map(|k| format!("c{k}")).collect()
    }

    fn fit(rows: &[[f64; 2]]) -> Result<Standardise, DataError> {
        let mut welford = Welford::new(2);
        for row in rows {
            welford.push(row);
        }
        welford.finish(&names(2))
    }

    proptest! {
        /// Against the two-pass formulas. One pass loses at most a few units in the last place of
        /// the sum for each row (Chan, Golub, LeVeque 1983): condition number times rows times
        /// epsilon, with |mean| / sd below 1e6 here.
        #[test]
        fn agrees_with_two_passes(
            values in prop::collection::vec(-1.0..1.0f64, 5..200), shift in -1e4..1e4f64,
        ) {
            let rows: Vec<[f64; 2]> = values.iter().map(|&v| [v + shift, 3.0 * v]).collect();
            let n = rows.len() as f64;
            prop_assume!(values.iter().any(|v| (v - values[0]).abs() > 0.1));
            let scale = fit(&rows).unwrap();
            for k in 0..2 {
                let mean = rows.iter().map(|r| r[k]).sum::<f64>() / n;
                let sd = (rows.iter().map(|r| (r[k] - mean).powi(2)).sum::<f64>() / n).sqrt();
                prop_assert!((scale.mean()[k] - mean).abs() <= n * f64::EPSILON * (1.0 + mean.abs()));
                prop_assert!((scale.sd()[k] / sd - 1.0).abs() <= n * f64::EPSILON * 1e6);
            }
        }
    }

    #[test]
    fn inverts_and_has_the_volume_of_a_gaussian() {
        let scale = Standardise::new(vec![5.0, -1.0], vec![2.0, 0.25]).unwrap();
        let mut z = [7.0, -1.5];
        scale.apply(&mut z);
        assert_eq!(z, [1.0, -2.0]);
        // N(7; 5, 2) N(-1.5; -1, 0.25) against the standard normal at z plus the log-determinant.
        let half_log_tau = 0.5 * std::f64::consts::TAU.ln();
        let direct = -0.5 - 2.0f64.ln() - half_log_tau - 2.0 - 0.25f64.ln() - half_log_tau;
        let standard = -2.5 - 2.0 * half_log_tau;
        assert!((standard + scale.log_det() - direct).abs() < 4.0 * f64::EPSILON * direct.abs());
        scale.invert(&mut z);
        assert_eq!(z, [7.0, -1.5]);
    }

    #[test]
    fn constant_and_overflowing_columns_are_named() {
        let rows = [[0.1, 1.0], [0.1, 2.0], [0.1, 3.0]];
        let refused = fit(&rows).unwrap_err();
        assert!(matches!(&refused, DataError::ConstantColumn { column, value }
            if column == "c0" && *value == 0.1));
        assert!(refused.hint().unwrap().contains("standardise = false"));
        let refused = fit(&[[1.0, 1e300], [2.0, -1e300]]).unwrap_err();
        assert!(matches!(refused, DataError::OutOfRange { .. }));
    }

    #[test]
    fn serde_refuses_bad_scales() {
        let scale = Standardise::new(vec![5.0], vec![2.0]).unwrap();
        let text = serde_json::to_string(&scale).unwrap();
        assert_eq!(serde_json::from_str::<Standardise>(&text).unwrap(), scale);
        for bad in
            [r#"{"mean":[0],"sd":[0]}"#, r#"{"mean":[0],"sd":[-1]}"#, r#"{"mean":[0],"sd":[1,1]}"#]
        {
            assert!(serde_json::from_str::<Standardise>(bad).is_err(), "{bad}");
        }
    }
}
