//! A short run on processes of this machine, timed: what `snel study workers` asks for.

use std::io;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use snel_proto::v1::{RunPhase, RunSpending, RunStatus};
use snel_train::compute::{Device, Precision};
use snel_train::config::{Config, ConfigError};
use snel_train::study::workers::Phases;
use snel_train::study::workers::load::Load;

use crate::coordinator::FAILURE_BUDGET_MS;
use crate::launch::{LaunchError, LaunchSettings, launch_watched};

/// Steps before the first that counts: speeds are known and all memory is touched by then.
const WARM_UP: u64 = 10;

/// Why processes could not be timed.
#[derive(Debug, thiserror::Error)]
pub enum TimeError {
    /// The folder of an earlier run is in the way.
    #[error("cannot empty the folder of the run")]
    Folder(#[source] io::Error),
    /// The config of the run.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The processes.
    #[error(transparent)]
    Launch(#[from] LaunchError),
    /// The run ended otherwise than by its last step.
    #[error("the run ended at step {step}{}", why.as_ref().map(|w| format!(": {w}")).unwrap_or_default())]
    Ended {
        /// Steps done.
        step: u64,
        /// Why, if it failed.
        why: Option<String>,
    },
    /// There was no time in which all took part.
    #[error("{workers} workers did not take part together in {steps} steps")]
    Apart {
        /// Workers wanted.
        workers: u32,
        /// Steps of the run.
        steps: u64,
    },
}

/// How processes are timed.
#[derive(Debug, Clone, Copy)]
pub struct Timing<'a> {
    /// The program: its own path.
    pub program: &'a Path,
    /// A folder for the run; it is emptied before and removed after.
    pub folder: &'a Path,
    /// Set from outside to stop.
    pub stop: &'a AtomicBool,
}

impl Timing<'_> {
    /// Means over `steps` steps of `load` on `workers` processes of one thread each, and a coordinator.
    ///
    /// # Errors
    /// [`TimeError`].
    pub fn time(&self, load: &Load, workers: u32, steps: u64) -> Result<Phases, TimeError> {
        let empty = || match std::fs::remove_dir_all(self.folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(TimeError::Folder(error)),
            _ => Ok(()),
        };
        empty()?;
        let steps = steps + 2 * WARM_UP;
        // The coordinator keeps its own file beside the run's folder.
        let run = self.folder.join("run");
        let settings = LaunchSettings {
            program: self.program.to_path_buf(),
            out: &run,
            config: Config::parse(&load.config(steps), "study", &[])?.to_toml(),
            resume: false,
            workers,
            threads: 1,
            devices: vec![Device::Cpu],
            nccl: false,
            precision: Precision::Bf16x3,
            failure_budget: Duration::from_millis(FAILURE_BUDGET_MS),
            stop: self.stop,
        };
        let mut window = Window::new(workers);
        let last = launch_watched(&settings, &mut [], &mut |status| window.see(status))?;
        if last.phase() != RunPhase::Finished {
            let why = last.error.map(|error| error.message);
            return Err(TimeError::Ended { step: last.step, why });
        }
        empty()?;
        window.phases().ok_or(TimeError::Apart { workers, steps })
    }
}

/// From the first status of warm and complete workers to the last one.
struct Window {
    workers: usize,
    first: Option<RunSpending>,
    last: Option<RunSpending>,
}

impl Window {
    fn new(workers: u32) -> Self {
        Self { workers: workers as usize, first: None, last: None }
    }

    fn see(&mut self, status: &RunStatus) {
        let Some(spending) = &status.spending else { return };
        self.last = Some(*spending);
        let together = status.workers.len() == self.workers;
        if self.first.is_none() && together && spending.steps >= WARM_UP {
            self.first = Some(*spending);
        }
    }

    fn phases(&self) -> Option<Phases> {
        let (first, last) = (self.first?, self.last?);
        let steps = last.steps.checked_sub(first.steps).filter(|&steps| steps > 0)? as f64;
        let ms = |of: fn(&RunSpending) -> f64| (of(&last) - of(&first)) * 1e3 / steps;
        let all = |s: &RunSpending| s.bytes_received + s.bytes_sent;
        Some(Phases {
            compute_ms: ms(|s| s.compute_s),
            reduce_ms: ms(|s| s.reduce_s),
            finish_ms: ms(|s| s.vote_s),
            idle_ms: ms(|s| s.waiting_s),
            bytes: ((all(&last) - all(&first)) as f64 / steps) as u64,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(workers: usize, steps: u64, seconds: f64) -> RunStatus {
        let spending = RunSpending {
            steps,
            compute_s: seconds,
            reduce_s: seconds / 10.0,
            bytes_sent: 100 * steps,
            ..RunSpending::default()
        };
        let workers = vec!["w".to_owned(); workers];
        RunStatus { workers, spending: Some(spending), ..RunStatus::default() }
    }

    #[test]
    fn only_steps_of_all_workers_count() {
        let mut window = Window::new(2);
        assert_eq!(window.phases(), None);
        for (workers, steps, seconds) in [(1, 5, 50.0), (2, 9, 60.0), (2, 12, 61.0), (2, 32, 63.0)]
        {
            window.see(&status(workers, steps, seconds));
        }
        let phases = window.phases().unwrap();
        assert!((phases.compute_ms - 100.0).abs() < 1e-9, "{phases:?}");
        assert!((phases.reduce_ms - 10.0).abs() < 1e-9 && phases.bytes == 100, "{phases:?}");
    }
}
