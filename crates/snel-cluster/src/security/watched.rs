//! A value made from files that may be replaced while the process runs.
//!
//! # Invariants
//! 1. There is always a value: what replaces it was built first.
//! 2. The files are read at most once a period, by one caller; the others take the value as it is.
//! 3. Contents are compared, not modification times: a file that was read half written, or was
//!    replaced twice within the clock's grain, is put right at the next look.
//! 4. Each state of the files causes at most one notice.
//!
//! Reading is blocking: these are a few local kilobytes, once a second.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use super::error::SecurityError;
use super::flag::Flag;
use super::notice::{Notice, Notify};

/// `T`, built from contents `C`.
pub(super) struct Watched<C, T> {
    flags: &'static [Flag],
    load: Box<dyn Fn() -> Result<C, SecurityError> + Send + Sync>,
    build: fn(&C) -> Result<T, SecurityError>,
    /// `None`: the value stays for good.
    period: Option<Duration>,
    notify: Notify,
    look: Mutex<Look<C>>,
    value: RwLock<Arc<T>>,
}

/// The last look at the files.
struct Look<C> {
    at: Instant,
    /// `None`: they could not be read.
    found: Option<C>,
}

impl<C: PartialEq, T> Watched<C, T> {
    /// Reads and builds for the first time.
    ///
    /// # Errors
    /// Those of `load` and `build`.
    pub(super) fn open(
        flags: &'static [Flag],
        load: impl Fn() -> Result<C, SecurityError> + Send + Sync + 'static,
        build: fn(&C) -> Result<T, SecurityError>,
        period: Option<Duration>,
        notify: Notify,
    ) -> Result<Self, SecurityError> {
        let contents = load()?;
        let value = RwLock::new(Arc::new(build(&contents)?));
        let look = Mutex::new(Look { at: Instant::now(), found: Some(contents) });
        Ok(Self { flags, load: Box::new(load), build, period, notify, look, value })
    }

    /// The value of the files as they are now, or were within the last period.
    pub(super) fn current(&self) -> Arc<T> {
        if let Some(notice) = self.refresh() {
            (self.notify)(notice);
        }
        Arc::clone(&self.value.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn refresh(&self) -> Option<Notice> {
        let period = self.period?;
        // Taken: another caller is looking.
        let mut look = self.look.try_lock().ok()?;
        if look.at.elapsed() < period {
            return None;
        }
        look.at = Instant::now();
        let contents = match (self.load)() {
            Ok(contents) => contents,
            Err(error) => return look.found.take().map(|_| Notice::Kept { error }),
        };
        if look.found.as_ref() == Some(&contents) {
            return None;
        }
        let built = (self.build)(&contents);
        look.found = Some(contents);
        match built {
            Ok(value) => {
                *self.value.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(value);
                Some(Notice::Replaced { flags: self.flags })
            }
            Err(error) => Some(Notice::Kept { error }),
        }
    }
}

impl<C, T> fmt::Debug for Watched<C, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watched").field("flags", &self.flags).finish_non_exhaustive()
    }
}
