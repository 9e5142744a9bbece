//! The progress of a training run on stderr: a bar on a terminal, a line a validation elsewhere.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use snel_train::file::FileError;
use snel_train::metrics::{Record, Walked, Weighed};
use snel_train::sink::{Live, Sink};

use crate::output::err;

/// Share of the old value in the displayed averages.
const SMOOTH: f64 = 0.95;

/// A sink that shows progress.
pub(crate) struct Progress {
    bar: Option<ProgressBar>,
    weighed: Option<Weighed>,
    walked: Option<Walked>,
    speed: Option<f64>,
    valid: String,
}

impl Progress {
    pub(crate) fn new(steps: u64, quiet: bool) -> Self {
        let bar = (!quiet && std::io::stderr().is_terminal()).then(|| {
            let bar = ProgressBar::new(steps);
            let style = "{bar:24.cyan/dim} {human_pos}/{human_len}  {msg}  {eta} left";
            if let Ok(style) = ProgressStyle::with_template(style) {
                bar.set_style(style);
            }
            bar.enable_steady_tick(Duration::from_millis(250));
            bar
        });
        Self { bar, weighed: None, walked: None, speed: None, valid: String::new() }
    }

    /// What steps say, and how fast they are.
    fn steps(&self) -> String {
        let weighed = self.weighed.map(|w| format!("bound {:.4}  ", w.bound));
        let walked = self.walked.map(|w| {
            let Walked { contrast, acceptance, posterior_acceptance, step_size } = w;
            let acceptance = 100.0 * acceptance;
            let of_posteriors = posterior_acceptance
                .map(|a| format!("of posteriors {:.1} %  ", 100.0 * a))
                .unwrap_or_default();
            format!(
                "contrast {contrast:.4}  accepted {acceptance:.1} % at {step_size:.3}  {of_posteriors}"
            )
        });
        let said = weighed.or(walked).unwrap_or_default();
        format!("{said}{:.2} M points/s", self.speed.unwrap_or(0.0) / 1e6)
    }

    fn say(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| err(text)),
            None => err(text),
        }
    }
}

impl Sink for Progress {
    fn live(&mut self, live: &Live) {
        let speed = live.points_per_second;
        self.speed = Some(SMOOTH * self.speed.unwrap_or(speed) + (1.0 - SMOOTH) * speed);
        self.weighed = live.weighed.map(|new| self.weighed.unwrap_or(new).mixed(SMOOTH, &new));
        self.walked = live.walked.map(|new| self.walked.unwrap_or(new).mixed(SMOOTH, &new));
        if let Some(bar) = &self.bar {
            bar.set_position(live.step);
            let ess = self.weighed.map(|w| format!("ESS {:.1} %  ", 100.0 * w.ess_fraction));
            bar.set_message(format!("{}{}{}", ess.unwrap_or_default(), self.steps(), self.valid));
        }
    }

    fn record(&mut self, record: &Record) -> Result<(), FileError> {
        let Record::Validation(v) = record else { return Ok(()) };
        self.valid = format!("  valid {:.3}", v.lower);
        if self.bar.is_none() {
            let best = if v.best { "  best so far" } else { "" };
            err(&format!(
                "step {:>7}  valid {:.4} to {:.4}  ESS {:.1} %  {}{best}",
                v.step,
                v.lower,
                v.upper,
                100.0 * v.ess_fraction,
                self.steps(),
            ));
        }
        Ok(())
    }

    fn note(&mut self, text: &str) {
        self.say(&format!("note: {text}"));
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
