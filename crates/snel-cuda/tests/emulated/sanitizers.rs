//! The kernels under the address and undefined-behaviour sanitizers: in a process of its own,
//! because the sanitizer must be loaded before anything else.

use std::path::PathBuf;
use std::process::Command;

use crate::cases::{Case, plan, small, whole};
use crate::compilation::{FLAGS, available, changed_kernels};
use crate::emulator::Emulator;

/// Small tests that use every kernel, every placement and every kind of density.
const TESTS: [&str; 4] = [
    "bits::placements_and_threads_cannot_be_seen",
    "bits::samples_follow_the_definition",
    "layers::edges",
    "shapes::edges",
];

#[test]
#[ignore = "takes minutes: `just sanitize-kernels`"]
fn no_bad_memory_and_no_undefined_behaviour() {
    if !available() {
        return;
    }
    let file = |name: &str| {
        let found = Command::new("g++").arg(format!("-print-file-name={name}")).output().unwrap();
        String::from_utf8(found.stdout).unwrap().trim().to_owned()
    };
    let library = file("libasan.so");
    if !std::path::Path::new(&library).is_absolute() {
        println!("skipped: g++ comes without its address sanitizer");
        return;
    }
    let run = |arguments: &[&str]| {
        let run = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "--test-threads=2", "--nocapture"])
            .args(arguments)
            .env(FLAGS, "-O1 -g1 -fsanitize=address,undefined -fno-sanitize-recover=undefined")
            .env("LD_PRELOAD", &library)
            .env("ASAN_OPTIONS", "detect_leaks=0")
            .output()
            .unwrap();
        let out = String::from_utf8_lossy(&run.stdout).into_owned();
        (run.status.success(), out + &String::from_utf8_lossy(&run.stderr))
    };
    // First, does it see a fault at all?
    let (passed, output) = run(&["--ignored", "sanitizers::planted"]);
    assert!(!passed && output.contains("AddressSanitizer: heap-buffer-overflow"), "{output}");
    let (passed, output) = run(&TESTS);
    assert!(passed && output.contains("4 passed"), "{output}");
}

/// Kernels that write one tally behind the last.
fn overrun() -> PathBuf {
    let place = "= step.tallies[index];";
    changed_kernels("faults/overrun", "step.cuh", |text| {
        assert!(text.contains(place));
        text.replace(place, "= step.tallies[index + 1];")
    })
}

/// The test above is seldom run; this one notices in time that its fault is no longer in the kernels.
#[test]
fn the_fault_to_find_can_be_planted() {
    overrun();
}

#[test]
#[ignore = "a part of the test above"]
fn planted() {
    let case = Case::new();
    let mut engine = case.engine(Emulator::new(1).with_sources(overrun()), &small());
    whole(&mut engine, &case.problem(), &plan());
}
