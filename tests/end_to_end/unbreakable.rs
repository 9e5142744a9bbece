//! Bad input and a hostile world: one clear message, the documented exit code, nothing lost.

use std::fs;
use std::path::Path;
#[cfg(target_os = "linux")]
use std::process::Command;

use crate::snel::{Output, Place};

fn trained() -> Place {
    let place = Place::with_small();
    place.ok(&["train", "small.toml", "--out", "run"]);
    place
}

fn truncate(path: &Path) {
    let bytes = fs::read(path).unwrap();
    fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
}

#[test]
fn a_truncated_checkpoint_is_passed_over() {
    let place = trained();
    let model = place.read("run/model.safetensors");
    truncate(&place.path("run/checkpoints/step-00000120.safetensors"));
    let again = place.ok(&["train", "small.toml", "--out", "run", "--resume"]);
    assert!(again.stderr.contains("step-00000120.safetensors is damaged"), "{again:?}");
    assert!(place.read("run/model.safetensors") == model);
}

#[test]
fn damage_everywhere_is_told_and_nothing_is_removed() {
    let place = trained();
    for step in ["080", "100", "120"] {
        truncate(&place.path(&format!("run/checkpoints/step-00000{step}.safetensors")));
    }
    place
        .snel(&["train", "small.toml", "--out", "run", "--resume"])
        .refuses(65, &["step-00000120.safetensors", "damaged"]);
    assert!(place.path("run/model.safetensors").exists());
    truncate(&place.path("run/model.safetensors"));
    for args in [&["eval", "run"][..], &["plot", "run"], &["inspect", "run/model.safetensors"]] {
        place.snel(args).refuses(65, &["model.safetensors", "damaged"]);
    }
}

#[test]
fn configs_are_refused_with_a_way_out() {
    let place = Place::with_small();
    let train =
        |extra: &[&str]| place.snel(&[&["train", "small.toml", "--out", "new"], extra].concat());
    train(&["--set", "model.widht=3"]).refuses(2, &["model.widht", "did you mean `width`"]);
    train(&["--set", "train.samples=0"]).refuses(2, &["train.samples"]);
    train(&["--set", "optim.lr=nan"]).refuses(2, &["optim.lr"]);
    train(&["--set", "optim.lr=1e300"]).refuses(2, &["optim.lr", "at most 1000"]);
    train(&["--set", "data.toy=gaussian", "--set", "data.member=x"]).refuses(2, &["data.member"]);
    train(&["--set", "model.width=1e9"]).refuses(2, &["model.width"]);
    train(&["--set", "proposal.df=3"]).refuses(2, &["proposal.df"]);
    place.snel(&["train", "absent.toml"]).refuses(2, &["absent.toml"]);
    place.write("broken.toml", "[data\n");
    place.snel(&["train", "broken.toml"]).refuses(2, &["broken.toml", "line 1"]);
    assert!(!place.path("new").exists(), "a refused config makes no folder");
    assert_eq!(place.snel(&["train"]).code, 2);
}

#[test]
fn a_run_is_never_started_over_or_bent() {
    let place = trained();
    let model = place.read("run/model.safetensors");
    place
        .snel(&["train", "small.toml", "--out", "run"])
        .refuses(2, &["already holds a run", "--resume"]);
    place
        .snel(&["train", "small.toml", "--out", "run", "--resume", "--set", "optim.lr=0.5"])
        .refuses(2, &["optim.lr was 0.001 and is 0.5"]);
    place.snel(&["eval", "nowhere"]).refuses(2, &["nowhere"]);
    assert!(place.read("run/model.safetensors") == model);
}

#[test]
fn data_is_refused_by_file_line_and_column() {
    let place = Place::new();
    let rows: String = (0..60).map(|i| format!("{i},{},{}\n", i * i % 17, (i * 7) % 11)).collect();
    let good = format!("a,b,c\n{rows}");
    let config = "[data]\npath = \"x.csv\"\n[train]\nsteps = 10\nvalid_samples = 100\n";
    place.write("x.toml", config);
    let train = |text: &str, extra: &[&str]| {
        place.write("x.csv", text);
        place.snel(&[&["train", "x.toml", "--out", "new"], extra].concat())
    };
    train(&good.replace("\n5,", "\nnan,"), &[]).refuses(65, &["x.csv", "line 7", "a"]);
    train(&good.replace("\n5,8,2", "\n5,8"), &[]).refuses(65, &["x.csv", "line 7"]);
    train(&good.replace("\n5,8,", "\n5,eight,"), &[]).refuses(65, &["x.csv", "line 7", "eight"]);
    train("", &[]).refuses(65, &["x.csv"]);
    train("a,b\n", &[]).refuses(65, &["x.csv"]);
    let constant: String = (0..60).map(|i| format!("{i},4\n")).collect();
    train(&format!("a,b\n{constant}"), &[]).refuses(65, &["`b`"]);
    train(&good, &["--set", "data.columns=[\"a\", \"bb\"]"]).refuses(65, &["bb", "`b`"]);
    train(&good, &["--set", "data.path=absent.csv"]).refuses(65, &["absent.csv"]);
    assert!(!place.path("new").exists(), "refused data makes no folder");
}

#[test]
fn a_diverging_run_stops_and_keeps_what_it_had() {
    let place = Place::with_small();
    // A learning rate of 1000 throws the energy anywhere.
    let output = place.snel(&[
        "train",
        "small.toml",
        "--out",
        "run",
        "--set",
        "optim.lr=1e3",
        "--set",
        "train.steps=3000",
        "--set",
        "optim.schedule=constant",
        "--set",
        "train.checkpoint_every=1",
    ]);
    output.refuses(70, &["diverged at step", "hint: "]);
    let checkpoints = fs::read_dir(place.path("run/checkpoints")).unwrap().count();
    assert!(checkpoints > 0);
    for entry in fs::read_dir(place.path("run/checkpoints")).unwrap() {
        place.ok(&["inspect", &entry.unwrap().path().display().to_string()]);
    }
}

#[test]
fn a_folder_that_cannot_be_made() {
    let place = Place::with_small();
    place.write("file", "not a folder");
    place.snel(&["train", "small.toml", "--out", "file/run"]).refuses(75, &["file/run"]);
    assert_eq!(place.read("file"), b"not a folder");
}

/// A full disk in the middle of a run: the newest checkpoint is whole, and with room again the run
/// ends in the bytes of an undisturbed one.
#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_costs_nothing_saved() {
    let place = trained();
    let disk = place.path("disk");
    fs::create_dir(&disk).unwrap();
    if !mount_tmpfs(&disk) {
        println!("skipped: this user may not mount a small tmpfs");
        return;
    }
    let _unmount = Unmount(&disk);
    fs::write(disk.join("ballast"), vec![1; 100 << 10]).unwrap();
    let train = ["train", "small.toml", "--out", "disk/run"];
    let full = place.snel(&train);
    full.refuses(75, &["disk/run", "No space left", "--resume"]);
    assert_eq!(full.stderr.matches("error: ").count(), 1, "{full:?}");
    let newest = fs::read_dir(disk.join("run/checkpoints")).unwrap();
    let mut sound = 0;
    for entry in newest {
        place.ok(&["inspect", &entry.unwrap().path().display().to_string()]);
        sound += 1;
    }
    assert!(sound > 0, "the disk was full before the first checkpoint");
    fs::remove_file(disk.join("ballast")).unwrap();
    // Pictures do not fit this disk; the model does.
    let _ = place.snel(&[&train[..], &["--resume"]].concat());
    assert!(place.read("disk/run/model.safetensors") == place.read("run/model.safetensors"));
}

/// Mounts 220 KiB of memory on `folder`; false where this user may not.
#[cfg(target_os = "linux")]
fn mount_tmpfs(folder: &Path) -> bool {
    let args = ["-t", "tmpfs", "-o", "size=220k", "tmpfs"];
    Command::new("mount").args(args).arg(folder).output().is_ok_and(|o| o.status.success())
}

#[cfg(target_os = "linux")]
struct Unmount<'a>(&'a Path);

#[cfg(target_os = "linux")]
impl Drop for Unmount<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0).status();
    }
}

/// `snel … | head` closes the pipe early.
#[test]
fn a_closed_pipe_is_no_fault() {
    let place = Place::new();
    let mut child = place.start(&["completions", "bash"]);
    drop(child.stdout.take());
    let output = Output::of(child.wait_with_output().unwrap());
    assert_eq!(output.code, 0, "{output:?}");
}

/// Early stopping leaves the best model and says so.
#[test]
fn patience_ends_a_run_early() {
    let place = Place::with_small();
    let output = place.ok(&[
        "train",
        "small.toml",
        "--out",
        "run",
        "--json",
        "--set",
        "train.patience=2",
        "--set",
        "train.steps=100_000",
        "--set",
        "train.valid_every=20",
        "--set",
        "optim.lr=0.02",
        "--set",
        "optim.schedule=constant",
    ]);
    let document = output.json();
    assert_eq!(document["outcome"], "stopped early");
    assert!(document["step"].as_u64().unwrap() < 100_000);
    assert!(place.path("run/model.safetensors").exists());
}

/// Killed before its first checkpoint, a run goes on all the same: from step 0, to the same bytes.
#[test]
fn a_run_without_a_checkpoint_begins_again() {
    let place = trained();
    let model = place.read("run/model.safetensors");
    let resume = ["train", "small.toml", "--out", "run", "--resume"];
    fs::remove_dir_all(place.path("run/checkpoints")).unwrap();
    place.snel(&resume).refuses(2, &["no checkpoint to go on from", "--out"]);
    assert!(place.read("run/model.safetensors") == model);
    fs::remove_file(place.path("run/model.safetensors")).unwrap();
    let again = place.ok(&resume);
    assert!(again.stderr.contains("begins at step 0"), "{again:?}");
    assert!(place.read("run/model.safetensors") == model);
}

#[test]
fn a_network_too_large_for_the_machine_is_refused_before_it_is_made() {
    let place = Place::with_small();
    let huge = ["--set", "model.width=65536", "--set", "model.depth=64"];
    place
        .snel(&[&["train", "small.toml", "--out", "run"][..], &huge].concat())
        .refuses(75, &["GiB of memory", "hint: "]);
    assert!(!place.path("run").exists());
    let plan = place.ok(&[&["plan", "small.toml"][..], &huge].concat());
    assert!(plan.stdout.contains("more than this machine gives"), "{plan:?}");
}

/// Both rates at their upper end leave the first validation, at the end, without a finite bound.
#[test]
fn a_run_that_never_had_a_finite_bound_leaves_no_model() {
    let place = Place::with_small();
    let sets = ["optim.lr=1e3", "optim.b_lr=1e3", "train.steps=9"];
    let sets: Vec<&str> = sets.iter().flat_map(|set| ["--set", set]).collect();
    place
        .snel(&[&["train", "small.toml", "--out", "run"][..], &sets].concat())
        .refuses(70, &["no model to keep", "optim.lr"]);
    assert!(!place.path("run/model.safetensors").exists());
}

#[test]
fn results_that_cannot_be_written() {
    let place = trained();
    let sample = |out: &str| place.snel(&["sample", "run", "-n", "5", "--out", out]);
    sample("x.foo").refuses(2, &["x.foo", ".csv"]);
    sample("nowhere/x.csv").refuses(2, &["nowhere/x.csv", "hint: make that folder"]);
    fs::create_dir(place.path("folder.csv")).unwrap();
    sample("folder.csv").refuses(75, &["folder.csv", "hint: "]);
    place.write("large.csv", "a,b\n1,2\n1e300,3\n");
    place
        .snel(&["score", "run", "--data", "large.csv", "--out", "scores.csv"])
        .refuses(65, &["32-bit", "hint: "]);
    assert!(!place.path("scores.csv").exists());
    let left = fs::read_dir(place.path(".")).unwrap();
    let left =
        left.filter(|e| e.as_ref().unwrap().file_name().to_string_lossy().starts_with(".snel"));
    assert_eq!(left.count(), 0);
}

#[test]
fn other_evaluations_leave_the_runs_own_alone() {
    let place = trained();
    let own = place.read("run/eval.json");
    place.ok(&["eval", "run", "--split", "train", "--samples", "500"]);
    assert!(place.read("run/eval.json") == own);
}
