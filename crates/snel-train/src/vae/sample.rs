//! Rows from points of the latent space.

use snel_core::density::Draws;
use snel_core::philox::{Key, Stream};
use snel_core::vae::{Likelihood, VaeEngine};

/// What to make of `p(x|z)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decoding {
    /// Its mean: for Bernoulli values, their probabilities.
    Mean,
    /// A draw from it, by a seed.
    Draw(u32),
}

/// The rows of the points `z` (row-major), in the model's units. `parameters` is the flat vector that
/// the engine has.
pub fn decode(engine: &dyn VaeEngine, parameters: &[f32], z: &[f32], how: Decoding) -> Vec<f32> {
    let (inputs, latent) = (engine.model().inputs, engine.model().latent());
    let mut x = vec![0.0; z.len() / latent * inputs];
    engine.decode(z, &mut x);
    let Decoding::Draw(seed) = how else { return x };
    let key = Key::new(seed, Stream::Decode);
    let deviation = engine.model().log_deviation(parameters).exp();
    let mut noise = vec![0.0; inputs];
    for (number, x) in (0..).zip(x.chunks_exact_mut(inputs)) {
        let mut draws = Draws::new(key, 0, number);
        match engine.model().likelihood {
            Likelihood::Bernoulli => {
                draws.uniforms(&mut noise);
                for (x, u) in x.iter_mut().zip(&noise) {
                    *x = f32::from(u8::from(*u < f64::from(*x)));
                }
            }
            Likelihood::Gaussian { .. } => {
                draws.normals(&mut noise);
                for (x, z) in x.iter_mut().zip(&noise) {
                    *x = (f64::from(*x) + deviation * z) as f32;
                }
            }
        }
    }
    x
}
