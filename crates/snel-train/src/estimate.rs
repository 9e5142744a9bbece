//! Means and variances over repetitions, each with its standard error.

use crate::evaluate::Estimate;

/// The mean of independent values. Fewer than two give no error: NaN.
pub(crate) fn mean(values: &[f64]) -> Estimate {
    let n = values.len() as f64;
    let value = values.iter().sum::<f64>() / n;
    let squares: f64 = values.iter().map(|v| (v - value) * (v - value)).sum();
    Estimate { value, se: (squares / (n - 1.0) / n).sqrt() }
}

/// The variance of independent values, unbiased. Its error is that of any distribution:
/// `Var(s^2) = (mu_4 - sigma^4 (R - 3) / (R - 1)) / R`.
pub(crate) fn variance(values: &[f64]) -> Estimate {
    let n = values.len() as f64;
    let centre = values.iter().sum::<f64>() / n;
    let moment = |k: i32| values.iter().map(|v| (v - centre).powi(k)).sum::<f64>() / n;
    let value = moment(2) * n / (n - 1.0);
    let spread = moment(4) - value * value * (n - 3.0) / (n - 1.0);
    Estimate { value, se: (spread.max(0.0) / n).sqrt() }
}

/// The trace of the covariance of independent vectors.
pub(crate) fn total_variance(vectors: &[Vec<f64>]) -> Estimate {
    let n = vectors.len() as f64;
    let Some(first) = vectors.first() else { return Estimate { value: f64::NAN, se: f64::NAN } };
    let mut centre = vec![0.0; first.len()];
    for vector in vectors {
        centre.iter_mut().zip(vector).for_each(|(c, v)| *c += v / n);
    }
    let distance = |vector: &Vec<f64>| -> f64 {
        vector.iter().zip(&centre).map(|(v, c)| (v - c) * (v - c)).sum::<f64>() * n / (n - 1.0)
    };
    mean(&vectors.iter().map(distance).collect::<Vec<_>>())
}

/// The scalar product.
pub(crate) fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use snel_core::density::Draws;
    use snel_core::philox::{Key, Stream};

    /// 400 sets of 50 normals: means and variances scatter about 0 and 1 as their errors say. The
    /// mean square of 400 standard scores is 1 within 5 sqrt(2 / 400) = 0.35, and a little more
    /// because the errors are estimates from 50 values.
    #[test]
    fn errors_are_as_large_as_they_say() {
        let (mut means, mut variances) = (0.0, 0.0);
        for set in 0..400 {
            let mut z = [0.0; 50];
            Draws::new(Key::new(1, Stream::Toy), 0, set).normals(&mut z);
            let (m, v) = (mean(&z), variance(&z));
            means += (m.value / m.se).powi(2) / 400.0;
            variances += ((v.value - 1.0) / v.se).powi(2) / 400.0;
            let rows: Vec<Vec<f64>> = z.iter().map(|&z| vec![z, 2.0 * z]).collect();
            assert!((total_variance(&rows).value / (5.0 * v.value) - 1.0).abs() < 1e-12);
        }
        assert!((0.65..1.45).contains(&means), "{means}");
        assert!((0.65..1.9).contains(&variances), "{variances}");
    }
}
