//! A worker whose beats go on while its arithmetic stands still.

use std::io::Read;
use std::time::{Duration, Instant};

use nix::sys::ptrace;
use nix::unistd::Pid;

use crate::cluster::{coordinator, worker};
use crate::snel::Place;

/// One thread of a process, held by the debugger's interface; the others go on.
struct Held(Pid);

impl Held {
    /// None where the system does not let a process trace another.
    fn new(thread: u32) -> Option<Self> {
        let thread = Pid::from_raw(thread.cast_signed());
        ptrace::seize(thread, ptrace::Options::empty()).ok()?;
        ptrace::interrupt(thread).ok()?;
        Some(Self(thread))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let _ = ptrace::detach(self.0, None);
    }
}

fn step(place: &Place, url: &str) -> (u64, usize) {
    let status = place.ok(&["run", "show", "stuck", "--json", "--coordinator", url]).json();
    let workers = status["workers"].as_array().unwrap().len();
    (status["step"].as_u64().unwrap(), workers)
}

#[test]
fn who_computes_without_progress_is_named_and_replaced() {
    let place = Place::with_small();
    let long = ["--set", "train.steps=3000", "--set", "train.valid_every=1000"];
    place.ok(&[&["train", "small.toml", "--out", "alone"], &long[..]].concat());
    let (mut served, url) = coordinator(&place, &["--failure-budget-ms", "300"]);
    let submit = ["run", "submit", "small.toml", "--name", "stuck", "--coordinator", &url];
    place.ok(&[&submit[..], &long].concat());
    let _able = worker(&place, &url, "able");
    let stuck = worker(&place, &url, "stuck");
    let deadline = Instant::now() + Duration::from_mins(1);
    let before = loop {
        let (step, workers) = step(&place, &url);
        if workers == 2 && step > 20 {
            break step;
        }
        assert!(Instant::now() < deadline, "at step {step} with {workers} workers");
    };
    // The first thread computes; the one that beats is another.
    let Some(held) = Held::new(stuck.0.id()) else {
        println!("skipped: this system does not let a test hold a thread");
        return;
    };
    place.ok(&["run", "watch", "stuck", "--coordinator", &url]);
    drop(held);
    assert!(before < 3000);
    assert!(place.read("runs/stuck/model.safetensors") == place.read("alone/model.safetensors"));
    let _ = served.0.kill();
    let mut said = String::new();
    served.0.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(said.contains("stuck lives, but made no progress for"), "{said}");
}
