//! The kernels under the address and undefined-behaviour sanitizers: in a process of its own,
//! because the sanitizer must be loaded before anything else.

use std::process::Command;

use crate::compilation::{FLAGS, available};

/// Small tests that use every kernel, every placement and every kind of density.
const TESTS: [&str; 3] = [
    "bits::placements_and_threads_cannot_be_seen",
    "bits::samples_follow_the_definition",
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
    let run = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--test-threads=2", "--nocapture"])
        .args(TESTS)
        .env(FLAGS, "-O1 -g1 -fsanitize=address,undefined -fno-sanitize-recover=undefined")
        .env("LD_PRELOAD", &library)
        .env("ASAN_OPTIONS", "detect_leaks=0")
        .output()
        .unwrap();
    let (out, err) = (String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    assert!(run.status.success() && out.contains("3 passed"), "{out}\n{err}");
}
