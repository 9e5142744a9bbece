//! What the time and the bytes of a run went into, for those who watch it.
//!
//! Invariants
//! 1. From the first assignment to the end the run is in one [`Span`] at a time, and what is in
//!    [`Tallies::seconds`] adds up to that time.
//! 2. Numbers are of this coordinator's life: a restarted one begins at zero.
//! 3. Nothing here decides anything.

use std::time::{Duration, Instant};

use snel_proto::v1;

/// What a run is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Span {
    /// Chunks are being summed: from the first assignment of a round to the last contribution.
    Compute,
    /// The coordinator adds the contributions.
    Reduce,
    /// The sum goes out, and its holders say so: up to the commit.
    Vote,
    /// There is nobody to work, or nobody is ready yet.
    Waiting,
    /// A user holds the run.
    Held,
}

impl Span {
    /// Those of a round.
    pub(crate) const ROUND: [Self; 3] = [Self::Compute, Self::Reduce, Self::Vote];

    /// Its name in metrics.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Compute => "compute",
            Self::Reduce => "reduce",
            Self::Vote => "vote",
            Self::Waiting => "waiting",
            Self::Held => "held",
        }
    }
}

/// Names of the parts of a recovery, in the order of [`Tallies::recovery_parts`].
pub(crate) const RECOVERY_PARTS: [&str; 4] = ["detect", "compute", "reduce", "vote"];

/// Upper ends of the buckets of [`Tallies::recoveries`], seconds.
pub(crate) const BUCKETS: [f64; 12] =
    [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// How long recoveries took.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Histogram {
    /// How many there were in each bucket of [`BUCKETS`], and longer ones.
    pub(crate) counts: [u64; BUCKETS.len() + 1],
    /// Seconds of all.
    pub(crate) sum: f64,
}

impl Histogram {
    fn observe(&mut self, seconds: f64) {
        self.counts[BUCKETS.partition_point(|end| *end < seconds)] += 1;
        self.sum += seconds;
    }
}

/// The counts of one run.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tallies {
    span: Option<(Span, Instant)>,
    /// Seconds spent in each [`Span`], in its order.
    pub(crate) seconds: [f64; 5],
    /// Seconds of recoveries in each of [`RECOVERY_PARTS`].
    pub(crate) recovery_parts: [f64; 4],
    /// Recoveries by the time that they took.
    pub(crate) recoveries: Histogram,
    /// Bytes of sums that workers sent.
    pub(crate) received: u64,
    /// Bytes of sums that workers were sent.
    pub(crate) sent: u64,
    /// Steps committed.
    steps: u64,
    /// Seconds of rounds that were committed, without those of recoveries.
    good: f64,
    /// Of the round at hand: its seconds, those of them that were a recovery, when the adding
    /// began and when the sum went out.
    round: f64,
    recovered: f64,
    reducing: Option<Instant>,
    voting: Option<Instant>,
    /// The longest silence of a worker that was lost since the last recovery.
    silence: Duration,
}

impl Tallies {
    /// Chunks were given out.
    pub(crate) fn assigned(&mut self, now: Instant) {
        self.enter(Span::Compute, now);
        self.reducing = None;
        self.voting = None;
    }

    /// All chunks are there.
    pub(crate) fn summing(&mut self, now: Instant) {
        self.enter(Span::Reduce, now);
        self.reducing = Some(now);
    }

    /// The sum goes out, for the first time or to one who came later.
    pub(crate) fn sum_sent(&mut self, now: Instant) {
        if self.voting.is_none() {
            self.enter(Span::Vote, now);
            self.voting = Some(now);
        }
    }

    /// The round is decided.
    pub(crate) fn decided(&mut self, redo: bool, now: Instant) {
        self.enter(Span::Waiting, now);
        if !redo {
            self.good += (self.round - self.recovered).max(0.0);
            self.steps += 1;
        }
        (self.round, self.recovered) = (0.0, 0.0);
        (self.reducing, self.voting) = (None, None);
    }

    /// A worker that took part is gone after so long a silence.
    pub(crate) fn lost(&mut self, silence: Duration) {
        self.silence = self.silence.max(silence);
    }

    /// A commit, the first `time` after a loss, is at hand.
    pub(crate) fn recovered(&mut self, time: Duration, now: Instant) {
        self.settle(now);
        let loss = now.checked_sub(time).unwrap_or(now);
        let voting = self.voting.unwrap_or(now).max(loss);
        let reducing = self.reducing.unwrap_or(voting).clamp(loss, voting);
        let silence = std::mem::take(&mut self.silence);
        let parts = [silence, reducing - loss, voting - reducing, now - voting];
        for (sum, part) in self.recovery_parts.iter_mut().zip(parts) {
            *sum += part.as_secs_f64();
        }
        self.recoveries.observe(time.as_secs_f64());
        self.recovered += time.as_secs_f64();
    }

    /// How things are: brings the seconds up to date.
    pub(crate) fn look(&mut self, alone: bool, held: bool, now: Instant) {
        let Some((span, _)) = self.span else { return };
        let in_round = Span::ROUND.contains(&span);
        match (in_round, alone, held) {
            (true, false, _) => self.settle(now),
            (_, _, true) => self.enter(Span::Held, now),
            (_, _, false) => self.enter(Span::Waiting, now),
        }
    }

    /// The run is over.
    pub(crate) fn ended(&mut self, now: Instant) {
        self.settle(now);
        self.span = None;
    }

    /// Share of the time, since the first assignment and but for pauses, that went into committed
    /// steps and not into recoveries; none before there was any.
    pub(crate) fn goodput(&self) -> Option<f64> {
        let [compute, reduce, vote, waiting, _held] = self.seconds;
        let all = compute + reduce + vote + waiting;
        (all > 0.0).then(|| (self.good / all).clamp(0.0, 1.0))
    }

    /// What the steps so far took.
    pub(crate) fn spending(&self) -> v1::RunSpending {
        let [compute_s, reduce_s, vote_s, waiting_s, _held] = self.seconds;
        let (bytes_received, bytes_sent) = (self.received, self.sent);
        let steps = self.steps;
        v1::RunSpending {
            steps,
            compute_s,
            reduce_s,
            vote_s,
            waiting_s,
            bytes_received,
            bytes_sent,
        }
    }

    fn enter(&mut self, span: Span, now: Instant) {
        self.settle(now);
        self.span = Some((span, now));
    }

    /// Adds the time since the last look.
    fn settle(&mut self, now: Instant) {
        let Some((span, since)) = &mut self.span else { return };
        let passed = now.saturating_duration_since(*since).as_secs_f64();
        *since = now;
        self.seconds[*span as usize] += passed;
        if Span::ROUND.contains(span) {
            self.round += passed;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-9
    }

    /// A round of 8 + 1 + 1 s from `start`.
    fn step(tallies: &mut Tallies, at: impl Fn(u64) -> Instant, start: u64) {
        tallies.assigned(at(start));
        tallies.summing(at(start + 8));
        tallies.sum_sent(at(start + 9));
        tallies.sum_sent(at(start + 9));
        tallies.decided(false, at(start + 10));
    }

    #[test]
    fn spans_add_up_to_the_time_that_passed() {
        let zero = Instant::now();
        let at = |s| zero + Duration::from_secs(s);
        let mut tallies = Tallies::default();
        tallies.look(true, false, at(0));
        assert_eq!(tallies.goodput(), None, "nothing was given out yet");
        step(&mut tallies, at, 1);
        tallies.look(false, true, at(11));
        tallies.look(false, false, at(50));
        step(&mut tallies, at, 51);
        tallies.ended(at(61));
        tallies.look(false, false, at(99));
        assert_eq!(tallies.seconds, [16.0, 2.0, 2.0, 1.0, 39.0]);
        let told = tallies.spending();
        assert_eq!((told.steps, told.compute_s, told.waiting_s), (2, 16.0, 1.0));
        assert!(near(tallies.goodput().unwrap(), 20.0 / 21.0), "a pause does not count");
    }

    #[test]
    fn a_recovery_is_split_at_the_sum() {
        let zero = Instant::now();
        let at = |s| zero + Duration::from_secs(s);
        let mut tallies = Tallies::default();
        tallies.assigned(at(0));
        tallies.lost(Duration::from_secs(2));
        tallies.assigned(at(4));
        tallies.summing(at(9));
        tallies.sum_sent(at(10));
        tallies.recovered(Duration::from_secs(9), at(13));
        tallies.decided(false, at(13));
        assert_eq!(tallies.recovery_parts, [2.0, 5.0, 1.0, 3.0]);
        assert!(near(tallies.recoveries.sum, 9.0));
        assert_eq!(tallies.recoveries.counts[10], 1, "9 s are at most 10");
        assert!(near(tallies.goodput().unwrap(), 4.0 / 13.0));
    }

    #[test]
    fn a_loss_while_votes_come_in_costs_the_vote_only() {
        let zero = Instant::now();
        let at = |s| zero + Duration::from_secs(s);
        let mut tallies = Tallies::default();
        tallies.assigned(at(0));
        tallies.summing(at(8));
        tallies.sum_sent(at(9));
        tallies.recovered(Duration::from_secs(3), at(14));
        assert_eq!(tallies.recovery_parts, [0.0, 0.0, 0.0, 3.0]);
    }

    #[test]
    fn repeated_rounds_and_lonely_times_are_no_goodput() {
        let zero = Instant::now();
        let at = |s| zero + Duration::from_secs(s);
        let mut tallies = Tallies::default();
        tallies.assigned(at(0));
        tallies.summing(at(1));
        tallies.sum_sent(at(1));
        tallies.decided(true, at(2));
        tallies.assigned(at(2));
        // All workers are gone.
        tallies.look(true, false, at(3));
        tallies.look(true, false, at(8));
        assert_eq!(tallies.seconds, [2.0, 0.0, 1.0, 5.0, 0.0]);
        assert_eq!(tallies.goodput(), Some(0.0));
    }
}
