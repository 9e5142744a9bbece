//! When training has gone wrong, and what to say then.
//!
//! One bad step is no reason to stop; a long row of them is. The counters are part of the
//! checkpoint, so a resumed run stops where the undisturbed one would.

use snel_core::partial::StepError;
use snel_core::statistics::Statistics;

use crate::checkpoint::Streaks;

/// Refused steps in a row that end a run.
const MAX_REFUSED: u64 = 20;
/// Steps in a row with a collapsed sample or a lagging `b` that end a run.
const MAX_SICK: u64 = 500;
/// A sample of fewer effective points has no say.
const COLLAPSED_ESS: f64 = 2.0;
/// `b` this far from `log Ẑ`, in nats, makes the bound meaningless.
const LAG: f64 = 5.0;

/// Chains that accept fewer moves than this stand still.
const STUCK: f64 = 0.01;

/// Why a run was stopped.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Divergence {
    /// No step can be applied any more.
    #[error("{MAX_REFUSED} steps in a row were refused: {last}")]
    Refused {
        /// The last refusal.
        last: StepError,
    },
    /// One or two samples carry all the weight.
    #[error(
        "the samples collapsed: for {MAX_SICK} steps fewer than {COLLAPSED_ESS} of {samples} were effective"
    )]
    Collapsed {
        /// Samples of a step.
        samples: u64,
    },
    /// Chains do not move.
    #[error(
        "the chains stand still: for {MAX_SICK} steps they accepted fewer than one move in 100 (now {acceptance:.1e})"
    )]
    Stuck {
        /// Acceptance probability of a move.
        acceptance: f64,
    },
    /// Chains of posteriors do not move.
    #[error(
        "the chains of the posteriors stand still: for {MAX_SICK} steps they accepted fewer than one move in 100 (now {acceptance:.1e})"
    )]
    StuckPosteriors {
        /// Acceptance probability of a move.
        acceptance: f64,
    },
    /// `b` does not follow.
    #[error(
        "b does not follow log Z: for {MAX_SICK} steps it was more than {LAG} nats away (now {residual:+.1})"
    )]
    Lagging {
        /// `log Ẑ - b`.
        residual: f64,
    },
}

impl Divergence {
    /// What the user may try.
    pub fn hint(&self) -> String {
        match self {
            Self::Refused { last: StepError::WeightOverflow { .. } } | Self::Collapsed { .. } => {
                "the proposal does not cover the model: add `proposal.defensive = 0.05`, raise \
                 `proposal.scale` or `train.samples`, use `model.base = \"proposal\"`, or lower \
                 `optim.lr`"
            }
            Self::Refused { .. } => {
                "lower `optim.lr`, or set `optim.clip_norm = 10.0`; check the data for extreme rows; \
                 with chains lower `objective.step_size`, and `objective.posterior_step_size` of a vae"
            }
            Self::Stuck { .. } => {
                "lower `objective.step_size`, or set `objective.adapt = true`; lower `optim.lr`"
            }
            Self::StuckPosteriors { .. } => "lower `objective.posterior_step_size`",
            Self::Lagging { .. } => "raise `optim.b_lr`, or lower `optim.lr`",
        }
        .to_owned()
    }
}

/// Notes a refused step.
///
/// # Errors
/// [`Divergence`] when there were too many in a row.
pub fn after_refusal(streaks: &mut Streaks, error: StepError) -> Result<(), Divergence> {
    streaks.refused += 1;
    if streaks.refused >= MAX_REFUSED { Err(Divergence::Refused { last: error }) } else { Ok(()) }
}

/// Notes an applied step.
///
/// # Errors
/// [`Divergence`] when the signs have lasted too long.
pub fn after_step(streaks: &mut Streaks, statistics: &Statistics) -> Result<(), Divergence> {
    let count = |streak: &mut u64, sick: bool| {
        *streak = if sick { *streak + 1 } else { 0 };
        *streak >= MAX_SICK
    };
    streaks.refused = 0;
    if statistics.chains > 0 {
        let acceptance = statistics.acceptance();
        if count(&mut streaks.stuck, acceptance < STUCK) {
            return Err(Divergence::Stuck { acceptance });
        }
        return match statistics.posterior_acceptance() {
            Some(acceptance) if count(&mut streaks.stuck_posteriors, acceptance < STUCK) => {
                Err(Divergence::StuckPosteriors { acceptance })
            }
            _ => Ok(()),
        };
    }
    let samples = statistics.samples;
    let ess = statistics.ess_fraction() * samples as f64;
    // A step of a few samples has few effective ones; that is no collapse.
    let few = samples as f64 <= 4.0 * COLLAPSED_ESS;
    if count(&mut streaks.collapsed, ess < COLLAPSED_ESS && !few) {
        return Err(Divergence::Collapsed { samples });
    }
    let residual = statistics.residual();
    // All weights zero gives -inf, a lag like any other.
    let lags = residual.is_nan() || residual.abs() > LAG;
    if count(&mut streaks.lagging, lags) {
        return Err(Divergence::Lagging { residual });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use snel_core::mcmc::Fared;
    use snel_core::statistics::Tally;

    fn statistics(us: &[f64]) -> Statistics {
        let mut tally = Tally::default();
        us.iter().for_each(|&u| assert!(tally.add_sample(u, u.exp())));
        let mut s = Statistics::default();
        s.add(&tally);
        s
    }

    #[test]
    fn only_long_rows_stop_a_run() {
        let mut streaks = Streaks::default();
        let refusal = StepError::NotFinite { count: 3 };
        for _ in 0..MAX_REFUSED - 1 {
            after_refusal(&mut streaks, refusal.clone()).unwrap();
        }
        after_step(&mut streaks, &statistics(&[0.0; 50])).unwrap();
        assert_eq!(streaks, Streaks::default());
        for _ in 0..MAX_REFUSED - 1 {
            after_refusal(&mut streaks, refusal.clone()).unwrap();
        }
        assert!(after_refusal(&mut streaks, refusal).is_err());
    }

    #[test]
    fn collapse_and_lag_are_told_apart() {
        let run = |us: &[f64]| {
            let mut streaks = Streaks::default();
            (0..MAX_SICK).find_map(|_| after_step(&mut streaks, &statistics(us)).err())
        };
        let mut collapsed = [-30.0; 50];
        collapsed[0] = 3.0;
        assert!(matches!(run(&collapsed), Some(Divergence::Collapsed { samples: 50 })));
        assert!(matches!(run(&[-6.0; 50]), Some(Divergence::Lagging { .. })));
        assert_eq!(run(&[0.5; 50]), None);
    }

    #[test]
    fn chains_that_stand_still_stop_a_run_whichever_they_are() {
        let run = |acceptance: f64, of_posteriors: Option<f64>| {
            let mut tally = Tally::default();
            tally.add_chain(-1.0);
            tally.add_moves(Fared { acceptance, ..Fared::default() });
            if let Some(of_posteriors) = of_posteriors {
                let acceptance = 2.0 * of_posteriors;
                tally.add_posteriors(2, Fared { acceptance, ..Fared::default() });
            }
            let mut s = Statistics::default();
            s.add(&tally);
            let mut streaks = Streaks::default();
            (0..MAX_SICK).find_map(|_| after_step(&mut streaks, &s).err())
        };
        assert_eq!(run(0.5, None), None);
        assert_eq!(run(0.5, Some(0.5)), None);
        assert_eq!(run(0.001, Some(0.5)), Some(Divergence::Stuck { acceptance: 0.001 }));
        let stuck = Divergence::StuckPosteriors { acceptance: 0.001 };
        assert_eq!(run(0.5, Some(0.001)), Some(stuck));
    }
}
