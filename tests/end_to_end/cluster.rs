//! The cluster as a user meets it: launch, coordinator, workers, and the client of the control
//! plane.

use std::io::{BufRead, BufReader};
use std::process::Child;

use crate::snel::{Output, Place, signal, wait_for};

const MODEL: &str = "run/model.safetensors";

/// A process that does not outlive its test.
pub(crate) struct Kept(pub(crate) Child);

impl Drop for Kept {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A coordinator on a free port, and its URL.
pub(crate) fn coordinator(place: &Place, extra: &[&str]) -> (Kept, String) {
    let args = ["coordinator", "--dir", "runs", "--listen", "127.0.0.1:0"];
    let mut child = place.start(&[&args[..], extra].concat());
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    (Kept(child), format!("http://{}", line.trim()))
}

pub(crate) fn worker(place: &Place, url: &str, name: &str) -> Kept {
    let args = ["worker", "--coordinator", url, "--name", name, "--threads", "1", "--quiet"];
    Kept(place.start(&args))
}

#[test]
fn any_number_of_workers_leaves_the_same_bytes() {
    for objective in ["snl", "is-mle", "nce"] {
        let set = format!("objective.kind={objective}");
        let place = Place::with_small();
        place.ok(&["train", "small.toml", "--out", "run", "--set", &set]);
        for workers in ["1", "2", "3", "5"] {
            let out = format!("run-{workers}");
            let args = ["launch", "small.toml", "--out", &out, "--workers", workers, "--set", &set];
            place.ok(&args);
            let model = place.read(&format!("{out}/model.safetensors"));
            assert!(model == place.read(MODEL), "{objective} with {workers} workers");
        }
    }
}

#[test]
fn launch_leaves_the_folder_that_train_leaves() {
    let place = Place::with_small();
    place.ok(&["train", "small.toml", "--out", "run"]);
    place.ok(&["launch", "small.toml", "--out", "launched", "--workers", "2"]);
    let files = |run: &str| {
        let mut names: Vec<String> = std::fs::read_dir(place.path(run))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| !name.starts_with("events.out"))
            .collect();
        names.sort();
        names
    };
    let mut launched = files("launched");
    launched.retain(|name| !["cluster.json", "record.log"].contains(&name.as_str()));
    assert_eq!(launched, files("run"));
    for file in ["config.toml", "eval.json", "checkpoints/step-00000120.safetensors"] {
        let same = place.read(&format!("launched/{file}")) == place.read(&format!("run/{file}"));
        assert!(same, "{file}");
    }
}

#[test]
fn ctrl_c_checkpoints_a_launch_and_resume_goes_on() {
    let place = Place::with_small();
    let long = ["--set", "train.steps=3000", "--set", "train.valid_every=500"];
    place.ok(&[&["train", "small.toml", "--out", "run"], &long[..]].concat());
    let launch =
        [&["launch", "small.toml", "--out", "launched", "--workers", "2"], &long[..]].concat();
    let child = place.start(&launch);
    wait_for(&place.path("launched/checkpoints/step-00000020.safetensors"));
    signal(&child, "INT");
    let stopped = Output::of(child.wait_with_output().unwrap());
    assert_eq!(stopped.code, 130, "{stopped:?}");
    assert!(stopped.stderr.contains("snel launch"), "{stopped:?}");
    assert!(!place.path("launched/model.safetensors").exists());
    place.ok(&[&launch[..], &["--resume"]].concat());
    assert!(place.read("launched/model.safetensors") == place.read(MODEL));
}

/// Submitted before there is a worker; a second worker joins in the middle, the first drains.
#[test]
fn workers_come_and_go_and_the_client_sees_it() {
    let place = Place::with_small();
    let long = ["--set", "train.steps=2000", "--set", "train.valid_every=500"];
    place.ok(&[&["train", "small.toml", "--out", "run"], &long[..]].concat());
    let (_coordinator, url) = coordinator(&place, &[]);
    let client = |args: &[&str]| place.ok(&[args, &["--coordinator", &url]].concat());
    client(&[&["run", "submit", "small.toml", "--name", "one"], &long[..]].concat());
    let shown = client(&["run", "show", "one", "--json"]).json();
    assert_eq!((&shown["phase"], &shown["step"]), (&"waiting".into(), &0.into()));
    let mut first = worker(&place, &url, "first");
    wait_for(&place.path("runs/one/checkpoints/step-00000020.safetensors"));
    let _second = worker(&place, &url, "second");
    let workers = || client(&["run", "show", "one", "--json"]).json()["workers"].clone();
    while workers() != serde_json::json!(["first", "second"]) {}
    client(&["run", "pause", "one"]);
    while client(&["run", "show", "one", "--json"]).json()["phase"] != "paused" {}
    client(&["run", "resume", "one"]);
    signal(&first.0, "TERM");
    assert!(first.0.wait().unwrap().success(), "a drained worker ends well");
    let end = client(&["run", "watch", "one"]);
    assert!(end.stdout.contains("finished"), "{end:?}");
    client(&["run", "fetch", "one", "--out", "fetched.safetensors"]);
    assert!(place.read("fetched.safetensors") == place.read(MODEL));
    let idle = client(&["worker-list", "--json"]).json();
    assert_eq!((&idle[0]["name"], &idle[0]["state"]), (&"second".into(), &"idle".into()));
}

/// What started a worker learns from its end whether to start another.
#[test]
fn a_worker_that_a_signal_ends_can_ask_for_another() {
    let place = Place::with_small();
    let (coordinator, url) = coordinator(&place, &[]);
    let client = |args: &[&str]| place.ok(&[args, &["--coordinator", &url]].concat());
    let start = |name| {
        let args = ["worker", "--coordinator", &url, "--name", name, "--threads", "1"];
        Kept(place.start(&[&args[..], &["--again-on-signal"]].concat()))
    };
    let names = || client(&["worker-list"]).stdout;
    let (mut signalled, mut drained) = (start("signalled"), start("drained"));
    while !names().contains("signalled") || !names().contains("drained") {}
    signal(&signalled.0, "TERM");
    client(&["run", "drain", "drained"]);
    assert_eq!(signalled.0.wait().unwrap().code(), Some(75));
    assert_eq!(drained.0.wait().unwrap().code(), Some(0));
    // Nor does it need a coordinator for that.
    let mut alone = start("alone");
    while !names().contains("alone") {}
    drop(coordinator);
    signal(&alone.0, "TERM");
    assert_eq!(alone.0.wait().unwrap().code(), Some(75));
}

#[test]
fn a_worker_that_never_found_its_coordinator_can_be_ended() {
    let place = Place::new();
    // Hangs up at once. Who dials has its handlers of signals.
    let stranger = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", stranger.local_addr().unwrap());
    let mut worker = Kept(place.start(&["worker", "--coordinator", &url, "--threads", "1"]));
    drop(stranger.accept().unwrap());
    signal(&worker.0, "TERM");
    assert!(worker.0.wait().unwrap().success());
}

#[test]
fn two_runs_share_the_workers() {
    let place = Place::with_small();
    place.ok(&["train", "small.toml", "--out", "run"]);
    let (_coordinator, url) = coordinator(&place, &[]);
    let _workers = [worker(&place, &url, "a"), worker(&place, &url, "b")];
    for run in ["one", "two"] {
        let submit = ["run", "submit", "small.toml", "--name", run, "--workers", "1"];
        place.ok(&[&submit[..], &["--coordinator", &url]].concat());
    }
    for run in ["one", "two"] {
        place.ok(&["run", "watch", run, "--coordinator", &url]);
        assert!(place.read(&format!("runs/{run}/model.safetensors")) == place.read(MODEL));
    }
}

/// What ended under one coordinator can be listed, fetched and taken further under the next.
#[test]
fn ended_runs_outlive_their_coordinator() {
    let place = Place::with_small();
    let more = ["--set", "train.steps=200"];
    place.ok(&["train", "small.toml", "--out", "run"]);
    place.ok(&[&["train", "small.toml", "--out", "run", "--resume"], &more[..]].concat());
    let (first, url) = coordinator(&place, &[]);
    let first_worker = worker(&place, &url, "w");
    place.ok(&["run", "submit", "small.toml", "--name", "done", "--coordinator", &url]);
    place.ok(&["run", "submit", "small.toml", "--name", "ended", "--coordinator", &url]);
    place.ok(&["run", "watch", "done", "--coordinator", &url]);
    place.ok(&["run", "watch", "ended", "--coordinator", &url]);
    drop((first, first_worker));
    // As after a kill between the record of the end and the model.
    std::fs::remove_file(place.path("runs/ended/model.safetensors")).unwrap();
    // An old run that cannot be read any more does not keep a coordinator from starting.
    std::fs::create_dir_all(place.path("runs/old")).unwrap();
    std::fs::copy(place.path("runs/ended/record.log"), place.path("runs/old/record.log")).unwrap();
    place.write("runs/old/config.toml", "[train]\nno_such_key = 1\n");

    let (_second, url) = coordinator(&place, &[]);
    let at = ["--coordinator", &url];
    let shown = place.ok(&[&["run", "show", "ended", "--json"], &at[..]].concat()).json();
    assert_eq!((&shown["phase"], &shown["step"]), (&"finished".into(), &120.into()));
    let list = place.ok(&[&["run", "list"], &at[..]].concat()).stdout;
    assert!(list.contains("done") && list.contains("ended"), "{list}");
    let (done, ended) = ("runs/done/model.safetensors", place.read("runs/ended/model.safetensors"));
    assert!(ended == place.read(done), "made again");
    place.ok(&[&["run", "fetch", "done", "--out", "fetched.safetensors"], &at[..]].concat());
    assert!(place.read("fetched.safetensors") == place.read("runs/done/model.safetensors"));
    place.ok(&[&["run", "watch", "done"], &at[..]].concat());
    let _worker = worker(&place, &url, "w");
    let submit = ["run", "submit", "small.toml", "--name", "done", "--resume"];
    place.ok(&[&submit[..], &more, &at].concat());
    place.ok(&[&["run", "watch", "done"], &at[..]].concat());
    assert!(place.read("runs/done/model.safetensors") == place.read(MODEL));
}

#[test]
fn what_cannot_be_is_refused_with_a_way_out() {
    let place = Place::with_small();
    place
        .snel(&["run", "list", "--coordinator", "http://127.0.0.1:1"])
        .refuses(75, &["cannot reach a coordinator", "snel coordinator"]);
    place.snel(&["coordinator", "--listen", "0.0.0.0:0"]).refuses(2, &["0.0.0.0", "--tls-cert"]);
    let (_coordinator, url) = coordinator(&place, &[]);
    let refuses = |args: &[&str], code, words: &[&str]| {
        place.snel(&[args, &["--coordinator", &url]].concat()).refuses(code, words);
    };
    refuses(&["run", "show", "absent"], 2, &["absent"]);
    refuses(&["run", "submit", "small.toml", "--name", "../x"], 2, &["no name of a run"]);
    refuses(&["run", "drain", "nobody"], 2, &["nobody"]);
    let submit = ["run", "submit", "small.toml", "--name", "twice"];
    place.ok(&[&submit[..], &["--coordinator", &url]].concat());
    refuses(&submit, 2, &["twice", "run watch"]);
    refuses(&["run", "fetch", "twice", "--file", "../../etc/passwd", "--out", "x"], 2, &["folder"]);
    // Data that is nowhere fails the worker, which says so; the run does not hang in silence.
    place.write("no-data.toml", "[data]\npath = \"/nowhere/rows.csv\"\n[train]\nsteps = 10\n");
    place.ok(&["run", "submit", "no-data.toml", "--name", "no-data", "--coordinator", &url]);
    let launched = place.snel(&["launch", "no-data.toml", "--out", "l", "--workers", "2"]);
    launched.refuses(65, &["/nowhere/rows.csv"]);
}
