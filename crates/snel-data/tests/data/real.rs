//! Public data sets, where the checkout has them beside it.

use crate::files::{columns, read};
use snel_data::{DataError, DataSource, DataSpec, Dataset, ReadOptions};
use std::path::PathBuf;
use std::time::Instant;

fn shared(name: &str) -> Option<PathBuf> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data").join(name);
    if !path.exists() {
        println!("skipped: {name} is not here");
        return None;
    }
    Some(path)
}

#[test]
fn power_plant() {
    let Some(path) = shared("tabular/power-plant.csv") else { return };
    let (names, values) = read(&path, &ReadOptions::default()).unwrap();
    assert_eq!(names, ["AT", "V", "AP", "RH", "PE"]);
    assert_eq!(values.len(), 9568 * 5);
    assert_eq!(values[..5], [14.96, 41.76, 1024.07, 73.17, 463.26]);
}

#[test]
fn wine_names_have_spaces() {
    let Some(path) = shared("tabular/wine-white.csv") else { return };
    let (names, values) = read(&path, &columns(&["fixed acidity", "pH"])).unwrap();
    assert_eq!(names, ["fixed acidity", "pH"]);
    assert_eq!(values[..2], [7.0, 3.0]);
}

#[test]
fn protein_loads_whole() {
    let Some(path) = shared("tabular/protein.csv") else { return };
    let start = Instant::now();
    let (names, values) = read(&path, &ReadOptions::default()).unwrap();
    println!("protein.csv read in {:?}", start.elapsed());
    assert_eq!((names.len(), values.len()), (10, 45_730 * 10));
    let start = Instant::now();
    let scratch = std::env::temp_dir();
    let data = Dataset::load(&DataSpec::new(DataSource::File(path)), &scratch).unwrap();
    println!("protein.csv loaded, split and scaled in {:?}", start.elapsed());
    assert!(data.train.in_memory());
}

#[test]
fn mnist() {
    let Some(path) = shared("mnist/t10k-images-idx3-ubyte.gz") else { return };
    let (names, values) = read(&path, &ReadOptions::default()).unwrap();
    assert_eq!((names.len(), values.len()), (784, 7_840_000));
    assert_eq!(values.iter().copied().fold(0.0, f64::max), 255.0);
    // The corner pixel is always black: refused by name when scaling is asked for.
    let refused = Dataset::load(&DataSpec::new(DataSource::File(path)), &std::env::temp_dir());
    assert!(matches!(refused, Err(DataError::ConstantColumn { column, .. }) if column == "0"));
    let Some(path) = shared("mnist/t10k-labels-idx1-ubyte.gz") else { return };
    let (names, values) = read(&path, &ReadOptions::default()).unwrap();
    assert_eq!((names.len(), values.len()), (1, 10_000));
    assert_eq!(values[..5], [7.0, 2.0, 1.0, 0.0, 4.0]);
}
