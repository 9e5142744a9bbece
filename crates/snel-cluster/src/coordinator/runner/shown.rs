//! What is seen of a run from outside: its status, and what happened to it.

use std::time::{Duration, Instant};

use snel_proto::v1;

use super::Runner;
use crate::coordinator::control_service::phase_word;
use crate::coordinator::journal::Kind;
use crate::machine::{Fate, MemberId, Phase, Stage};
use crate::wire;

impl Runner {
    /// Why a worker failed, for as long as nobody else does better.
    pub(super) fn show_failure(&self, reason: &str) {
        let error = v1::Error {
            code: "worker_failed".to_owned(),
            message: reason.to_owned(),
            ..v1::Error::default()
        };
        self.status.send_modify(|status| status.error = Some(error));
    }

    /// Shows how things are.
    pub(super) fn publish(&mut self) {
        let machine = &self.machine;
        let before = self.status.borrow().phase();
        let members: Vec<_> = machine.members().map(|(id, _, stage, s)| (id, stage, s)).collect();
        let alone = !members.iter().any(|(_, stage, _)| *stage == Stage::Active);
        self.tallies.look(alone, machine.phase() == Phase::Paused, Instant::now());
        self.inside.send_modify(|inside| {
            inside.tallies = self.tallies.clone();
            inside.members = members;
        });
        if machine.phase() == Phase::Ended {
            return;
        }
        let active: Vec<String> = machine
            .members()
            .filter(|(_, _, stage, _)| *stage == Stage::Active)
            .map(|(_, name, _, _)| name.to_owned())
            .collect();
        let phase = match machine.phase() {
            Phase::Paused => v1::RunPhase::Paused,
            _ if active.is_empty() => v1::RunPhase::Waiting,
            _ => v1::RunPhase::Running,
        };
        let waiting = phase == v1::RunPhase::Waiting;
        let wanted = self.hub.wanted(&self.name);
        self.status.send_if_modified(|status| {
            let new = v1::RunStatus {
                phase: phase.into(),
                step: machine.committed(),
                epoch: machine.epoch(),
                workers: active,
                workers_wanted: wanted,
                digest_mismatches: machine.mismatches(),
                error: status.error.clone().filter(|_| waiting),
                ..status.clone()
            };
            let changed = new != *status;
            *status = new;
            changed
        });
        self.tell_phase(before);
    }

    /// For those who watch: the phase, if it is not the one before.
    pub(super) fn tell_phase(&self, before: v1::RunPhase) {
        let status = self.status.borrow();
        let now = status.phase();
        if now != before {
            let at = format!("{} at step {}", phase_word(now), status.step);
            let why = status.error.as_ref().map(|e| format!(": {}", wire::error_text(e)));
            let text = at + &why.unwrap_or_default();
            self.hub.journal.happened(&self.name, Kind::Phase, text);
        }
    }

    /// The same of a new epoch.
    pub(super) fn tell_epoch(&self, epoch: u64, members: &[MemberId]) {
        let names = members.iter().filter_map(|m| Some(self.links.get(m)?.name.as_str()));
        let text = format!("epoch {epoch}: {}", names.collect::<Vec<_>>().join(", "));
        self.hub.journal.happened(&self.name, Kind::Epoch, text);
    }

    /// The same of a worker that is sent away for a reason that people want to know.
    pub(super) fn tell_release(&self, member: MemberId, reason: &str, fate: Fate) {
        let kind = match fate {
            Fate::Free | Fate::Leaves => return,
            Fate::Again | Fate::Excluded => Kind::Note,
            Fate::Quarantined | Fate::Cut => Kind::Lost,
        };
        if let Some(link) = self.links.get(&member) {
            // A note has said already why it is cut off.
            let reason = if fate == Fate::Cut { "cut off" } else { reason };
            let text = format!("{}: {reason}", link.name);
            self.hub.journal.happened(&self.name, kind, text);
        }
    }

    /// A connection is gone.
    pub(super) fn count_loss(&mut self, member: MemberId, silence: Duration) {
        let took_part =
            self.machine.members().any(|(m, _, s, _)| m == member && s == Stage::Active);
        if let Some(link) = self.links.get(&member).filter(|_| took_part) {
            self.tallies.lost(silence);
            let text = format!("{}: its connection is gone", link.name);
            self.hub.journal.happened(&self.name, Kind::Lost, text);
        }
    }
}
