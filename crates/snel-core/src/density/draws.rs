//! The random numbers of one sample, in order.
//!
//! Block `k` of a sample is Philox at draw `k`. Each request takes whole blocks, so what a density
//! draws depends only on what it drew before for the same sample.

use crate::normal::normals;
use crate::philox::{Key, uniform};

/// A cursor over the blocks of one sample.
#[derive(Debug, Clone)]
pub struct Draws {
    key: Key,
    step: u32,
    sample: u64,
    next: u32,
}

impl Draws {
    /// The blocks of sample `sample` of step `step`.
    pub fn new(key: Key, step: u32, sample: u64) -> Self {
        Self { key, step, sample, next: 0 }
    }

    /// The next block of four uniform words.
    #[inline]
    pub fn block(&mut self) -> [u32; 4] {
        let words = self.key.block(self.step, self.sample, self.next);
        self.next += 1;
        words
    }

    /// Passes over the next `blocks`, which were drawn elsewhere.
    pub fn skip(&mut self, blocks: u32) {
        self.next += blocks;
    }

    /// Fills `out` with standard normals, four a block.
    pub fn normals(&mut self, out: &mut [f64]) {
        for quad in out.chunks_mut(4) {
            for (x, z) in quad.iter_mut().zip(normals(self.block())) {
                *x = f64::from(z);
            }
        }
    }

    /// Fills `out` with uniforms in (0, 1), four a block.
    pub fn uniforms(&mut self, out: &mut [f64]) {
        for quad in out.chunks_mut(4) {
            for (x, word) in quad.iter_mut().zip(self.block()) {
                *x = uniform(word);
            }
        }
    }

    /// One uniform in (0, 1).
    pub fn uniform(&mut self) -> f64 {
        uniform(self.block()[0])
    }

    /// What turns normals into Student variates of `df` degrees of freedom: `sqrt(df / g)`, `g`
    /// chi-square with `df` degrees.
    pub fn student_factor(&mut self, df: f64) -> f64 {
        (df / (2.0 * self.gamma(0.5 * df))).sqrt()
    }

    /// A gamma variate of the given shape and unit scale (Marsaglia, Tsang 2000), one block a
    /// trial; under 5 % of trials are rejected.
    pub fn gamma(&mut self, shape: f64) -> f64 {
        if shape < 1.0 {
            // Gamma(a) = Gamma(a + 1) U^(1/a), their section 6.
            let boost = self.uniform().powf(1.0 / shape);
            // Tiny shapes underflow; keep the variate positive so that a scale stays finite.
            return (self.gamma(shape + 1.0) * boost).max(f64::MIN_POSITIVE);
        }
        let d = shape - 1.0 / 3.0;
        let c = 1.0 / (9.0 * d).sqrt();
        loop {
            let words = self.block();
            let z = f64::from(normals(words)[0]);
            let v = (1.0 + c * z).powi(3);
            if v > 0.0 && uniform(words[2]).ln() < 0.5 * z * z + d - d * v + d * v.ln() {
                return d * v;
            }
        }
    }
}
