//! The kernel sources, carried in the binary.
//!
//! [`MAIN`] includes the others by name. [`hash`] is part of the numerics fingerprint: other
//! kernels may have other bits.

use xxhash_rust::xxh3::Xxh3;

/// The file to compile.
pub const MAIN: &str = "snel.cu";

macro_rules! files {
    ($($name:literal),* $(,)?) => {
        /// Name and text of every file, [`MAIN`] first.
        pub const FILES: &[(&str, &str)] =
            &[$(($name, include_str!(concat!("../../../kernels/", $name)))),*];
    };
}

files![
    "snel.cu",
    "activation.cuh",
    "arguments.cuh",
    "density.cuh",
    "energy.cuh",
    "exact.cuh",
    "fragment.cuh",
    "gradient.cuh",
    "layerwise.cuh",
    "layerwise_gradient.cuh",
    "normal.cuh",
    "objective.cuh",
    "philox.cuh",
    "primitives.cuh",
    "product.cuh",
    "sample.cuh",
    "shape.cuh",
    "step.cuh",
    "sums.cuh",
    "tally.cuh",
    "tile.cuh",
    "update.cuh",
    "verdict.cuh",
];

/// A number that tells versions of the sources apart.
pub fn hash() -> u64 {
    let mut hasher = Xxh3::new();
    for (name, text) in FILES {
        for part in [name.as_bytes(), text.as_bytes()] {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
    }
    hasher.digest()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every include is among the files: a compiler that has no folder finds all.
    #[test]
    fn includes_are_carried() {
        for (file, text) in FILES {
            let includes = text.lines().filter_map(|l| l.strip_prefix("#include \""));
            for name in includes.map(|rest| rest.trim_end_matches('"')) {
                assert!(FILES.iter().any(|(known, _)| *known == name), "{file} includes {name}");
            }
        }
    }
}
