//! Whole data sets: parts, scales, scratch files, refusals.

use crate::files::{Folder, columns};
use snel_core::rows::Rows;
use snel_data::{DataError, DataSource, DataSpec, Dataset, Files};

fn all(rows: &impl Rows) -> Vec<f32> {
    let indices: Vec<u64> = (0..rows.len()).collect();
    let mut out = vec![0.0; indices.len() * rows.dim()];
    rows.gather(&indices, &mut out).unwrap();
    out
}

fn toy(name: &str, rows: u64) -> DataSpec {
    DataSpec::new(DataSource::Toy { name: name.to_owned(), rows, dim: None })
}

fn csv(rows: u32) -> String {
    let rows = (0..rows).map(|i| format!("{i},{},{}\n", i * i, f64::from(i) * 1e6 + 1e9));
    std::iter::once("a,b,c\n".to_owned()).chain(rows).collect()
}

fn lines(line: impl Fn(u32) -> String) -> String {
    (0..50).map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn parts_are_the_rows_of_the_file_scaled_by_the_training_rows() {
    let folder = Folder::new();
    let spec = DataSpec::new(DataSource::File(folder.file("a.csv", csv(1000))));
    let data = Dataset::load(&spec, folder.path()).unwrap();
    assert_eq!([data.train.len(), data.valid.len(), data.test.len()], [800, 100, 100]);
    assert_eq!(data.columns, ["a", "b", "c"]);
    let train = all(&*data.train);
    for k in 0..3 {
        let column = || train.iter().skip(k).step_by(3).map(|&v| f64::from(v));
        // Each value is off by at most half a unit of f32, 6e-8 times its size (at most 3 here).
        let mean = column().sum::<f64>() / 800.0;
        let var = column().map(|v| (v - mean).powi(2)).sum::<f64>() / 800.0;
        assert!(mean.abs() < 2e-7 && (var - 1.0).abs() < 1e-6, "{k}: {mean} {var}");
    }
    // Every row of the file is in one part, in order, and comes back through the inverse.
    let mut seen: Vec<u32> = Vec::new();
    for part in [&*data.train, &data.valid, &data.test] {
        let mut values: Vec<f64> = all(part).iter().map(|&v| f64::from(v)).collect();
        data.standardise.invert(&mut values);
        let firsts: Vec<u32> = values.chunks(3).map(|row| row[0].round() as u32).collect();
        assert!(firsts.is_sorted());
        seen.extend(firsts);
    }
    seen.sort_unstable();
    assert_eq!(seen, (0..1000).collect::<Vec<_>>());
}

#[test]
fn a_small_memory_limit_changes_nothing_but_the_place() {
    let folder = Folder::new();
    let mut spec = DataSpec::new(DataSource::File(folder.file("a.csv", csv(5000))));
    let near = Dataset::load(&spec, folder.path()).unwrap();
    spec.memory_limit = 1000;
    let far = Dataset::load(&spec, folder.path()).unwrap();
    assert!(near.train.in_memory() && !far.train.in_memory());
    assert_eq!(near.standardise, far.standardise);
    for (a, b) in [(&*near.train, &*far.train), (&near.valid, &far.valid), (&near.test, &far.test)]
    {
        assert_eq!(all(a), all(b));
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "scratch files have no name");
}

#[test]
fn one_file_a_part() {
    let folder = Folder::new();
    let files = Files {
        train: folder.file("train.csv", "x,y\n0,1\n2,5\n"),
        valid: folder.file("valid.csv", "x,y\n1,3\n"),
        test: folder.file("test.csv", "x,y\n3,3\n4,4\n"),
    };
    let data =
        Dataset::load(&DataSpec::new(DataSource::Files(files.clone())), folder.path()).unwrap();
    assert_eq!(
        (data.standardise.mean(), data.standardise.sd()),
        (&[1.0, 3.0][..], &[1.0, 2.0][..])
    );
    assert_eq!(all(&*data.train), [-1.0, -1.0, 1.0, 1.0]);
    assert_eq!(all(&data.valid), [0.0, 0.0]);
    assert_eq!(all(&data.test), [2.0, 0.0, 3.0, 0.5]);

    let other = Files { test: folder.file("other.csv", "x,z\n3,3\n"), ..files.clone() };
    let refused = Dataset::load(&DataSpec::new(DataSource::Files(other)), folder.path());
    assert!(matches!(refused, Err(DataError::ColumnsDiffer { .. })));
    let few = Files { train: folder.file("few.csv", "x,y\n3,3\n"), ..files };
    let refused = Dataset::load(&DataSpec::new(DataSource::Files(few)), folder.path());
    assert!(matches!(refused, Err(DataError::TooFewRows { part: "training", .. })));
}

#[test]
fn constant_columns_and_values_beyond_f32() {
    let folder = Folder::new();
    let path = folder.file("a.csv", lines(|i| format!("{i},7")));
    let mut spec = DataSpec::new(DataSource::File(path.clone()));
    let refused = Dataset::load(&spec, folder.path()).unwrap_err();
    assert!(matches!(&refused, DataError::ConstantColumn { column, value }
        if column == "1" && *value == 7.0));
    spec.standardise = false;
    let data = Dataset::load(&spec, folder.path()).unwrap();
    assert_eq!(data.standardise.log_det(), 0.0);
    assert_eq!(all(&*data.train)[1], 7.0);
    spec.standardise = true;
    spec.read = columns(&["0"]);
    assert_eq!(Dataset::load(&spec, folder.path()).unwrap().columns, ["0"]);

    let path = folder.file("b.csv", lines(|i| format!("{i}e40")));
    spec = DataSpec { standardise: false, ..DataSpec::new(DataSource::File(path)) };
    let refused = Dataset::load(&spec, folder.path());
    assert!(matches!(refused, Err(DataError::OutOfRange { .. })));
}

#[test]
fn scratch_space_that_is_not_there() {
    let folder = Folder::new();
    let spec = DataSpec { memory_limit: 0, ..toy("rings", 100) };
    let refused = Dataset::load(&spec, &folder.path().join("nowhere"));
    assert!(matches!(refused, Err(DataError::Scratch { .. })));
}

/// The mean true log-density is minus the entropy in original units, plus the logarithms of the
/// deviations. The funnel's are far from 1. Its log-density has variance 1 (two chi-squares, halved)
/// plus that of `v / 2`, 9 / 4.
#[test]
fn the_true_log_density_is_in_the_units_of_the_rows() {
    let folder = Folder::new();
    let data = Dataset::load(&toy("funnel", 40_000), folder.path()).unwrap();
    let rows = all(&*data.train);
    let n = data.train.len() as f64;
    let mean = rows.chunks(2).map(|row| data.true_log_density(row).unwrap()).sum::<f64>() / n;
    let entropy = 1.0 + std::f64::consts::TAU.ln() + 3.0f64.ln();
    let scales: f64 = data.standardise.sd().iter().map(|sd| sd.ln()).sum();
    assert!(scales > 1.0, "the test needs scales that matter: {scales}");
    assert!((mean + entropy - scales).abs() < 5.0 * (3.25 / n).sqrt(), "{mean} {entropy} {scales}");
}

#[test]
fn a_spec_survives_serde_and_has_defaults() {
    let spec = toy("rings", 10);
    let text = serde_json::to_string(&spec).unwrap();
    assert_eq!(serde_json::from_str::<DataSpec>(&text).unwrap(), spec);
    let short = r#"{"source": {"toy": {"name": "rings", "rows": 10, "dim": null}}}"#;
    assert_eq!(serde_json::from_str::<DataSpec>(short).unwrap(), spec);
}
