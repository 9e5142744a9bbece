//! What theory says about weights `w = p / q` of a standard normal target.
//!
//! Under a Gaussian proposal of deviation `s`, `q w^k` is a Gaussian, too, of precision
//! `k - (k - 1) / s^2`: all moments are closed forms. Under any proposal that depends on the
//! distance from the origin alone, they are integrals over the radius.

use snel_core::density::HALF_LN_TAU;

/// A standard normal target and a Gaussian proposal, `D` dimensions, `M` samples.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Gaussians {
    pub(crate) dim: usize,
    /// Deviation of the proposal; above `sqrt(1/2)`, where the weights' variance ends.
    pub(crate) sd: f64,
    pub(crate) samples: f64,
}

impl Gaussians {
    fn d(&self) -> f64 {
        self.dim as f64
    }

    /// Variance of a coordinate under `q w^2`, normalised.
    fn tilted(&self) -> f64 {
        1.0 / (2.0 - 1.0 / (self.sd * self.sd))
    }

    /// `E_q[w^2] = 1 + chi^2(p, q)`.
    pub(crate) fn second_moment(&self) -> f64 {
        (self.sd * self.tilted().sqrt()).powf(self.d())
    }

    /// Sum of squares of a quadratic energy's gradient, its mean under a normal of variance `v`:
    /// `x^2 / 2`, `x y` and `x` have 3/4 v^2, v^2 and v.
    fn square(&self, v: f64) -> f64 {
        let d = self.d();
        d * 0.75 * v * v + d * (d - 1.0) / 2.0 * v * v + d * v
    }

    /// Trace of the covariance of SNL's gradient at `b = log Z`, exactly.
    pub(crate) fn snl_variance(&self) -> f64 {
        let all = self.second_moment() * self.square(self.tilted());
        (all - self.d() / 4.0) / self.samples
    }

    /// The same of IS-MLE's gradient, to first order: `E_q[w^2 |f - E_p f|^2] / M`.
    pub(crate) fn is_mle_variance(&self) -> f64 {
        let (d, v) = (self.d(), self.tilted());
        self.second_moment() * (self.square(v) - d * v / 2.0 + d / 4.0) / self.samples
    }

    /// Bias of IS-MLE's gradient along the mean gradient of the energy, to first order in `1/M`:
    /// `-Cov_q(w, w (f - E_p f)) / M`, with the sign of the samples' side of the loss.
    pub(crate) fn is_mle_bias(&self) -> f64 {
        self.second_moment() * self.d().sqrt() * 0.5 * (self.tilted() - 1.0) / self.samples
    }

    /// Difference of NCE's expected gradient from that of the likelihood, along the same direction,
    /// with `ratio = M / n`, at rows of squared lengths `rows`.
    pub(crate) fn nce_bias(&self, ratio: f64, rows: &[f64]) -> f64 {
        let log_p = |square: f64| -0.5 * square - self.d() * HALF_LN_TAU;
        let log_q = |square: f64| {
            -0.5 * square / (self.sd * self.sd) - self.d() * (HALF_LN_TAU + self.sd.ln())
        };
        let along = |square: f64| 0.5 * square / self.d().sqrt();
        let of_rows = rows.iter().map(|&square| {
            let w = (log_p(square) - log_q(square)).exp();
            -w / (ratio + w) * along(square)
        });
        let samples = radial(self.dim, |square| {
            let w = (log_p(square) - log_q(square)).exp();
            w / (ratio + w) * along(square) * log_p(square).exp()
        });
        of_rows.sum::<f64>() / rows.len() as f64 + samples
    }
}

/// `1 + chi^2` of a standard normal target under a proposal of log-density `log_q` at the square of
/// the distance from the origin.
pub(crate) fn radial_second_moment(dim: usize, log_q: impl Fn(f64) -> f64) -> f64 {
    let log_p = |square: f64| -0.5 * square - dim as f64 * HALF_LN_TAU;
    radial(dim, |square| (2.0 * log_p(square) - log_q(square)).exp())
}

/// The integral over all space of `f`, a function of the square of the distance from the origin
/// that falls off as a normal of deviation 2 or less, by the trapezoidal rule over the logarithm of
/// the radius: it converges exponentially, since all derivatives vanish at both ends.
fn radial(dim: usize, f: impl Fn(f64) -> f64) -> f64 {
    const STEP: f64 = 1.0 / 256.0;
    let d = dim as f64;
    // A normal's radius scatters about sqrt(D) by less than 1; 24 more holds all that f64 sees.
    let end = (2.0 * d.sqrt() + 24.0).ln();
    // log of the surface of the unit sphere, 2 pi^(D/2) / Gamma(D/2).
    let surface = 2f64.ln() + 0.5 * d * std::f64::consts::PI.ln() - libm::lgamma(0.5 * d);
    let at = |i: i32| {
        let log_r = end - STEP * f64::from(i);
        let value = f((2.0 * log_r).exp());
        // The surface is beyond f64 where the value is far below it.
        if value > 0.0 { (value.ln() + surface + d * log_r).exp() } else { 0.0 }
    };
    // Down to a radius of exp(-40), where less than 1e-17 is left even in one dimension.
    let steps = ((end + 40.0) / STEP) as i32;
    STEP * (0..steps).map(at).sum::<f64>()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gaussians(dim: usize, sd: f64) -> Gaussians {
        Gaussians { dim, sd, samples: 1.0 }
    }

    /// The integral against the closed form, and what must hold where both densities are one.
    #[test]
    fn integrals_agree_with_closed_forms() {
        for dim in [1, 2, 3, 8, 32] {
            for sd in [0.9, 1.0, 1.3] {
                let log_q =
                    |square: f64| -0.5 * square / (sd * sd) - dim as f64 * (HALF_LN_TAU + sd.ln());
                let exact = gaussians(dim, sd).second_moment();
                let found = radial_second_moment(dim, log_q);
                assert!((found / exact - 1.0).abs() < 1e-9, "{dim} {sd}: {found} {exact}");
            }
            let matched = gaussians(dim, 1.0);
            assert!((matched.second_moment() - 1.0).abs() < 1e-12);
            assert!(matched.is_mle_bias().abs() < 1e-12);
            // Equal weights: SNL's variance is that of the monomials, D (3/4 - 1/4) and so on.
            let d = dim as f64;
            let monomials = d * 0.5 + d * (d - 1.0) / 2.0 + d;
            assert!((matched.snl_variance() / monomials - 1.0).abs() < 1e-12);
            assert!((matched.is_mle_variance() / monomials - 1.0).abs() < 1e-12);
        }
    }

    /// With as many noise points as one likes NCE is maximum likelihood: its bias falls as 1/ratio.
    #[test]
    fn nce_approaches_the_likelihood() {
        let g = gaussians(3, 1.3);
        let rows = [0.5, 2.0, 7.0];
        let (near, far) = (g.nce_bias(1e3, &rows), g.nce_bias(1e5, &rows));
        assert!(near.abs() > 1e-6 && (near / far - 100.0).abs() < 1.0, "{near} {far}");
    }
}
