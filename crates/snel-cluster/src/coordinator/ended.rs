//! Runs that ended under a coordinator before this one: to be listed and fetched, and no more.

use std::collections::HashSet;

use snel_proto::v1;
use snel_train::config::Config;
use snel_train::model_file::ModelFile;
use snel_train::run_folder::RunFolder;
use tokio::sync::{broadcast, watch};

use crate::coordinator::hub::Run;
use crate::coordinator::runner::storage::{NO_MODEL, make_model};
use crate::coordinator::runner::{Inbox, RunnerError, Submission};
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
    let (phase, model_step, error) = match history.outcome().and_then(Ending::of_word) {
        Some(Ending::Finished | Ending::StoppedEarly) => match model_of(folder, config) {
            Ok(Some(step)) => (v1::RunPhase::Finished, step, None),
            Ok(None) => (v1::RunPhase::Failed, 0, Some(NO_MODEL.to_owned())),
            Err(error) => (v1::RunPhase::Failed, 0, Some(error.to_string())),
        },
        Some(Ending::Interrupted) => (v1::RunPhase::Cancelled, 0, None),
        Some(Ending::Failed) | None => {
            let text = "the run failed under an earlier coordinator";
            (v1::RunPhase::Failed, 0, Some(text.to_owned()))
        }
    };
    let error = error.map(|message| v1::Error {
        code: "run_failed".to_owned(),
        message,
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
        model_step,
        error,
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

/// The step of a finished run's model. The coordinator before may have been killed after it wrote
/// down the end, and before it made the model of this run or of this continuation.
fn model_of(folder: &RunFolder, config: &Config) -> Result<Option<u64>, RunnerError> {
    match make_model(&folder.checkpoints(config.train.keep), &folder.model())? {
        // The checkpoints may have been deleted since.
        None if folder.model().exists() => Ok(Some(ModelFile::load(&folder.model())?.header.step)),
        made => Ok(made),
    }
}
