//! Promise P2 on one machine: threads, interruptions and kills leave the same bytes.

use crate::snel::{Output, Place, signal, wait_for};

const MODEL: &str = "run/model.safetensors";

fn undisturbed(extra: &[&str]) -> Vec<u8> {
    let place = Place::with_small();
    place.ok(&[&["train", "small.toml", "--out", "run", "--threads", "1"], extra].concat());
    place.read(MODEL)
}

#[test]
fn threads_leave_the_same_bytes() {
    for objective in ["snl", "is-mle", "nce"] {
        let set = format!("objective.kind={objective}");
        let one = undisturbed(&["--set", &set]);
        for threads in ["2", "3"] {
            let place = Place::with_small();
            let args = ["train", "small.toml", "--out", "run", "--threads", threads, "--set", &set];
            place.ok(&args);
            assert!(place.read(MODEL) == one, "{objective} with {threads} threads");
        }
    }
}

/// Enough steps for a signal to arrive in the middle.
const LONG: [&str; 4] = ["--set", "train.steps=3000", "--set", "train.valid_every=500"];

#[test]
fn ctrl_c_checkpoints_and_resume_goes_on() {
    let place = Place::with_small();
    let train = [&["train", "small.toml", "--out", "run"], &LONG[..]].concat();
    let child = place.start(&train);
    wait_for(&place.path("run/checkpoints/step-00000020.safetensors"));
    signal(&child, "INT");
    let stopped = Output::of(child.wait_with_output().unwrap());
    assert_eq!(stopped.code, 130, "{stopped:?}");
    assert!(stopped.stderr.contains("--resume"), "{stopped:?}");
    assert!(!place.path(MODEL).exists());
    place.ok(&[&train[..], &["--resume"]].concat());
    assert!(place.read(MODEL) == undisturbed(&LONG));
}

#[test]
fn kill_9_loses_a_moment_only() {
    let place = Place::with_small();
    let train = [&["train", "small.toml", "--out", "run"], &LONG[..]].concat();
    for step in ["00000040", "00000400"] {
        let resume: &[&str] = if step == "00000040" { &[] } else { &["--resume"] };
        let mut child = place.start(&[&train[..], resume].concat());
        wait_for(&place.path(&format!("run/checkpoints/step-{step}.safetensors")));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    place.ok(&[&train[..], &["--resume"]].concat());
    assert!(place.read(MODEL) == undisturbed(&LONG));
    // Every step is in the metrics once.
    let lines = String::from_utf8(place.read("run/metrics.jsonl")).unwrap();
    let steps: Vec<u64> = lines
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .filter(|record| record["kind"] == "step")
        .map(|record| record["step"].as_u64().unwrap())
        .collect();
    assert!(steps.windows(2).all(|pair| pair[0] < pair[1]), "{steps:?}");
    assert_eq!(steps.last(), Some(&3000));
}

/// With a schedule that does not know the end, 2k steps are k steps and k more.
#[test]
fn a_run_can_be_made_longer() {
    let constant = ["--set", "optim.schedule=constant", "--set", "train.valid_every=60"];
    let place = Place::with_small();
    let train = [&["train", "small.toml", "--out", "run"], &constant[..]].concat();
    place.ok(&[&train[..], &["--set", "train.steps=60"]].concat());
    place.ok(&[&train[..], &["--set", "train.steps=120", "--resume"]].concat());
    assert!(place.read(MODEL) == undisturbed(&constant));
}
