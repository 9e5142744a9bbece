//! The random numbers of one point.

use snel_core::normal::normals;
use snel_core::philox::{Key, Stream, uniform};

/// Blocks of four numbers, in order, for point `number` of family `seed`.
pub(super) struct Draw {
    key: Key,
    number: u64,
    block: u32,
}

impl Draw {
    pub(super) fn new(seed: u32, number: u64) -> Self {
        Self { key: Key::new(seed, Stream::Toy), number, block: 0 }
    }

    fn words(&mut self) -> [u32; 4] {
        let words = self.key.block(0, self.number, self.block);
        self.block += 1;
        words
    }

    /// Four standard normals.
    pub(super) fn normals(&mut self) -> [f64; 4] {
        normals(self.words()).map(f64::from)
    }

    /// Four uniform numbers in (0, 1), 2^-21 away from both ends.
    pub(super) fn uniforms(&mut self) -> [f64; 4] {
        self.words().map(inside)
    }

    /// `count` standard normals, one after the other.
    pub(super) fn many_normals(&mut self, count: usize) -> impl Iterator<Item = f64> {
        std::iter::repeat_with(|| self.normals()).flatten().take(count)
    }
}

/// A uniform number that stays off the ends of its interval.
fn inside(word: u32) -> f64 {
    const MARGIN: f64 = 1.0 / (1u32 << 21) as f64;
    MARGIN + (1.0 - 2.0 * MARGIN) * uniform(word)
}

#[cfg(test)]
mod tests {
    use super::inside;

    /// The widest jump of a toy is a square of the checkerboard: two units, up to four from zero.
    #[test]
    fn rounding_to_f32_does_not_cross_a_jump() {
        for corner in [-4.0, -2.0, 0.0, 2.0] {
            for word in [0, u32::MAX] {
                let x = (corner + 2.0 * inside(word)) as f32;
                assert!(f64::from(x) > corner && f64::from(x) < corner + 2.0, "{x}");
            }
        }
    }
}
