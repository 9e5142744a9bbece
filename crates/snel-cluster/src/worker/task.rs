//! One run, from the assignment to its end, on a worker.

use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use snel_core::collective::CollectiveError;
use snel_core::rows::Rows;
use snel_proto::v1;
use snel_proto::v1::work_request::Message as Out;
use snel_proto::v1::work_response::Message as In;
use snel_train::checkpoint::{Checkpoint, Progress};
use snel_train::compute::{AnyEngine, Compute};
use snel_train::config::Config;
use snel_train::model_file::ModelHeader;
use snel_train::run_folder::keys_of_steps;
use snel_train::setup::{Setup, prepare};
use snel_train::store::StoreError;
use snel_train::trainee::Trainee;
use snel_train::trainer::{Outcome, TrainError, Trainer};

use crate::frame::Assembler;
use crate::limits::{state_limit, sum_limit};
use crate::machine::{self, Position, RoundId, Shape};
use crate::wire;
use crate::worker::collective::{GrpcCollective, lock};
use crate::worker::session::Session;
use crate::worker::sink::RemoteSink;
use crate::worker::store::RemoteStore;

/// Data, problem and engine of a run.
pub(super) struct Task {
    run: String,
    text: String,
    config: Config,
    setup: Setup,
    engine: AnyEngine,
    shape: Shape,
    header: ModelHeader,
}

impl Task {
    pub(super) fn is_of(&self, assignment: &v1::Assignment) -> bool {
        self.run == assignment.run && self.text == assignment.config
    }

    /// Reads the data, fits the proposal and makes the engine.
    pub(super) fn prepare(
        assignment: &v1::Assignment,
        compute: &Compute,
    ) -> Result<Self, Box<v1::Error>> {
        let v1::Assignment { run, config: text, .. } = assignment;
        let config = Config::parse(text, "the config of the run", &[])
            .map_err(|e| Box::new(wire::error_to_wire("config", &e, e.hint().map(Into::into))))?;
        let setup = prepare(&config, &std::env::temp_dir())
            .map_err(|e| Box::new(wire::error_to_wire("setup", &e, e.hint())))?;
        let rows: Arc<dyn Rows> = setup.dataset.train.clone();
        let engine = compute
            .any(&setup.problem, rows)
            .map_err(|e| Box::new(wire::error_to_wire("engine", &e, None)))?;
        let fingerprint = engine.engine().fingerprint().to_string();
        let header = setup.model_header(config.seed, fingerprint.clone());
        // Model, units and what the steps depend on in one text: equal problems have equal digests,
        // also if a run is resumed for longer.
        let problem = (&header, keys_of_steps(&config));
        let problem = serde_json::to_string(&problem).unwrap_or_default();
        let shape = Shape {
            parameters: setup.problem.layout.len() as u64,
            chunks: setup.batching.plan(0, 0).n_chunks(),
            carried: setup.problem.carried_words(),
            chains: setup.problem.chain_values() as u64,
            problem: format!("{:016x}", wire::digest(problem.as_bytes()) >> 64),
            fingerprint,
        };
        let (run, text) = (run.clone(), text.clone());
        Ok(Self { run, text, config, setup, engine, shape, header })
    }
}

/// Takes part in the run until it ends or goes on without this worker.
pub(super) fn take_part(task: &mut Task, session: &Arc<Mutex<Session>>, say: fn(&str)) {
    lock(session).enter(&task.run, task.shape.clone());
    let run = task.run.clone();
    let progress = start(task, &mut lock(session));
    let outcome = progress.and_then(|progress| train(task, progress, session));
    match outcome {
        Ok(outcome) => {
            let step = task.engine.engine().head().step;
            let outcome = wire::outcome_to_wire(match outcome {
                Outcome::Finished => machine::Outcome::Finished,
                Outcome::StoppedEarly => machine::Outcome::StoppedEarly,
                Outcome::Interrupted { .. } => machine::Outcome::Interrupted,
            });
            let finished = v1::Finished { run, step, outcome: outcome.into() };
            lock(session).send(Out::Finished(finished));
        }
        Err(
            TrainError::Collective(CollectiveError::SentAway(reason))
            | TrainError::Store(StoreError::Collective(CollectiveError::SentAway(reason))),
        ) => {
            say(&format!("{run}: {reason}"));
        }
        // Asked to stop before it had anything to save.
        Err(TrainError::Collective(CollectiveError::Stopped)) => {}
        Err(error) => {
            let mut wire = wire::error_to_wire("train", &error, None);
            // Every worker computes the same: what went wrong here goes wrong anywhere.
            wire.fatal = !matches!(
                error,
                TrainError::Collective(_) | TrainError::Store(_) | TrainError::File(_)
            );
            lock(session).fail(&run, &wire);
        }
    }
}

/// Waits for the state to start from and loads it.
fn start(task: &mut Task, session: &mut Session) -> Result<Progress, TrainError> {
    let mut body = Assembler::default();
    let limit = state_limit(&task.shape);
    loop {
        match session.next()? {
            In::Start(start) => {
                session.set_stored(&start);
                if start.fresh {
                    task.engine.engine_mut().restore(&task.setup.problem.initial_state())?;
                    return Ok(Progress::default());
                }
            }
            In::State(frame) => {
                let transport = |e| CollectiveError::Transport(Box::new(e));
                if let Some((_, bytes)) = body.push(frame, limit).map_err(transport)? {
                    let path = Path::new("the state of the run");
                    let checkpoint =
                        Checkpoint::from_bytes(path, &bytes).map_err(StoreError::from)?;
                    task.engine.engine_mut().restore(&checkpoint.state)?;
                    return Ok(checkpoint.progress);
                }
            }
            _ => {}
        }
    }
}

fn train(
    task: &mut Task,
    progress: Progress,
    session: &Arc<Mutex<Session>>,
) -> Result<Outcome, TrainError> {
    let step = task.engine.engine().head().step;
    // From here on it has a state: after a lost connection it says so.
    lock(session).stand(Position::before(RoundId { step, attempt: 0 }));
    let mut collective = GrpcCollective::new(session.clone(), sum_limit(&task.shape));
    let mut store = RemoteStore { session: session.clone() };
    let never = AtomicBool::new(false);
    let Task { config, setup, engine, header, .. } = task;
    let mut trainer = Trainer {
        problem: setup.problem.clone(),
        batching: setup.batching.clone(),
        engine,
        collective: &mut collective,
        valid: &setup.dataset.valid,
        settings: config.train.clone(),
        store: &mut store,
        header: header.clone(),
        progress,
        sinks: vec![Box::new(RemoteSink { session: session.clone() })],
        stop: &never,
    };
    trainer.run()
}
