//! The progress of a study on stderr: a bar on a terminal, a line a cell elsewhere. It also carries
//! the signal that stops one.

use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use snel_train::study::watch::Watcher;

use crate::interrupt::stop_flag;
use crate::output::err;

/// A watcher for people.
pub(crate) struct StudyProgress {
    bar: Option<ProgressBar>,
    quiet: bool,
    stop: Arc<AtomicBool>,
}

impl StudyProgress {
    pub(crate) fn new(quiet: bool) -> Self {
        let bar = (!quiet && std::io::stderr().is_terminal()).then(|| {
            let bar = ProgressBar::new(0);
            let style = "{bar:24.cyan/dim} {percent:>3} %  {msg}  {eta} left";
            if let Ok(style) = ProgressStyle::with_template(style) {
                bar.set_style(style);
            }
            bar.enable_steady_tick(Duration::from_millis(250));
            bar
        });
        Self { bar, quiet, stop: stop_flag() }
    }

    /// Raised by the first signal.
    pub(crate) fn stop(&self) -> &AtomicBool {
        &self.stop
    }
}

impl Watcher for StudyProgress {
    fn begin(&self, work: u64) {
        if let Some(bar) = &self.bar {
            bar.set_length(work);
        }
    }

    fn cell(&self, name: &str) {
        match &self.bar {
            Some(bar) => bar.set_message(name.to_owned()),
            None if self.quiet => {}
            None => err(&format!("measuring: {name}")),
        }
    }

    fn did(&self, work: u64) {
        if let Some(bar) = &self.bar {
            bar.inc(work);
        }
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

impl Drop for StudyProgress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
