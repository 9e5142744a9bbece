//! The progress of a training run on stderr: a bar on a terminal, a line a validation elsewhere.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use snel_train::file::FileError;
use snel_train::metrics::Record;
use snel_train::sink::{Live, Sink};

use crate::output::err;

/// Share of the old value in the displayed averages.
const SMOOTH: f64 = 0.95;

/// A sink that shows progress.
pub(crate) struct Progress {
    bar: Option<ProgressBar>,
    bound: Option<f64>,
    ess: f64,
    speed: f64,
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
        Self { bar, bound: None, ess: 0.0, speed: 0.0, valid: String::new() }
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
        let smooth = |old: f64, new: f64| SMOOTH * old + (1.0 - SMOOTH) * new;
        if self.bound.is_none() {
            (self.ess, self.speed) = (live.ess_fraction, live.points_per_second);
        }
        self.bound = Some(smooth(self.bound.unwrap_or(live.bound), live.bound));
        self.ess = smooth(self.ess, live.ess_fraction);
        self.speed = smooth(self.speed, live.points_per_second);
        if let Some(bar) = &self.bar {
            bar.set_position(live.step);
            bar.set_message(format!(
                "bound {:.3}  ESS {:.1} %  {:.2} M samples/s{}",
                self.bound.unwrap_or(live.bound),
                100.0 * self.ess,
                self.speed / 1e6,
                self.valid,
            ));
        }
    }

    fn record(&mut self, record: &Record) -> Result<(), FileError> {
        let Record::Validation(v) = record else { return Ok(()) };
        self.valid = format!("  valid {:.3}", v.lower);
        if self.bar.is_none() {
            let best = if v.best { "  best so far" } else { "" };
            err(&format!(
                "step {:>7}  bound {:.4}  valid {:.4} to {:.4}  ESS {:.1} %  {:.2} M samples/s{best}",
                v.step,
                self.bound.unwrap_or(f64::NAN),
                v.lower,
                v.upper,
                100.0 * v.ess_fraction,
                self.speed / 1e6,
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
