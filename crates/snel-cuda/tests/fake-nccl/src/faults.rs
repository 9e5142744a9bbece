//! What is to go wrong.

use std::ffi::c_int;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// Faults of faults. The tests call a copy of this library by its numbers.
#[repr(u32)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The communicator is never ready.
    InitNever = 1,
    /// Its making does not return.
    InitBlocks = 2,
    /// A sum is begun; then the communicator has failed with the code `value`.
    AsyncCode = 3,
    /// A sum is begun and never done.
    Stall = 4,
    /// A sum is not begun: `value` is the answer.
    Code = 5,
    /// An abort takes `value` milliseconds.
    SlowAbort = 6,
    /// An abort does not return.
    AbortHangs = 7,
    /// The others never leave.
    LeaveNever = 8,
    /// A rank that aborts is noticed by the others.
    Noticed = 9,
}

#[derive(Clone, Copy)]
struct Rule {
    kind: u32,
    rank: c_int,
    after: u64,
    value: i64,
}

static RULES: Mutex<Vec<Rule>> = Mutex::new(Vec::new());

fn rules() -> MutexGuard<'static, Vec<Rule>> {
    RULES.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn inject(kind: u32, rank: c_int, after: u64, value: i64) {
    rules().push(Rule { kind, rank, after, value });
}

/// The value of the fault, if `rank` has it at its operation number `at`.
pub(crate) fn find(kind: Fault, rank: c_int, at: u64) -> Option<i64> {
    let meant = |rule: &&Rule| {
        rule.kind == kind as u32 && (rule.rank < 0 || rule.rank == rank) && at >= rule.after
    };
    rules().iter().find(meant).map(|rule| rule.value)
}

/// Takes as long as the fault wants, if there is one.
pub(crate) fn obey(kind: Fault, rank: c_int, at: u64) {
    match find(kind, rank, at) {
        Some(milliseconds) if kind == Fault::SlowAbort => {
            thread::sleep(Duration::from_millis(milliseconds.unsigned_abs()));
        }
        Some(_) => loop {
            thread::sleep(Duration::from_hours(1));
        },
        None => {}
    }
}
