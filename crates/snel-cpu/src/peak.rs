//! How fast this machine multiplies and adds: the yardstick of the engine's speed.

use std::time::{Duration, Instant};

use pulp::{Simd, WithSimd};

use crate::crew::CpuError;
use crate::instruction_set::InstructionSet;
use crate::team::Team;

/// Independent sums: enough to hide the latency of a multiply-add, few enough for 16 registers.
const SUMS: usize = 12;
/// Steps between looks at the clock: a few microseconds.
const STEPS: u32 = 2000;

/// A loop of multiply-adds on registers, on several threads.
pub struct Peak {
    set: InstructionSet,
    team: Team,
    /// Operations that each thread did; a cache line of its own for each.
    done: Vec<Done>,
}

#[repr(align(128))]
struct Done(f64);

impl Peak {
    /// A loop for `threads` threads.
    ///
    /// # Errors
    /// [`CpuError`] if the system gives no threads.
    pub fn new(threads: usize, set: InstructionSet) -> Result<Self, CpuError> {
        let team = Team::new(threads).map_err(|source| CpuError { threads, source })?;
        Ok(Self { set, team, done: (0..threads).map(|_| Done(0.0)).collect() })
    }

    /// Operations a second of all threads together over about `time`, in units of `10^9`. A
    /// multiply-add counts two.
    pub fn measure(&mut self, time: Duration) -> f64 {
        let set = self.set;
        let started = Instant::now();
        self.team.for_each(&mut self.done, |done| {
            done.0 = 0.0;
            while started.elapsed() < time {
                done.0 += set.run(Burst);
            }
        });
        let operations: f64 = self.done.iter().map(|done| done.0).sum();
        operations / started.elapsed().as_secs_f64() / 1e9
    }
}

struct Burst;

impl WithSimd for Burst {
    /// Operations done.
    type Output = f64;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> f64 {
        let hidden = |v: f32| simd.splat_f32s(std::hint::black_box(v));
        let (factor, term) = (hidden(0.5), hidden(1.0));
        let mut sums = [hidden(0.0); SUMS];
        for _ in 0..STEPS {
            for sum in &mut sums {
                *sum = simd.mul_add_e_f32s(*sum, factor, term);
            }
        }
        std::hint::black_box(sums);
        2.0 * f64::from(STEPS) * (SUMS * S::F32_LANES) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Slower than a tenth of an operation a nanosecond is no processor that is still made.
    #[test]
    fn something_is_measured() {
        for set in InstructionSet::present() {
            let gflops = Peak::new(2, set).unwrap().measure(Duration::from_millis(5));
            assert!(gflops > 0.1 && gflops < 1e5, "{set}: {gflops}");
        }
    }
}
