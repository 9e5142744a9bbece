//! Runs that ended under a coordinator before this one: to be listed and fetched, and no more.

use std::collections::HashSet;

use snel_proto::v1;
use snel_train::config::Config;
use snel_train::model_file::ModelFile;
use snel_train::run_folder::RunFolder;
use tokio::sync::{broadcast, watch};

use crate::coordinator::hub::Run;
use crate::coordinator::runner::{Inbox, Submission};
use crate::coordinator::status::{Inside, RunView};
use crate::machine::Ending;
use crate::record::History;
use crate::watching::curves::Curves;

/// The run in `folder` as its record tells it. What it is told, nobody hears.
pub(super) fn ended(
    name: &str,
    folder: &RunFolder,
    config: &Config,
    submission: &Submission,
    history: &History,
) -> Run {
    let model = ModelFile::load(&folder.model()).ok();
    let phase = match history.outcome().and_then(Ending::of_word) {
        Some(Ending::Interrupted) => v1::RunPhase::Cancelled,
        // Steps alone do not make a run finished: its bound may never have been finite.
        Some(Ending::Finished | Ending::StoppedEarly) if model.is_some() => v1::RunPhase::Finished,
        _ => v1::RunPhase::Failed,
    };
    let failed = (phase == v1::RunPhase::Failed).then(|| v1::Error {
        code: "run_failed".to_owned(),
        message: "the run ended without a model under an earlier coordinator".to_owned(),
        run: name.to_owned(),
        step: history.next_step(),
        ..v1::Error::default()
    });
    let status = v1::RunStatus {
        run: name.to_owned(),
        phase: phase.into(),
        step: history.next_step(),
        steps: config.train.steps,
        epoch: history.epoch(),
        workers_wanted: submission.wanted,
        model_step: model.map_or(0, |model| model.header.step),
        error: failed,
        ..v1::RunStatus::default()
    };
    let validation = Curves::read(&folder.metrics()).validations.pop();
    Run {
        order: submission.order,
        wanted: submission.wanted,
        inbox: Inbox::closed(),
        view: RunView {
            status: watch::channel(status).1,
            inside: watch::channel(Inside { validation, ..Inside::default() }).1,
            updates: broadcast::channel(1).0,
        },
        excluded: HashSet::new(),
        ended: true,
    }
}
