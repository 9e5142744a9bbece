//! Who is waited for, and for how long.

use std::time::{Duration, Instant};

use crate::machine::member::Member;
use crate::machine::round::{Round, State, Work};
use crate::machine::{Action, Fate, Machine, MemberId, Stage};

/// How much longer than expected a worker may take.
const LATENESS: u32 = 8;

impl Machine {
    /// Sends away members that are silent, or alive but getting nowhere.
    pub(super) fn look_for_the_stuck(&mut self, now: Instant, out: &mut Vec<Action>) {
        let since = |then: Instant| now.saturating_duration_since(then);
        let mut stuck = Vec::new();
        // Those who wait in a group's sum, and those of them who wait too long.
        let (mut summing, mut late) = (0, 0);
        for (id, m) in &self.members {
            let sums = self.sums_in_group(*id);
            summing += usize::from(sums);
            let (silent, waited) = (since(m.last_heard), since(m.last_progress));
            if silent > self.settings.budget {
                stuck.push((*id, format!("{} was silent for {silent:.1?}", m.name)));
            } else if let Some((what, limit)) = self.deadline(*id, m)
                && waited > limit
            {
                if sums {
                    // One of them is to blame, and the others wait for it.
                    late += 1;
                    continue;
                }
                let name = &m.name;
                let text = format!("{name} lives, but made no progress for {waited:.1?} ({what})");
                stuck.push((*id, text));
            }
        }
        for (id, reason) in stuck {
            out.push(Action::Note(reason.clone()));
            self.dismiss(id, &reason, Fate::Cut, now, out);
        }
        self.look_after_group(late > 0 && late == summing, now, out);
    }

    /// Whether it owes its word on what its group has summed.
    fn sums_in_group(&self, id: MemberId) -> bool {
        let owes = |round: &Round| match &round.state {
            State::Reducing(reduction) => reduction.awaited(id).is_some(),
            _ => false,
        };
        self.result.is_none() && self.round.as_ref().is_some_and(owes)
    }

    /// What a member has to do, and how long it may take without progress; none if nobody waits.
    fn deadline(&self, id: MemberId, m: &Member) -> Option<(&'static str, Duration)> {
        let patience = self.settings.patience;
        if self.result.is_some() {
            let leads = self.membership.first() == Some(&id);
            return leads.then_some(("storing the result", patience));
        }
        match m.stage {
            Stage::Stopping => return Some(("saving a checkpoint", patience)),
            // While the run is held before the round where it stands, it has nothing to do.
            Stage::Learning if m.stands_before(self.next) => return None,
            // The run may have nobody else, and sums for it pile up.
            Stage::Learning => return Some(("catching up", patience)),
            Stage::Active => {}
            Stage::Preparing | Stage::Waiting | Stage::Returning | Stage::Done => return None,
        }
        let round = self.round.as_ref()?;
        // What others took, or the same worker before, is a measure of what it may take.
        let budget = |expected: Duration| self.settings.budget.max(expected * LATENESS);
        Some(match round.awaited(id)? {
            Work::Vote => ("confirming the sum", budget(round.longest)),
            Work::Chunks(n) => {
                let time = |speed: f64| Duration::from_secs_f64(f64::from(n) / speed.max(1e-6));
                // For whoever nobody can be compared with: it validates, or was never timed.
                let most = patience.max(round.longest * LATENESS);
                let limit = match m.speed {
                    Some(speed) if m.stands_before(self.next) => budget(time(speed)),
                    // Not there yet. Whoever gave its part had the same to do before it, such as
                    // a validation; a slower member takes longer in proportion. A measured speed
                    // can be far off, and then it is no measure.
                    Some(speed) if round.longest > Duration::ZERO => {
                        let slower = (self.fastest() / speed.max(1e-6)).clamp(1.0, 1e6);
                        budget(round.longest.mul_f64(slower) + time(speed)).min(most)
                    }
                    _ => most,
                };
                ("computing its chunks", limit)
            }
        })
    }

    /// Chunks a second of the fastest member.
    fn fastest(&self) -> f64 {
        self.members.values().filter_map(|m| m.speed).fold(0.0, f64::max)
    }

    /// Whom the run waits for, and why, for people.
    pub fn waiting_for(&self) -> Vec<String> {
        let mut waits: Vec<String> = Vec::new();
        if self.hold.is_some() {
            let missing = self.expected.iter().filter(|name| !self.is_back(name));
            waits.extend(missing.map(|name| format!("{name} (to come back)")));
        }
        for (id, m) in &self.members {
            waits.extend(self.deadline(*id, m).map(|(what, _)| format!("{} ({what})", m.name)));
        }
        waits
    }
}
