//! Straight lines through measured points, and how sure their slopes are.

use crate::evaluate::Estimate;

/// `y = intercept + slope x`, by weighted least squares.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Line {
    /// The slope.
    pub slope: Estimate,
    /// Value at `x = 0`.
    pub intercept: f64,
    /// Mean square of the points' distances from the line, in units of their errors, for each
    /// degree of freedom; about 1 if the line is right. NaN for two points.
    pub misfit: f64,
}

/// The line through `(x, y)`, each `y` with its standard error. None for fewer than two places.
///
/// The slope's error comes from the points' errors: what they were measured with, not how well the
/// line happens to fit.
pub fn line(points: &[(f64, Estimate)]) -> Option<Line> {
    let weight = |y: &Estimate| 1.0 / (y.se * y.se);
    let usable = |y: &Estimate| y.value.is_finite() && y.se > 0.0 && y.se.is_finite();
    let points: Vec<_> = points.iter().filter(|(_, y)| usable(y)).collect();
    let sum = |f: &dyn Fn(f64, &Estimate) -> f64| -> f64 {
        points.iter().map(|(x, y)| weight(y) * f(*x, y)).sum()
    };
    let total = sum(&|_, _| 1.0);
    let (x0, y0) = (sum(&|x, _| x) / total, sum(&|_, y| y.value) / total);
    let spread = sum(&|x, _| (x - x0) * (x - x0));
    if points.len() < 2 || spread <= 0.0 {
        return None;
    }
    let slope = sum(&|x, y| (x - x0) * (y.value - y0)) / spread;
    let misfit = sum(&|x, y| (y.value - y0 - slope * (x - x0)).powi(2));
    Some(Line {
        slope: Estimate { value: slope, se: (1.0 / spread).sqrt() },
        intercept: y0 - slope * x0,
        misfit: misfit / (points.len() as f64 - 2.0),
    })
}

/// The exponent `a` of `|y| = c x^a`: a line through the logarithms. Points whose error is as large
/// as a half of them are left out; their logarithm says nothing.
pub fn power(points: &[(f64, Estimate)]) -> Option<Line> {
    let logs: Vec<_> = points.iter().filter_map(|(x, y)| Some((x.ln(), logarithm(*y)?))).collect();
    line(&logs)
}

/// `log |y|` with its error; none if `y` is too uncertain.
pub fn logarithm(y: Estimate) -> Option<Estimate> {
    let size = y.value.abs();
    (y.se < 0.5 * size).then(|| Estimate { value: size.ln(), se: y.se / size })
}

/// The weighted mean of estimates of one number.
pub fn pooled(estimates: &[Estimate]) -> Option<Estimate> {
    let weight = |e: &Estimate| 1.0 / (e.se * e.se);
    let usable = |e: &&Estimate| e.value.is_finite() && e.se > 0.0 && e.se.is_finite();
    let usable: Vec<_> = estimates.iter().filter(usable).collect();
    let total: f64 = usable.iter().map(|e| weight(e)).sum();
    let value = usable.iter().map(|e| weight(e) * e.value).sum::<f64>() / total;
    (!usable.is_empty()).then(|| Estimate { value, se: (1.0 / total).sqrt() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use snel_core::density::Draws;
    use snel_core::philox::{Key, Stream};

    fn at(value: f64, se: f64) -> Estimate {
        Estimate { value, se }
    }

    #[test]
    fn an_exact_power_is_found_and_noise_is_left_out() {
        let mut points: Vec<_> =
            [10.0f64, 100.0, 1e3, 1e4].map(|x| (x, at(-3.0 * x.powf(-1.5), 1e-9))).to_vec();
        points.push((1e9, at(1.0, 0.6)));
        let fit = power(&points).unwrap();
        assert!((fit.slope.value + 1.5).abs() < 1e-4, "{fit:?}");
        assert!((fit.intercept - 3f64.ln()).abs() < 1e-3);
        assert_eq!(line(&[(1.0, at(1.0, 0.1))]), None);
        assert_eq!(line(&[(1.0, at(1.0, 0.1)), (1.0, at(2.0, 0.1))]), None);
    }

    /// Unequal errors: 300 lines whose slopes must scatter as they say. The mean square of 300
    /// standard scores is 1 within 5 sqrt(2 / 300) = 0.41.
    #[test]
    fn the_slope_is_as_sure_as_it_says() {
        let (mut score, mut misfit) = (0.0, 0.0);
        for set in 0..300 {
            let mut z = [0.0; 6];
            Draws::new(Key::new(2, Stream::Toy), 0, set).normals(&mut z);
            let point = |(i, z): (usize, &f64)| {
                let (x, se) = (i as f64, 0.1 + 0.2 * i as f64);
                (x, at(1.0 - 2.0 * x + se * z, se))
            };
            let fit = line(&z.iter().enumerate().map(point).collect::<Vec<_>>()).unwrap();
            score += ((fit.slope.value + 2.0) / fit.slope.se).powi(2) / 300.0;
            misfit += fit.misfit / 300.0;
        }
        assert!((score - 1.0).abs() < 0.41, "{score}");
        assert!((misfit - 1.0).abs() < 0.21, "{misfit}");
    }

    #[test]
    fn pooling_weighs_by_the_errors() {
        let all = pooled(&[at(1.0, 1.0), at(4.0, 2.0), at(f64::NAN, 1.0)]).unwrap();
        assert!((all.value - 1.6).abs() < 1e-12 && (all.se - 0.8f64.sqrt()).abs() < 1e-12);
        assert_eq!(pooled(&[]), None);
    }
}
