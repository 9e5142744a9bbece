//! What is written reads back as the same bits, and a failed write leaves no trace.

use crate::files::{Folder, read};
use snel_data::{DataError, ReadOptions, RowWriter, write_rows};

fn names() -> Vec<String> {
    ["x", "a \"quoted\", name"].map(str::to_owned).to_vec()
}

const VALUES: [f64; 6] = [0.1, -1e300, 5e-324, 1.0 / 3.0, 0.0, 123_456_789.123_456_79];

#[test]
fn round_trips_bit_for_bit() {
    let folder = Folder::new();
    for ending in ["csv", "npy", "parquet"] {
        let path = folder.path().join(format!("out.{ending}"));
        let mut writer = RowWriter::create(&path, &names()).unwrap();
        writer.push(&VALUES[..2]).unwrap();
        assert!(!path.exists(), "the name must wait for the whole file");
        writer.push(&VALUES[2..]).unwrap();
        writer.finish().unwrap();
        let (columns, values) = read(&path, &ReadOptions::default()).unwrap();
        assert_eq!(values, VALUES, "{ending}");
        if ending != "npy" {
            assert_eq!(columns, names());
        }
    }
}

#[test]
fn an_unfinished_file_leaves_the_old_one() {
    let folder = Folder::new();
    let path = folder.file("out.csv", "old");
    let mut writer = RowWriter::create(&path, &names()).unwrap();
    writer.push(&VALUES).unwrap();
    drop(writer);
    assert_eq!(std::fs::read(&path).unwrap(), b"old");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn refusals() {
    let folder = Folder::new();
    let partial = write_rows(&folder.path().join("a.npy"), &names(), &[1.0; 3]);
    assert!(matches!(partial, Err(DataError::PartialRow { values: 3, columns: 2, .. })));
    let unknown = write_rows(&folder.path().join("a.txt"), &names(), &VALUES);
    assert!(matches!(unknown, Err(DataError::UnknownOutput { .. })));
    let nowhere = write_rows(&folder.path().join("no/a.csv"), &names(), &VALUES);
    assert!(matches!(nowhere, Err(DataError::Write { .. })));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[cfg(unix)]
#[test]
fn others_may_read_the_file_as_they_may_any_new_one() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new();
    let plain = folder.file("plain", "");
    let path = folder.path().join("a.csv");
    write_rows(&path, &names(), &VALUES).unwrap();
    let mode = |path| std::fs::metadata(path).unwrap().permissions().mode();
    assert_eq!(mode(&path), mode(&plain));
}
