//! The instruction sets that the arithmetic is compiled for, and the choice among them.
//!
//! One generic body serves all, through `pulp`; nothing below this file asks which machine it is
//! on. The choice is part of the numerics fingerprint: fused multiply-add and the number of lanes
//! that a sum is split over change the last bits.

use std::fmt;

use pulp::{Scalar, Simd, WithSimd};
use snel_core::engine::Fingerprint;

/// A vector instruction set that is present on this machine.
#[derive(Debug, Clone, Copy)]
pub enum InstructionSet {
    /// 16 lanes, 32 registers, fused multiply-add.
    #[cfg(target_arch = "x86_64")]
    Avx512(pulp::x86::V4),
    /// 8 lanes, 16 registers, fused multiply-add.
    #[cfg(target_arch = "x86_64")]
    Avx2(pulp::x86::V3),
    /// 4 lanes, 32 registers, fused multiply-add.
    #[cfg(target_arch = "aarch64")]
    Neon(pulp::aarch64::Neon),
    /// One lane, no fused multiply-add: any machine.
    Portable(Scalar),
}

impl InstructionSet {
    /// All that this machine has, best first.
    pub fn present() -> Vec<Self> {
        let mut sets = Vec::new();
        #[cfg(target_arch = "x86_64")]
        {
            sets.extend(pulp::x86::V4::try_new().map(Self::Avx512));
            sets.extend(pulp::x86::V3::try_new().map(Self::Avx2));
        }
        #[cfg(target_arch = "aarch64")]
        sets.extend(pulp::aarch64::Neon::try_new().map(Self::Neon));
        sets.push(Self::Portable(Scalar));
        sets
    }

    /// The best that this machine has.
    pub fn best() -> Self {
        Self::present()[0]
    }

    /// What the bits of an engine on these instructions depend on; `revision` is the engine's.
    pub(crate) fn fingerprint(self, revision: u32) -> Fingerprint {
        Fingerprint {
            engine: "cpu".to_owned(),
            arithmetic: format!("{} {self}", std::env::consts::ARCH),
            revision,
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }

    /// Runs `work` compiled for this instruction set. `work`, and all that it calls, must be
    /// `#[inline(always)]`.
    #[inline(always)]
    pub(crate) fn run<W: WithSimd>(self, work: W) -> W::Output {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(simd) => Simd::vectorize(simd, work),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(simd) => Simd::vectorize(simd, work),
            #[cfg(target_arch = "aarch64")]
            Self::Neon(simd) => Simd::vectorize(simd, work),
            Self::Portable(simd) => Simd::vectorize(simd, work),
        }
    }

    /// Lanes of `f32` in a register.
    pub(crate) fn lanes(self) -> usize {
        struct Lanes;
        impl WithSimd for Lanes {
            type Output = usize;
            #[inline(always)]
            fn with_simd<S: Simd>(self, _: S) -> usize {
                S::F32_LANES
            }
        }
        self.run(Lanes)
    }
}

impl fmt::Display for InstructionSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(_) => "avx512",
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(_) => "avx2+fma",
            #[cfg(target_arch = "aarch64")]
            Self::Neon(_) => "neon",
            Self::Portable(_) => "portable",
        })
    }
}
