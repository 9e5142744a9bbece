//! Promise P3: processes are killed, stopped, told to leave and cut off at random, and the run
//! ends with the bytes of an undisturbed one.
//!
//! `SNEL_CHAOS_SECONDS` makes it longer, `SNEL_SEED` repeats a choice of faults (their moments
//! are the machine's).

use std::fs;
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use snel_cluster::record::History;

use crate::snel::{Output, Place, children};

const WORKERS: &str = "3";
const BUDGET: Duration = Duration::from_millis(500);
/// A fault whose next commit takes longer than this has stopped the run.
const TOO_LONG: Duration = Duration::from_mins(1);

/// Something bad.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fault {
    KillWorker,
    KillCoordinator,
    Terminate,
    Freeze,
}

struct Dice(u64);

impl Dice {
    /// Below `n`.
    fn roll(&mut self, n: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }
}

fn send(signal: &str, pid: &str) {
    // It may be gone already.
    let _ = Command::new("kill").args(["-s", signal, pid]).output();
}

fn strike(fault: Fault, launch: &Child, dice: &mut Dice) -> bool {
    let role = if fault == Fault::KillCoordinator { "coordinator" } else { "worker" };
    let victims = children(launch, role);
    if victims.is_empty() {
        return false;
    }
    let victim = &victims[dice.roll(victims.len() as u64) as usize];
    match fault {
        Fault::KillWorker | Fault::KillCoordinator => send("KILL", victim),
        Fault::Terminate => send("TERM", victim),
        Fault::Freeze => {
            send("STOP", victim);
            let (victim, time) = (victim.clone(), dice.roll(3 * BUDGET.as_millis() as u64));
            std::thread::spawn(move || {
                std::thread::sleep(Duration::from_millis(time));
                send("CONT", &victim);
            });
        }
    }
    true
}

/// The time from now to the next commit in the record; none if the run ends first.
fn next_commit(record: &Path, launch: &mut Child) -> Option<Duration> {
    let started = Instant::now();
    let before = fs::metadata(record).ok()?.len() as usize;
    loop {
        let bytes = fs::read(record).ok()?;
        let news = bytes.get(before.min(bytes.len())..)?;
        if news.windows(8).any(|window| window == b"\"commit\"") {
            return Some(started.elapsed());
        }
        if !matches!(launch.try_wait(), Ok(None)) {
            return None;
        }
        assert!(started.elapsed() < TOO_LONG, "the run stands still");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn chaos_changes_nothing() {
    let number = |name: &str, usual| {
        std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
    };
    let length = Duration::from_secs(number("SNEL_CHAOS_SECONDS", 40));
    let seed = number("SNEL_SEED", u64::from(std::process::id()));
    println!("SNEL_SEED={seed}");
    let mut dice = Dice(seed);
    let place = Place::with_small();
    let long = ["--set", "train.steps=3000", "--set", "train.valid_every=500"];
    place.ok(&[&["train", "small.toml", "--out", "undisturbed"], &long[..]].concat());
    let undisturbed = place.read("undisturbed/model.safetensors");
    let started = Instant::now();
    let mut recoveries: Vec<(Fault, Duration)> = Vec::new();
    let mut runs = 0;
    while started.elapsed() < length {
        let out = format!("run-{runs}");
        let budget = format!("cluster.failure_budget_ms={}", BUDGET.as_millis());
        let launch = ["launch", "small.toml", "--out", &out, "--workers", WORKERS];
        let budget = ["--set", &budget];
        let mut launch = place.start(&[&launch[..], &budget, &long].concat());
        let record = place.path(&out).join("record.log");
        while matches!(launch.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(30 + dice.roll(200)));
            let fault = match dice.roll(8) {
                0..4 => Fault::KillWorker,
                4 | 5 => Fault::KillCoordinator,
                6 => Fault::Terminate,
                _ => Fault::Freeze,
            };
            if strike(fault, &launch, &mut dice)
                && let Some(time) = next_commit(&record, &mut launch)
            {
                recoveries.push((fault, time));
            }
        }
        let output = Output::of(launch.wait_with_output().unwrap());
        assert_eq!(output.code, 0, "SNEL_SEED={seed}: {output:?}");
        let same = place.read(&format!("{out}/model.safetensors")) == undisturbed;
        assert!(same, "SNEL_SEED={seed}: {out} has other bytes");
        // Reading it checks that steps follow each other, and that a repeated one has its digest.
        let history = History::read(&record).unwrap();
        assert_eq!((history.next_step(), history.outcome()), (3000, Some("finished")));
        runs += 1;
    }
    println!("{runs} runs, {} faults; from a fault to the next commit, ms:", recoveries.len());
    for kind in [Fault::KillWorker, Fault::KillCoordinator, Fault::Terminate, Fault::Freeze] {
        let mut times: Vec<f64> = recoveries
            .iter()
            .filter(|(fault, _)| *fault == kind)
            .map(|(_, time)| time.as_secs_f64() * 1e3)
            .collect();
        times.sort_by(f64::total_cmp);
        let at = |q: f64| times.get(((times.len() as f64 - 1.0) * q).round().max(0.0) as usize);
        if let (Some(p50), Some(p99), Some(max)) = (at(0.5), at(0.99), at(1.0)) {
            println!("{kind:?}: {} faults, p50 {p50:.0}, p99 {p99:.0}, max {max:.0}", times.len());
        }
    }
    assert!(!recoveries.is_empty());
}
