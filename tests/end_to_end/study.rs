//! Studies leave a table, pictures and a page, and go on where they were stopped.

use std::fs;

use crate::snel::{Output, Place, signal, wait_for};

const FILES: [&str; 3] = ["study.csv", "study.html", "plots/gradient-bias.png"];

#[test]
fn samples_agree_with_theory() {
    let place = Place::new();
    let document = place.ok(&["study", "samples", "--quick", "--json"]).json();
    let checks = document["checks"].as_array().unwrap();
    assert!(checks.len() > 8, "{document}");
    for check in checks {
        assert_eq!(check["holds"], true, "{check}");
        // A verdict that any number would pass is none.
        assert!(check["measured"]["se"].as_f64().unwrap() < 1.0, "{check}");
    }
    for file in FILES {
        assert!(place.path("studies/samples").join(file).exists(), "{file}");
    }
    // All is there already: the same verdicts at once, and other settings are refused.
    let before = place.read("studies/samples/study.csv");
    let again = place.ok(&["study", "samples", "--quick"]);
    assert_eq!(again.stdout.matches("holds: ").count(), checks.len(), "{again:?}");
    assert_eq!(place.read("studies/samples/study.csv"), before);
    place.snel(&["study", "samples", "--quick", "--seed", "1"]).refuses(2, &["seed is 0", "--out"]);
}

#[test]
fn a_stopped_study_goes_on() {
    let place = Place::new();
    let study = ["study", "dimension", "--quick", "--out", "d"];
    let child = place.start(&study);
    wait_for(&place.path("d/study.csv"));
    signal(&child, "INT");
    let stopped = Output::of(child.wait_with_output().unwrap());
    assert_eq!(stopped.code, 130, "{stopped:?}");
    assert!(stopped.stderr.contains("go on with `snel study dimension --out d --quick`"));
    let before = fs::read_to_string(place.path("d/study.csv")).unwrap();
    place.ok(&study);
    let after = fs::read_to_string(place.path("d/study.csv")).unwrap();
    assert!(after.starts_with(&before) && after.len() > before.len());
    assert!(place.path("d/study.html").exists());
}

#[test]
fn workers_are_timed_and_modelled() {
    let place = Place::new();
    let out = place.ok(&["study", "workers", "--quick", "--threads", "2"]).stdout;
    for words in ["2 threads, weak", "2 processes, strong", "efficiency"] {
        assert!(out.contains(words), "no `{words}` in {out}");
    }
    let page = fs::read_to_string(place.path("studies/workers/study.html")).unwrap();
    assert!(page.contains("errors on the measured points") && page.contains("1024"));
    // Each parameter goes to the coordinator and back, 8 bytes, for each worker.
    let table = fs::read_to_string(place.path("studies/workers/study.csv")).unwrap();
    let mut lines = table.lines().skip(1);
    let names: Vec<&str> = lines.next().unwrap().split(',').collect();
    let column = |name: &str| names.iter().position(|&n| n == name).unwrap();
    for line in lines {
        let cells: Vec<&str> = line.split(',').collect();
        let number = |name: &str| cells[column(name)].parse::<f64>().unwrap();
        let expected = 16.0 * number("parameters") * number("workers");
        if cells[column("kind")] == "processes" {
            // Statistics and what names a sum are some two thousand bytes more, each way.
            let over = number("bytes") - expected;
            assert!((0.0..5000.0 * number("workers")).contains(&over), "{line}");
        } else {
            assert_eq!(number("bytes"), 0.0);
        }
        let phases = ["compute_ms", "reduce_ms", "finish_ms", "idle_ms"];
        let sum: f64 = phases.iter().map(|name| number(name)).sum();
        assert!((sum / number("estimate") - 1.0).abs() < 1e-9, "{line}");
    }
    assert!(!place.path("studies/workers/run").exists());
}
