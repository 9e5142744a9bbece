//! A run is the same however many steps its engine makes at a time.

use std::ops::Range;
use std::sync::Mutex;

use snel_core::activation::Activation;
use snel_core::chunks::ChunkSet;
use snel_core::collective::Alone;
use snel_core::density::{Affine, Density, Scale};
use snel_core::energy::Energy;
use snel_core::engine::{Coarse, DensityEngine, Fingerprint, Head, SampleSet, Scored};
use snel_core::objective::Objective;
use snel_core::optim::{Applied, Optim};
use snel_core::partial::{Partial, Reduced};
use snel_core::plan::StepPlan;
use snel_core::problem::{Base, Model};
use snel_core::rows::Matrix;
use snel_core::state::State;
use snel_cpu::CpuEngine;
use snel_data::Standardise;

use crate::metrics::Validation;
use crate::trainee::{fit_b, validate};
use crate::watch::{Watched, look};

use super::*;

/// An engine that makes up to `most` steps at a time, as one on a GPU does.
struct Batches {
    engine: CpuEngine,
    most: u64,
    problem: Arc<Problem>,
    /// The longest batch.
    longest: usize,
    /// By so much every energy of a sample is off, up and down in turn; coarse, if at all.
    error: f32,
}

impl Engine for Batches {
    fn advance(
        &mut self,
        batching: &Batching,
        steps: u64,
        outcomes: &mut Vec<StepOutcome>,
    ) -> Result<(), EngineError> {
        let mut partial = room_for(&self.problem);
        let mut one = Vec::new();
        for _ in 0..steps.min(self.most) {
            advance(&mut self.engine, &mut Alone, batching, 1, &mut partial, &mut one).unwrap();
            outcomes.append(&mut one);
        }
        self.longest = self.longest.max(outcomes.len());
        Ok(())
    }
    fn fingerprint(&self) -> Fingerprint {
        self.engine.fingerprint()
    }
    fn accumulate(
        &mut self,
        plan: &StepPlan,
        chunks: &ChunkSet,
        partial: &mut Partial,
    ) -> Result<(), EngineError> {
        self.engine.accumulate(plan, chunks, partial)
    }
    fn apply(&mut self, reduced: &Reduced<'_>) -> Applied {
        self.engine.apply(reduced)
    }
    fn skip(&mut self) {
        self.engine.skip();
    }
    fn head(&self) -> Head {
        self.engine.head()
    }
    fn set_b(&mut self, b: f32) {
        self.engine.set_b(b);
    }
    fn digest(&self) -> u128 {
        self.engine.digest()
    }
    fn snapshot(&self) -> State {
        self.engine.snapshot()
    }
    fn restore(&mut self, state: &State) -> Result<(), EngineError> {
        self.engine.restore(state)
    }
}

impl Trainee for Batches {
    fn engine(&self) -> &dyn Engine {
        self
    }
    fn engine_mut(&mut self) -> &mut dyn Engine {
        self
    }
    fn fit_b(
        &self,
        problem: &Problem<AnyModel>,
        _: &dyn Rows,
        step: u64,
        samples: u64,
    ) -> Result<f64, FileError> {
        Ok(fit_b(&self.engine, problem.model.dim(), step, samples))
    }
    fn validate(
        &self,
        _: &Problem<AnyModel>,
        valid: &dyn Rows,
        samples: u64,
    ) -> Result<Validation, FileError> {
        validate(&self.engine, true, valid, samples)
    }
    fn watched(&self, _: &Problem<AnyModel>) -> Option<Watched> {
        look(self, &self.problem.model.energy)
    }
}

impl DensityEngine for Batches {
    fn score(&self, x: &[f32], out: &mut [Scored]) {
        self.engine.score(x, out);
    }
    fn score_samples(&self, set: SampleSet, range: Range<u64>, x: &mut [f32], out: &mut [Scored]) {
        self.engine.score_samples(set, range, x, out);
        for pair in out.chunks_mut(2) {
            pair.iter_mut().zip([self.error, -self.error]).for_each(|(s, error)| s.energy += error);
        }
    }
    fn coarse(&self) -> Option<Coarse> {
        (self.error != 0.0).then_some(Coarse { precision: "wood", finer: "steel" })
    }
}

/// All that a run leaves or says, but for times.
#[derive(Debug, Default, Clone, PartialEq)]
struct Seen(Vec<String>);

/// Listens, and keeps what is to be kept.
#[derive(Clone, Default)]
struct Listener(Arc<Mutex<Seen>>);

impl Listener {
    fn hears(&self, text: String) {
        self.0.lock().unwrap().0.push(text);
    }
}

impl Sink for Listener {
    fn live(&mut self, live: &Live) {
        self.hears(format!("{} {:?}", live.step, live.weighed));
    }
    fn record(&mut self, record: &Record) -> Result<(), FileError> {
        let mut record = record.clone();
        match &mut record {
            Record::Step(step) => {
                assert!(step.points_per_second > 0.0 && step.seconds > 0.0);
                (step.points_per_second, step.seconds) = (0.0, 0.0);
            }
            Record::Validation(validation) => {
                let spent = validation.spent.as_mut().unwrap();
                assert!(spent.seconds > 0.0 || validation.step == 0);
                spent.seconds = 0.0;
            }
        }
        self.hears(format!("{record:?}"));
        Ok(())
    }
    fn note(&mut self, text: &str) {
        self.hears(text.to_owned());
    }
}

impl Store for Listener {
    fn save(&mut self, checkpoint: &Checkpoint) -> Result<(), StoreError> {
        self.hears(format!("{} {:?}", checkpoint.state.digest(), checkpoint.progress));
        Ok(())
    }
    fn save_best(&mut self, model: &ModelFile) -> Result<(), StoreError> {
        self.hears(format!("best {}", model.header.step));
        Ok(())
    }
    fn has_best(&self) -> bool {
        true
    }
}

fn problem() -> Arc<Problem> {
    let at = Affine { mean: vec![0.0; 2], scale: Scale::Diagonal(vec![1.1; 2]) };
    let energy =
        Energy::Mlp { dim: 2, widths: vec![9], activation: Activation::Silu, residual: false };
    let model = Model { energy, base: Base::Proposal, proposal: Density::Gaussian { at } };
    Arc::new(Problem::new(model, Objective::Snl, Optim::default(), 3))
}

/// Trains on rows of which `bad` are not numbers; returns what was heard and the longest batch.
fn run(most: u64, bad: usize, stop: bool) -> (Seen, Result<Outcome, String>, usize) {
    run_with(most, bad, stop, 0.0)
}

/// The same with energies that are off by `error`.
fn run_with(
    most: u64,
    bad: usize,
    stop: bool,
    error: f32,
) -> (Seen, Result<Outcome, String>, usize) {
    let problem = problem();
    let mut values: Vec<f32> = (0..400).map(|i| (i as f32 * 0.37).sin()).collect();
    values[..bad].fill(f32::NAN);
    let rows = Arc::new(Matrix::new(values, 2).unwrap());
    let engine = CpuEngine::new(problem.clone(), rows, 1).unwrap();
    let mut engine = Batches { engine, most, problem: problem.clone(), longest: 0, error };
    let header = ModelHeader {
        format: ModelHeader::format(),
        model: problem.model.clone().into(),
        objective: problem.objective,
        columns: vec!["x".to_owned(), "y".to_owned()],
        standardise: Standardise::identity(2),
        seed: 3,
        step: 0,
        fingerprint: String::new(),
    };
    let listener = Listener::default();
    let valid = Matrix::new(vec![0.25; 8], 2).unwrap();
    let stop = AtomicBool::new(stop);
    let outcome = Trainer {
        batching: Batching {
            batch: 8,
            samples: 16,
            per_row: false,
            chunk: 8,
            total_rows: 200,
            seed: 3,
        },
        problem: Arc::new(problem.with_model(problem.model.clone().into())),
        engine: &mut engine,
        collective: &mut Alone,
        valid: &valid,
        // Records of three steps, validations and checkpoints out of step with them.
        settings: Train {
            steps: 6001,
            valid_every: 700,
            valid_samples: 64,
            checkpoint_every: 1100,
            ..Train::default()
        },
        store: &mut listener.clone(),
        header,
        progress: Progress::default(),
        sinks: vec![Box::new(listener.clone())],
        stop: &stop,
    }
    .run()
    .map_err(|error| format!("{error:?}"));
    let seen = listener.0.lock().unwrap().clone();
    (seen, outcome, engine.longest)
}

/// One bad row is a refused step in every pass of 25.
#[test]
fn batches_leave_the_same_records() {
    let (right, outcome, longest) = run(0, 1, false);
    assert_eq!((&outcome, longest), (&Ok(Outcome::Finished), 0));
    for kind in ["Step(", "Validation(", "refused", "best"] {
        assert!(right.0.iter().any(|text| text.contains(kind)), "{kind}");
    }
    for most in [1, 7, 64] {
        let (seen, outcome, longest) = run(most, 1, false);
        assert_eq!((outcome, longest as u64), (Ok(Outcome::Finished), most));
        assert_eq!(seen, right, "{most}");
    }
}

/// A run that diverges says so for the same step.
#[test]
fn batches_diverge_at_the_same_step() {
    let (right, outcome, _) = run(0, 400, false);
    assert!(outcome.as_ref().unwrap_err().contains("Refused"));
    for most in [7, 64] {
        let (seen, found, _) = run(most, 400, false);
        assert_eq!((&seen, &found), (&right, &outcome));
    }
}

/// The wish to stop is heard after the first batch, which is one step.
#[test]
fn a_stop_is_heard_at_once() {
    let (_, outcome, _) = run(64, 0, true);
    assert_eq!(outcome, Ok(Outcome::Interrupted { step: 1 }));
}

/// Energies that are off by 0.25 are complained of once, and every validation has the number; those
/// that are off by 0.03 are not, and the number is there; those that are not coarse have none.
#[test]
fn coarse_products_are_watched() {
    for (error, complaints) in [(0.25, 1), (0.03, 0), (0.0, 0)] {
        let (seen, outcome, _) = run_with(64, 0, false, error);
        assert_eq!(outcome, Ok(Outcome::Finished));
        let having = |text: &str| seen.0.iter().filter(|seen| seen.contains(text)).count();
        let said = "step 0: products in wood are too coarse for this model: its energies are off by \
                    0.25 nats (standard deviation) and log Z by";
        assert_eq!(having(said), complaints, "{seen:?}");
        assert_eq!(having("use `--precision steel`"), complaints);
        let validations = having("Validation(");
        assert!(validations > 5);
        let of = |seen: &String| {
            seen.split("energy_error: Some(").nth(1)?.split(')').next()?.parse::<f64>().ok()
        };
        let errors: Vec<f64> = seen.0.iter().filter_map(of).collect();
        assert_eq!(errors.len(), if error == 0.0 { 0 } else { validations }, "{seen:?}");
        // An energy of order one is rounded to 6e-8.
        assert!(errors.iter().all(|found| (found - f64::from(error)).abs() < 1e-6), "{errors:?}");
        assert_eq!(having("energy_error: None"), if error == 0.0 { validations } else { 0 });
    }
}
