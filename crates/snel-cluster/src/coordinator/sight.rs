//! Runs and workers of a coordinator as others see them.

use std::collections::BTreeMap;
use std::sync::Arc;

use snel_proto::v1;

use crate::coordinator::control_service::phase_word;
use crate::coordinator::hub::Hub;
use crate::coordinator::journal::{Journal, now_ms};
use crate::coordinator::runs::Runs;
use crate::coordinator::status::Seen;
use crate::machine::{MemberId, Stage};
use crate::watching::Source;
use crate::watching::curves::Curves;
use crate::watching::state::{RunState, State, WorkerState};
use crate::wire;

/// All workers.
pub(super) fn workers(hub: &Hub) -> Vec<v1::WorkerStatus> {
    let mut members: BTreeMap<MemberId, (Stage, f64)> = BTreeMap::new();
    for (_, _, view) in hub.views() {
        members.extend(view.inside.borrow().members.iter().map(|(id, s, v)| (*id, (*s, *v))));
    }
    let status = |seen: Seen| {
        let member = members.get(&seen.member).copied();
        v1::WorkerStatus {
            state: word(&seen, member.map(|(stage, _)| stage)).to_owned(),
            chunks_per_second: member.map_or(0.0, |(_, speed)| speed),
            name: seen.hello.name,
            host: seen.hello.host,
            version: seen.hello.version,
            threads: seen.hello.threads,
            run: seen.run,
            silent_ms: seen.silent.as_millis() as u64,
            ..v1::WorkerStatus::default()
        }
    };
    hub.workers().into_iter().map(status).collect()
}

/// What a worker does.
fn word(seen: &Seen, stage: Option<Stage>) -> &'static str {
    match stage {
        _ if seen.leaving => "draining",
        _ if seen.run.is_empty() => "idle",
        None | Some(Stage::Preparing) => "preparing",
        Some(Stage::Waiting | Stage::Learning | Stage::Returning) => "joining",
        Some(Stage::Active) => "active",
        Some(Stage::Stopping | Stage::Done) => "stopping",
    }
}

/// What the pages of a coordinator show.
pub(super) struct Sight {
    pub(super) hub: Arc<Hub>,
    pub(super) runs: Arc<Runs>,
}

impl Source for Sight {
    fn state(&self) -> State {
        let runs = self.hub.views().into_iter().map(|(name, workers_wanted, view)| {
            let inside = view.inside.borrow().clone();
            let status = view.status.borrow().clone();
            RunState {
                name,
                phase: phase_word(status.phase()),
                step: status.step,
                steps: status.steps,
                epoch: status.epoch,
                step_ms: status.step_ms,
                workers: status.workers,
                workers_wanted,
                recoveries: status.recoveries,
                last_recovery_ms: status.last_recovery_ms,
                digest_mismatches: status.digest_mismatches,
                error: status.error.as_ref().map(wire::error_text),
                validation: inside.validation,
                tallies: inside.tallies,
            }
        });
        let workers = workers(&self.hub).into_iter().map(|w| WorkerState {
            name: w.name,
            host: w.host,
            state: w.state,
            run: w.run,
            threads: w.threads,
            chunks_per_second: w.chunks_per_second,
            silent_ms: w.silent_ms,
        });
        State {
            incarnation: self.hub.incarnation,
            version: env!("CARGO_PKG_VERSION"),
            now_ms: now_ms(),
            runs: runs.collect(),
            workers: workers.collect(),
        }
    }

    fn journal(&self) -> &Journal {
        &self.hub.journal
    }

    fn curves(&self, run: &str) -> Curves {
        Curves::read(&self.runs.folder(run).join("metrics.jsonl"))
    }
}
