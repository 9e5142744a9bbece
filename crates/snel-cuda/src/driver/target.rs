//! What to compile for: from a GPU's compute capability to an architecture.

use std::fmt;

/// The first architecture whose tensor cores multiply `bf16`, as the kernels do.
pub const OLDEST: Capability = Capability { major: 8, minor: 0 };

/// A GPU's compute capability.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Capability {
    /// Generation.
    pub major: u32,
    /// Member of the generation.
    pub minor: u32,
}

impl Capability {
    /// `90` for 9.0, as in `sm_90`.
    pub fn number(self) -> u32 {
        self.major * 10 + self.minor
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// What the compiler makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Target {
    /// Machine code of one architecture.
    Machine(u32),
    /// PTX of an architecture that is older than the GPU: the driver translates it.
    Ptx(u32),
}

impl Target {
    /// The best that a compiler which knows the architectures `supported` has for a GPU.
    ///
    /// # Errors
    /// [`TargetError`].
    pub fn of(gpu: Capability, supported: &[u32]) -> Result<Self, TargetError> {
        if gpu < OLDEST {
            return Err(TargetError::TooOld(gpu));
        }
        let number = gpu.number();
        if supported.contains(&number) {
            return Ok(Self::Machine(number));
        }
        // PTX runs on every later architecture, as long as it uses nothing of one alone.
        let older = supported.iter().copied().filter(|&s| s < number && s >= OLDEST.number()).max();
        older.map(Self::Ptx).ok_or(TargetError::Unknown(gpu))
    }

    /// The compiler's word for it.
    pub fn architecture(self) -> String {
        match self {
            // With the instructions that are Hopper's alone.
            Self::Machine(90) => "sm_90a".to_owned(),
            Self::Machine(number) => format!("sm_{number}"),
            Self::Ptx(number) => format!("compute_{number}"),
        }
    }
}

/// Why there is nothing to compile for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// No `bf16` tensor cores.
    #[error("its compute capability is {0}; the kernels need {OLDEST} (Ampere) or later")]
    TooOld(Capability),
    /// The compiler knows neither it nor an older architecture to start from.
    #[error("its compute capability {0} is unknown to this NVRTC; install a newer one")]
    Unknown(Capability),
}

#[cfg(test)]
mod tests {
    use super::*;

    const CUDA_13: [u32; 9] = [75, 80, 86, 87, 89, 90, 100, 110, 120];

    fn target(major: u32, minor: u32) -> Result<Target, TargetError> {
        Target::of(Capability { major, minor }, &CUDA_13)
    }

    #[test]
    fn known_gpus_get_machine_code() {
        for (capability, architecture) in
            [((8, 0), "sm_80"), ((8, 6), "sm_86"), ((8, 9), "sm_89"), ((9, 0), "sm_90a")]
        {
            let target = target(capability.0, capability.1).unwrap();
            assert_eq!(target.architecture(), architecture);
        }
    }

    #[test]
    fn newer_gpus_get_ptx_without_features_of_one_architecture() {
        assert_eq!(target(13, 0).unwrap().architecture(), "compute_120");
        let old_compiler =
            Target::of(Capability { major: 10, minor: 0 }, &[80, 86, 89, 90]).unwrap();
        assert_eq!(old_compiler.architecture(), "compute_90");
    }

    #[test]
    fn older_gpus_are_refused() {
        assert_eq!(target(7, 5), Err(TargetError::TooOld(Capability { major: 7, minor: 5 })));
        let none = Target::of(Capability { major: 8, minor: 6 }, &[90, 100]);
        assert!(matches!(none, Err(TargetError::Unknown(_))));
    }
}
