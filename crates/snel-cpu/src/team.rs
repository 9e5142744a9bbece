//! Threads that wait for work together.
//!
//! The thread that calls is one of the team; the others are started once and wait, first spinning,
//! because the next step is usually microseconds away, then asleep. No lock is taken and nothing
//! is allocated to hand out work.
//!
//! Invariants
//! 1. `Shared::job` is written only while no helper runs, and read only by helpers that run.
//! 2. [`Team::for_each`] returns, or unwinds, only when no helper runs: what the work borrows
//!    outlives it.
//!
//! A panic in the work is caught, and goes on in the caller when all are done.

#![allow(unsafe_code)] // borrowed work for threads that outlive the borrow

use std::cell::UnsafeCell;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle, Thread};

/// Looks at a condition before sleeping: some tens of microseconds.
const SPINS: u32 = 4000;

/// A team of threads.
pub(crate) struct Team {
    shared: Arc<Shared>,
    helpers: Vec<JoinHandle<()>>,
}

struct Shared {
    /// Counts jobs; a helper that has seen fewer has one to do.
    jobs: AtomicUsize,
    /// Helpers that have not finished the job.
    running: AtomicUsize,
    panicked: AtomicBool,
    quit: AtomicBool,
    job: UnsafeCell<Option<Job>>,
}

/// Called with the number of each member.
type Work<'a> = dyn Fn(usize) + Sync + 'a;

struct Job {
    caller: Thread,
    work: *const Work<'static>,
}

// SAFETY: `job` is the only field that is not `Sync` and `Send` by itself. By invariant 1 nobody
// reads it while it is written; `jobs` and `running` order the accesses (release by the one who
// lets go, acquire by the one who takes over). Its pointer is to a `Sync` closure.
unsafe impl Sync for Shared {}
// SAFETY: as above.
unsafe impl Send for Shared {}

/// A pointer to the first of the items that members get one of each.
struct Items<T>(*mut T);
// SAFETY: every member dereferences the pointer at its own number only, so the items are in
// effect moved to the members and back; `T: Send` is required where this is made.
unsafe impl<T: Send> Sync for Items<T> {}

impl<T> Items<T> {
    /// A method, so that closures capture the whole and not the bare pointer.
    fn get(&self, i: usize) -> *mut T {
        self.0.wrapping_add(i)
    }
}

impl Team {
    /// A team of `size` threads, the caller's included.
    ///
    /// # Errors
    /// If the system gives no threads.
    pub(crate) fn new(size: usize) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            jobs: AtomicUsize::new(0),
            running: AtomicUsize::new(0),
            panicked: AtomicBool::new(false),
            quit: AtomicBool::new(false),
            job: UnsafeCell::new(None),
        });
        let mut team = Self { shared, helpers: Vec::new() };
        for number in 1..size {
            let shared = team.shared.clone();
            let name = format!("snel-cpu-{number}");
            let helper = thread::Builder::new().name(name).spawn(move || shared.help(number))?;
            team.helpers.push(helper);
        }
        Ok(team)
    }

    /// Number of threads, the caller's included.
    pub(crate) fn size(&self) -> usize {
        self.helpers.len() + 1
    }

    /// Calls `work` with each of `items`, every one on a thread of its own.
    ///
    /// # Panics
    /// If `work` does, or if there are more items than threads.
    pub(crate) fn for_each<T: Send>(&mut self, items: &mut [T], work: impl Fn(&mut T) + Sync) {
        let len = items.len();
        assert!(len <= self.size(), "an item for each thread at most");
        let items = Items(items.as_mut_ptr());
        self.run(&|number| {
            if number < len {
                // SAFETY: in bounds, and no other member has this number.
                work(unsafe { &mut *items.get(number) });
            }
        });
    }

    fn run(&mut self, work: &Work<'_>) {
        if self.helpers.is_empty() {
            return work(0);
        }
        let shared = &*self.shared;
        // SAFETY: only the lifetime changes. By invariant 2 the closure lives longer than any
        // helper may call it; a pointer, because the reference ends before the pointer is dropped.
        let work: *const Work<'static> =
            unsafe { std::mem::transmute::<&Work<'_>, &Work<'static>>(work) };
        let job = Job { caller: thread::current(), work };
        // SAFETY: no helper runs (`&mut self`, invariant 2), so nobody reads `job` now.
        unsafe { *shared.job.get() = Some(job) };
        shared.running.store(self.helpers.len(), Ordering::Relaxed);
        shared.jobs.fetch_add(1, Ordering::Release);
        self.helpers.iter().for_each(|helper| helper.thread().unpark());
        // SAFETY: a pointer made from a reference that is still borrowed.
        let mine = catch_unwind(AssertUnwindSafe(|| unsafe { (*work)(0) }));
        wait_until(|| shared.running.load(Ordering::Acquire) == 0);
        if let Err(panic) = mine {
            resume_unwind(panic);
        }
        if shared.panicked.swap(false, Ordering::Relaxed) {
            resume_unwind(Box::new("a thread of the CPU engine panicked"));
        }
    }
}

impl Shared {
    /// The life of a helper.
    fn help(&self, number: usize) {
        for seen in 0.. {
            wait_until(|| self.jobs.load(Ordering::Acquire) > seen);
            if self.quit.load(Ordering::Relaxed) {
                return;
            }
            // SAFETY: this helper was told to run and counts in `running`, so by invariant 1 the
            // job is written already and stays until the count goes down below.
            let job = unsafe { &*self.job.get() };
            let Some(job) = job else { return };
            let caller = job.caller.clone();
            // SAFETY: the closure is alive while this helper runs (invariant 2).
            let result = catch_unwind(AssertUnwindSafe(|| unsafe { (*job.work)(number) }));
            if result.is_err() {
                self.panicked.store(true, Ordering::Relaxed);
            }
            if self.running.fetch_sub(1, Ordering::AcqRel) == 1 {
                caller.unpark();
            }
        }
    }
}

impl Drop for Team {
    fn drop(&mut self) {
        self.shared.quit.store(true, Ordering::Relaxed);
        self.shared.jobs.fetch_add(1, Ordering::Release);
        for helper in self.helpers.drain(..) {
            helper.thread().unpark();
            // A helper ends by itself and catches panics: there is nothing to learn from it.
            drop(helper.join());
        }
    }
}

/// Spins for a while, then sleeps until `unpark`; again as long as `condition` is false.
fn wait_until(condition: impl Fn() -> bool) {
    for _ in 0..SPINS {
        if condition() {
            return;
        }
        std::hint::spin_loop();
    }
    while !condition() {
        thread::park();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_item_is_worked_on_once() {
        for size in [1, 2, 3, 5] {
            let mut team = Team::new(size).unwrap();
            let mut items = vec![0u64; size];
            for round in 0..200 {
                let add = round + 1; // borrowed from this stack frame
                team.for_each(&mut items, |item| *item += add);
                if round % 50 == 0 {
                    // Long enough for helpers to fall asleep.
                    thread::sleep(std::time::Duration::from_millis(2));
                }
            }
            assert!(items.iter().all(|&item| item == 200 * 201 / 2), "{items:?}");
            team.for_each(&mut items[..1], |item| *item = 0);
            assert_eq!(items[0], 0);
        }
    }

    #[test]
    fn a_panic_reaches_the_caller_and_the_team_goes_on() {
        let mut team = Team::new(3).unwrap();
        let mut items = [0, 1, 2];
        for bad in 0..3 {
            let result = catch_unwind(AssertUnwindSafe(|| {
                team.for_each(&mut items, |item| assert_ne!(*item, bad, "on purpose"));
            }));
            assert!(result.is_err(), "{bad}");
        }
        team.for_each(&mut items, |item| *item += 1);
        assert_eq!(items, [1, 2, 3]);
    }
}
