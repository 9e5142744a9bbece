//! How many steps to ask an engine for before it is heard of again.
//!
//! The number changes no bit. It is small enough that a stop, the live display and other workers'
//! wishes are attended to within a blink, and large enough that asking costs nothing.

use std::time::Duration;

/// Most steps that are asked for at once.
const MOST: u64 = 64;
/// Below this there may be more of them, above four times this there must be fewer.
const SHORT: Duration = Duration::from_millis(50);

/// The number, as it follows the time that steps take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace(u64);

impl Default for Pace {
    fn default() -> Self {
        Self(1)
    }
}

impl Pace {
    /// Steps to ask for, 1 to 64.
    pub(crate) fn steps(self) -> u64 {
        self.0
    }

    /// Learns that what was asked for took `time`.
    pub(crate) fn took(&mut self, time: Duration) {
        if time < SHORT {
            self.0 = (2 * self.0).min(MOST);
        } else if time > 4 * SHORT {
            self.0 = (self.0 / 2).max(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Steps of a microsecond are asked for by the most, steps of a second one by one.
    #[test]
    fn follows_the_time_that_steps_take() {
        let settle = |pace: &mut Pace, step: Duration| {
            for _ in 0..20 {
                pace.took(step * pace.steps() as u32);
            }
            pace.steps()
        };
        let mut pace = Pace::default();
        assert_eq!(pace.steps(), 1);
        assert_eq!(settle(&mut pace, Duration::from_micros(1)), MOST);
        assert_eq!(settle(&mut pace, Duration::from_millis(10)), 16);
        assert_eq!(settle(&mut pace, Duration::from_secs(1)), 1);
    }
}
