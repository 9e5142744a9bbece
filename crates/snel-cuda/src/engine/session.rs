//! The training state, of which host and device each have a copy.

use snel_core::engine::{EngineError, Head, StepOutcome, Update};
use snel_core::optim::{Applied, Constants};
use snel_core::partial::Reduced;
use snel_core::plan::Batching;
use snel_core::problem::Problem;
use snel_core::rows::Rows;
use snel_core::state::State;

use super::batch::{Reports, most_steps};
use super::device_error;
use super::machine::Machine;
use super::work::{StepInput, SumsOfStep, statistics};
use crate::device::{Device, DeviceError};

/// Whose vectors are those of the state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Newer {
    Both,
    Host,
    Device,
}

/// A machine and the state it trains.
pub(crate) struct Session<D: Device> {
    pub(crate) machine: Machine<D>,
    /// The host's copy. It is consistent in itself: if the device fails, it is the last state of
    /// the run that could be had.
    state: State,
    head: Head,
    updates: u64,
    newer: Newer,
    /// What went wrong where no error could be returned.
    pub(crate) fault: Option<DeviceError>,
    pub(crate) input: StepInput,
    pub(crate) sums: SumsOfStep,
    reports: Reports,
    /// The step at which the last batch stalled.
    stalled_at: Option<u64>,
}

impl<D: Device> Session<D> {
    pub(crate) fn new(machine: Machine<D>, state: State, problem: &Problem) -> Self {
        Self {
            machine,
            head: state.head(),
            updates: state.updates,
            state,
            newer: Newer::Host,
            fault: None,
            input: StepInput::default(),
            sums: SumsOfStep::new(problem),
            reports: Reports::default(),
            stalled_at: None,
        }
    }

    pub(crate) fn head(&self) -> Head {
        self.head
    }

    /// Brings the device up to date.
    pub(crate) fn refresh_device(&mut self) -> Result<(), DeviceError> {
        if self.newer == Newer::Host {
            self.machine.set_state(&self.state)?;
            self.newer = Newer::Both;
        }
        Ok(())
    }

    /// The state, as far as the device can tell.
    pub(crate) fn state(&mut self) -> &State {
        if self.newer == Newer::Device {
            let mut state = self.state.clone();
            match self.machine.copy_state(&mut state) {
                Ok(()) => {
                    let Head { step, scale, .. } = self.head;
                    self.state = State { step, scale, updates: self.updates, ..state };
                    self.newer = Newer::Both;
                }
                Err(error) => self.fault = Some(error),
            }
        }
        &self.state
    }

    pub(crate) fn restore(&mut self, state: State) {
        self.head = state.head();
        self.updates = state.updates;
        self.state = state;
        self.newer = Newer::Host;
    }

    pub(crate) fn set_b(&mut self, b: f32) {
        let mut state = self.state().clone();
        state.set_b(b);
        self.restore(state);
    }

    pub(crate) fn skip(&mut self) {
        self.head.step += 1;
        if self.newer != Newer::Device {
            self.state.step += 1;
        }
    }

    /// Applies a whole step's gradient; NaN if the device failed.
    pub(crate) fn apply(&mut self, problem: &Problem, reduced: &Reduced<'_>) -> Applied {
        let constants = problem.optim.constants(self.head.step, self.updates + 1);
        let done = self
            .refresh_device()
            .and_then(|()| self.machine.apply(problem, reduced, constants, &mut self.sums));
        let gradient_norm = match done {
            Ok(updated) => {
                let step = self.head.step + 1;
                self.head = Head { step, scale: reduced.next_scale, b: updated.b, ..self.head };
                self.updates += 1;
                self.newer = Newer::Device;
                updated.gradient_norm
            }
            Err(error) => {
                self.fault = Some(error);
                f64::NAN
            }
        };
        Applied { gradient_norm, lr: constants.lr }
    }

    /// Makes up to `steps` steps of all chunks without the host, and appends what they came to. After
    /// a failure nobody knows what the device holds: the state is then the host's.
    pub(crate) fn advance(
        &mut self,
        problem: &Problem,
        batching: &Batching,
        steps: u64,
        rows: &dyn Rows,
        outcomes: &mut Vec<StepOutcome>,
    ) -> Result<(), EngineError> {
        let steps = steps.min(most_steps(batching, problem.model.dim()));
        // The host must make the step that stalled the batch before.
        if steps == 0 || self.stalled_at == Some(self.head.step) {
            return Ok(());
        }
        self.input.gather_steps(batching, self.head.step, steps, rows)?;
        self.refresh_device().map_err(device_error)?;
        self.sums.on_device = false;
        let of_step = |i| problem.optim.constants(self.head.step + i, self.updates + 1 + i);
        let constants: Vec<Constants> = (0..steps).map(of_step).collect();
        let Self { machine, head, input, reports, .. } = self;
        let done = machine.batch(problem, batching, *head, &constants, input, reports);
        if let Err(error) = done {
            self.restore(self.state.clone());
            return Err(device_error(error));
        }
        let before = self.head.step;
        for ((report, tallies), constants) in self.reports.applied().zip(constants) {
            let (step, scale) = (self.head.step + 1, report.next_scale);
            let head = Head { step, scale, b: report.b, ..self.head };
            let applied = Applied { gradient_norm: report.gradient_norm, lr: constants.lr };
            let result = Ok(Update { statistics: statistics(tallies), applied });
            outcomes.push(StepOutcome { b: self.head.b, head, result });
            self.head = head;
            self.updates += 1;
            self.newer = Newer::Device;
        }
        self.stalled_at = (self.head.step < before + steps).then_some(self.head.step);
        Ok(())
    }
}
