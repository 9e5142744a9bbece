//! Chains that persist are state like any other: threads, workers, deaths and interruptions leave the same
//! bytes.

use std::fs;
use std::process::Command;

use crate::snel::{Output, Place, children, signal, wait_for};

const MODEL: &str = "run/model.safetensors";
/// Checkpoints, which hold the chains, and the model, of which `b` is refitted.
const LAST: &str = "checkpoints/step-00001000.safetensors";
const LONG: [&str; 8] = [
    "--set",
    "objective={ kind = 'mcmc', steps = 3, buffer = 900 }",
    "--set",
    "train.steps=1000",
    "--set",
    "train.valid_every=250",
    "--set",
    "optim.schedule=constant",
];

fn train(place: &Place, extra: &[&str]) -> Output {
    place.ok(&[&["train", "small.toml", "--out", "run"], &LONG[..], extra].concat())
}

#[test]
fn interruptions_leave_the_same_chains() {
    let place = Place::with_small();
    train(&place, &["--threads", "1"]);
    let (model, last) = (place.read(MODEL), place.read(&format!("run/{LAST}")));
    let again = Place::with_small();
    let args = [&["train", "small.toml", "--out", "run", "--threads", "2"], &LONG[..]].concat();
    let child = again.start(&args);
    wait_for(&again.path("run/checkpoints/step-00000020.safetensors"));
    signal(&child, "INT");
    let stopped = Output::of(child.wait_with_output().unwrap());
    assert_eq!(stopped.code, 130, "{stopped:?}");
    train(&again, &["--resume"]);
    assert!(again.read(MODEL) == model && again.read(&format!("run/{LAST}")) == last);
}

#[test]
fn deaths_leave_the_same_chains() {
    let place = Place::with_small();
    train(&place, &[]);
    let launch =
        [&["launch", "small.toml", "--out", "launched", "--workers", "2"], &LONG[..]].concat();
    let child = place.start(&launch);
    for step in ["00000040", "00000400"] {
        wait_for(&place.path(&format!("launched/checkpoints/step-{step}.safetensors")));
        if let Some(victim) = children(&child, "worker").first() {
            // It may be gone already.
            let _ = Command::new("kill").args(["-s", "KILL", victim]).output();
        }
    }
    let output = Output::of(child.wait_with_output().unwrap());
    assert_eq!(output.code, 0, "{output:?}");
    assert!(place.read("launched/model.safetensors") == place.read(MODEL));
    assert!(place.read(&format!("launched/{LAST}")) == place.read(&format!("run/{LAST}")));
}

#[test]
fn what_is_said_of_chains_makes_sense() {
    let place = Place::with_small();
    let trained = train(&place, &[]);
    assert!(trained.stderr.contains("b is refitted"), "{trained:?}");
    let metrics = fs::read_to_string(place.path("run/metrics.jsonl")).unwrap();
    let records: Vec<serde_json::Value> =
        metrics.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let steps: Vec<_> = records.iter().filter(|record| record["kind"] == "step").collect();
    assert_eq!(steps.len(), 1000);
    for step in &steps {
        let acceptance = step["acceptance"].as_f64().unwrap();
        assert!((0.0..=1.0).contains(&acceptance) && step["step_size"].as_f64().unwrap() > 0.0);
        assert!(step["contrast"].is_f64() && step.get("ess_fraction").is_none(), "{step}");
    }
    // The harmonic mean over chains has come to 0.574; the plain one is above it, by what narrow places need.
    let late = steps[900..].iter().map(|step| step["acceptance"].as_f64().unwrap());
    let late = late.sum::<f64>() / 100.0;
    assert!((0.574..0.75).contains(&late), "{late}");
    // 1,000 and 2,000 samples: log Z has an error of a few hundredths, and so has b.
    let eval: serde_json::Value = serde_json::from_slice(&place.read("run/eval.json")).unwrap();
    assert_eq!(eval["b_refitted"], true);
    let off = eval["standardised"]["b_minus_log_z"]["value"].as_f64().unwrap();
    assert!(off.abs() < 0.3, "{off}");
    place
        .snel(&["train", "small.toml", "--out", "gpu", "--device", "cuda:0", LONG[0], LONG[1]])
        .refuses(2, &["mcmc", "CPU only"]);
}
