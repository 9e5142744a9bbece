use std::fmt::Write as _;

use snel_core::work::Work;

use std::path::Path;

use super::*;
use crate::config::Config;
use crate::run_folder::RunFolder;

/// A run with a validation `(step, lower, seconds)` each, of 100 evaluations a step.
fn run(folder: &Path, overrides: &[&str], validations: &[(u64, f64, f64)]) -> PathBuf {
    let overrides: Vec<String> = overrides.iter().map(ToString::to_string).collect();
    let config = Config::parse("[data]\ntoy = \"rings\"\n", "t.toml", &overrides).unwrap();
    let run = RunFolder::create(folder, &config).unwrap();
    let mut lines = String::new();
    for (step, lower, seconds) in validations {
        writeln!(
            lines,
            "{{\"kind\":\"validation\",\"step\":{step},\"lower\":{lower},\"upper\":{lower},\
             \"ess_fraction\":0.5,\"log_z\":0.0,\"b\":0.0,\"best\":true,\
             \"interval\":[{},{}],\"spent\":{{\"energies\":{},\"gradients\":{},\"seconds\":{seconds}}}}}",
            lower - 0.1,
            lower + 0.1,
            100 * step,
            200 * step,
        )
        .unwrap();
    }
    std::fs::write(run.metrics(), lines).unwrap();
    folder.to_path_buf()
}

#[test]
fn runs_stand_where_the_smallest_budget_leaves_them() {
    let temp = tempfile::tempdir().unwrap();
    let long = [(10, -3.0, 1.0), (20, -2.0, 2.0), (30, -2.5, 3.0), (40, -1.0, 4.0)];
    let a = run(&temp.path().join("a"), &["name=a"], &long);
    let b = run(&temp.path().join("b"), &["name=b", "objective.kind=nce"], &[(33, -2.2, 9.0)]);
    let comparison = compare(&[a, b]).unwrap();
    assert_eq!(comparison.warnings, Vec::<String>::new());
    let kinds: Vec<_> = comparison.runs.iter().map(|run| &run.settings["objective.kind"]).collect();
    assert_eq!(kinds, ["\"snl\"", "\"nce\""]);
    let [energies, gradients, seconds] = &comparison.budgets[..] else { panic!() };
    // 3,300 energies: the first run had made 30 steps and kept the model of step 20.
    assert_eq!((energies.budget, gradients.budget, seconds.budget), (3300.0, 6600.0, 4.0));
    let [Some(first), Some(second)] = energies.standings[..] else { panic!() };
    assert_eq!((first.step, first.best_step, first.lower), (30, 20, -2.0));
    assert_eq!(first.interval, [-2.1, -1.9]);
    assert_eq!(first.spent.work, Work { energies: 3000, gradients: 6000 });
    assert_eq!((second.step, second.lower), (33, -2.2));
    // By the clock the second run has nothing yet.
    assert_eq!(seconds.standings[1], None);
    assert_eq!(seconds.standings[0].map(|s| s.best_step), Some(40));
}

#[test]
fn final_evaluations_of_every_kind_are_understood() {
    let temp = tempfile::tempdir().unwrap();
    let a = run(&temp.path().join("a"), &[], &[(10, -3.0, 5.0)]);
    let of = |json: &str| {
        std::fs::write(a.join("eval.json"), json).unwrap();
        compare(std::slice::from_ref(&a)).unwrap().runs[0].evaluated.clone().unwrap()
    };
    let density =
        of("{\"name\":\"a\",\"split\":\"test\",\"step\":10,\"units\":\"\",\"log_det\":1.0,\
         \"standardised\":{\"rows\":3,\"interval\":[-2.0,null],\"rows_se\":0.5}}");
    assert_eq!(density.standardised.interval, [Some(-2.0), None]);
    let vae = of(
        "{\"name\":\"a\",\"split\":\"valid\",\"step\":10,\"evaluation\":{\"rows\":3,\"b\":0.0,\
         \"snelbo\":{\"value\":-90.0,\"se\":0.0},\"elbo\":{\"value\":-89.0,\"se\":0.0},\"rows_se\":null}}",
    );
    assert_eq!(vae.standardised.interval, [Some(-90.0), Some(-89.0)]);
    assert_eq!((vae.split, vae.standardised.rows_se), (crate::config::Split::Valid, None));
}

#[test]
fn the_clock_of_a_resumed_run_goes_on() {
    let temp = tempfile::tempdir().unwrap();
    let a = run(&temp.path().join("a"), &[], &[(10, -3.0, 5.0), (20, -2.0, 2.0), (30, -2.0, 4.0)]);
    let comparison = compare(&[a]).unwrap();
    assert_eq!(comparison.runs[0].now.spent.seconds, 9.0);
}

#[test]
fn other_rows_are_remarked_upon() {
    let temp = tempfile::tempdir().unwrap();
    let a = run(&temp.path().join("a"), &[], &[(10, -3.0, 5.0)]);
    let b = run(&temp.path().join("b"), &["seed=2"], &[(10, -3.0, 5.0)]);
    assert!(compare(&[a, b]).unwrap().warnings[0].contains("differ in seed"));
}

#[test]
fn what_is_missing_or_damaged_is_named() {
    let temp = tempfile::tempdir().unwrap();
    let none = temp.path().join("none");
    assert!(matches!(compare(&[none]), Err(CompareError::Folder(RunFolderError::Absent(_)))));
    let a = run(&temp.path().join("a"), &[], &[]);
    let error = compare(std::slice::from_ref(&a)).unwrap_err();
    assert!(matches!(error, CompareError::NoLedger(_)), "{error}");
    let b = run(&temp.path().join("b"), &[], &[(10, -3.0, 5.0)]);
    std::fs::write(b.join("eval.json"), "{\"split\":\"test\"").unwrap();
    let error = compare(&[b]).unwrap_err().to_string();
    assert!(error.contains("eval.json is no evaluation"), "{error}");
}
