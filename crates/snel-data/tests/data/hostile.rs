//! One bad file, or request, for each fault; and the words that the user gets.

use crate::files::{Folder, columns, gz, idx, npy, npy_header, npz, parquet, read, refusal, table};
use arrow::array::{Float64Array, Int64Array};
use parquet::basic::Compression::UNCOMPRESSED;
use snel_data::{DataError, Place, ReadOptions, Toy, open};
use std::path::Path;
use std::sync::Arc;

#[track_caller]
fn line(error: &DataError) -> u64 {
    match error {
        DataError::Ragged { place: Place::Line(line), .. }
        | DataError::NotANumber { place: Place::Line(line), .. }
        | DataError::NotFinite { place: Place::Line(line), .. }
        | DataError::Null { place: Place::Line(line), .. } => *line,
        other => panic!("no line in {other:?}"),
    }
}

#[test]
fn missing_and_unreadable() {
    let missing = open(Path::new("/no/such/file.csv"), &ReadOptions::default()).err().unwrap();
    assert_eq!(missing.to_string(), "data file `/no/such/file.csv` does not exist");
    let folder = Folder::new();
    let dir = folder.path().join("dir.csv");
    std::fs::create_dir(&dir).unwrap();
    let refused = open(&dir, &ReadOptions::default()).err().unwrap();
    assert!(matches!(refused, DataError::Unreadable { .. }));
}

#[test]
fn unknown_ending() {
    let refused = refusal("a.xlsx", "x");
    assert!(matches!(refused, DataError::UnknownExtension { .. }));
    assert!(refused.to_string().contains(".parquet"), "{refused}");
    assert!(matches!(refusal("a.npy.gz", "x"), DataError::UnknownExtension { .. }));
}

#[test]
fn no_rows() {
    for (name, bytes) in [
        ("a.csv", Vec::new()),
        ("a.csv", b"a,b\n".to_vec()),
        ("a.csv", b"\n\n# only a comment\n".to_vec()),
        ("a.npy", Vec::new()),
        ("a.npy", npy::<f64>("<f8", &[0, 3], &[])),
        ("a.npy", npy::<f64>("<f8", &[3, 0], &[])),
        ("a.idx", idx(8, &[0, 2], &[])),
        ("a.idx.gz", gz(&idx(8, &[0, 2], &[]))),
        ("a.npz", npz(&[("x.npy", &npy::<f64>("<f8", &[0], &[]))], false)),
        (
            "a.parquet",
            parquet(vec![("x", Arc::new(Float64Array::from(vec![0.0; 0])))], UNCOMPRESSED),
        ),
    ] {
        let refused = refusal(name, &bytes);
        assert!(matches!(refused, DataError::NoRows { .. }), "{name}: {refused:?}");
    }
}

#[test]
fn ragged_rows() {
    let refused = refusal("a.csv", "a,b\n1,2\n1,2,3\n");
    assert!(matches!(refused, DataError::Ragged { found: 3, expected: 2, .. }));
    assert_eq!(line(&refused), 3);
    assert!(refused.to_string().starts_with("line 3 of `"), "{refused}");
    assert_eq!(line(&refusal("a.csv", "1 2\n\n\n#\n 1\n")), 5);
}

#[test]
fn not_a_number_on_the_right_line() {
    let refused = refusal("a.csv", "a,b\n1,2\n3,abc\n");
    assert_eq!(line(&refused), 3);
    let text = refused.to_string();
    assert!(text.starts_with("`abc` in column `b`, line 3 of `"), "{text}");
    assert!(refused.hint().is_some());
    // Blank lines, comments, carriage returns and quoted line ends count as the editor counts.
    assert_eq!(line(&refusal("a.csv", "\n\na,b\r\n\r\n# c\r\n1,2\r\n\r\n?,2\r\n")), 8);
    assert_eq!(line(&refusal("a.csv", "\"a\nb\",c\n1,2\n\n1,x\n")), 5);
    let empty = refusal("a.csv", "1,\n");
    assert_eq!(line(&empty), 1);
    assert!(empty.to_string().ends_with("holds no value"), "{empty}");
    let folder = Folder::new();
    let path = folder.file("a.csv.gz", gz(b"a,b\n1,2\n\n3,abc\n"));
    assert_eq!(line(&read(&path, &ReadOptions::default()).unwrap_err()), 4);
}

#[test]
fn long_garbage_is_shortened() {
    let refused = refusal("a.csv", format!("a\n{}\n", "\u{1b}x".repeat(5000)));
    assert!(refused.to_string().len() < 200, "{refused}");
    assert!(!refused.to_string().contains('\u{1b}'));
}

#[test]
fn not_finite() {
    for text in ["a\n1\nnan\n", "a\n1\n-inf\n", "a\n1\n1e999\n"] {
        let refused = refusal("a.csv", text);
        assert!(matches!(refused, DataError::NotFinite { .. }), "{text:?}");
        assert_eq!(line(&refused), 3);
    }
    let values = [1.0, 2.0, 3.0, f64::NAN];
    let table = parquet(vec![("x", Arc::new(Float64Array::from(values.to_vec())))], UNCOMPRESSED);
    for (name, bytes) in [("a.npy", npy("<f8", &[4, 1], &values)), ("a.parquet", table)] {
        let refused = refusal(name, bytes);
        assert!(matches!(refused, DataError::NotFinite { place: Place::Row(3), .. }), "{refused}");
    }
}

#[test]
fn nulls() {
    // The second file takes more than one chunk to get there.
    for (rows, hole) in [(20, 12), (150_000, 140_001)] {
        let values = (0..rows).map(|i| (i != hole).then_some(i)).collect::<Int64Array>();
        let refused = refusal("a.parquet", parquet(vec![("x", Arc::new(values))], UNCOMPRESSED));
        assert!(
            matches!(&refused, DataError::Null { place: Place::Row(row), column, .. }
                if column == "x" && *row == hole as u64),
            "{refused:?}"
        );
    }
}

#[test]
fn unknown_and_repeated_columns() {
    let folder = Folder::new();
    let path = folder.file("a.csv", "temperature,pressure\n1,2\n");
    let refused = read(&path, &columns(&["temprature"])).unwrap_err();
    assert_eq!(refused.hint().unwrap(), "did you mean `temperature`?");
    assert!(refused.to_string().contains("`temperature`, `pressure`"), "{refused}");
    let refused = read(&path, &columns(&["2"])).unwrap_err();
    assert!(matches!(refused, DataError::UnknownColumn { nearest: None, .. }));
    let refused = read(&path, &columns(&["pressure", "1"])).unwrap_err();
    assert!(matches!(refused, DataError::RepeatedColumn { listed: true, .. }));
    let path = folder.file("b.csv", "a,a\n1,2\n");
    let refused = read(&path, &columns(&["a"])).unwrap_err();
    assert!(refused.to_string().contains("several columns"), "{refused}");
}

#[test]
fn delimiters_that_cannot_be() {
    let folder = Folder::new();
    let path = folder.file("a.csv", "1,2\n");
    for delimiter in ['é', '\n', '"', '\u{20ac}'] {
        let options = ReadOptions { delimiter: Some(delimiter), ..ReadOptions::default() };
        assert!(matches!(read(&path, &options), Err(DataError::Delimiter { .. })), "{delimiter:?}");
    }
}

#[test]
fn wrong_magic() {
    for name in ["a.npy", "a.npz", "a.parquet", "a.idx"] {
        let refused = refusal(name, "hello, world");
        assert!(matches!(refused, DataError::WrongMagic { .. }), "{name}: {refused:?}");
        assert!(refused.to_string().contains("68 65 6c"), "{refused}");
    }
    assert!(matches!(refusal("a.idx.gz", "no gzip"), DataError::Malformed { .. }));
}

#[test]
fn truncated() {
    let whole = npy("<f8", &[4, 2], &[1.0; 8]);
    let refused = refusal("a.npy", &whole[..whole.len() - 3]);
    assert!(matches!(refused, DataError::Truncated { expected: 64, found: 61, .. }), "{refused:?}");
    let refused = refusal("a.idx", idx(8, &[3, 2], &[1, 2, 3, 4, 5]));
    assert!(matches!(refused, DataError::Truncated { expected: 6, found: 5, .. }), "{refused:?}");
    let refused = refusal("a.idx.gz", gz(&idx(8, &[3, 2], &[1, 2, 3, 4, 5])));
    assert!(matches!(refused, DataError::Truncated { expected: 6, found: 5, .. }), "{refused:?}");
    let whole = gz(&idx(8, &[3, 2], &[1, 2, 3, 4, 5, 6]));
    assert!(matches!(refusal("a.idx.gz", &whole[..whole.len() - 6]), DataError::Malformed { .. }));
    for (name, whole) in [
        ("a.npy", npy("<f8", &[1], &[1.0])),
        ("a.idx", idx(8, &[1, 1], &[1])),
        ("a.parquet", table(UNCOMPRESSED)),
        ("a.npz", npz(&[("a.npy", &npy("<f8", &[1], &[1.0]))], true)),
    ] {
        let cut = if name == "a.parquet" { whole.len() / 2 } else { 11 };
        let refused = refusal(name, &whole[..cut]);
        assert!(matches!(refused, DataError::Malformed { .. }), "{name}: {refused:?}");
    }
}

#[test]
fn absurd_headers_allocate_nothing() {
    let huge = "{'descr': '<f8', 'fortran_order': False, 'shape': (1099511627776, 2), }\n";
    let wide = "{'descr': '|u1', 'fortran_order': False, 'shape': (1, 1099511627776), }\n";
    let scalar = "{'descr': '<f8', 'fortran_order': False, 'shape': (), }\n";
    let refused = refusal("a.npy", npy_header(huge, &[0; 8]));
    assert!(matches!(refused, DataError::Truncated { expected: 17_592_186_044_416, .. }));
    for bytes in [npy_header(wide, &[0; 8]), npy_header(scalar, &[0; 8])] {
        assert!(matches!(refusal("a.npy", bytes), DataError::AbsurdHeader { .. }));
    }
    // Four gigabytes of header, in a file of twelve bytes.
    let refused = refusal("a.npy", b"\x93NUMPY\x02\x00\xff\xff\xff\xff");
    assert!(matches!(refused, DataError::AbsurdHeader { .. }), "{refused:?}");
    let refused = refusal("a.idx", idx(8, &[u32::MAX, u32::MAX, u32::MAX], &[]));
    assert!(matches!(refused, DataError::AbsurdHeader { .. }), "{refused:?}");
    let refused = refusal("a.idx.gz", gz(&idx(8, &[u32::MAX, 1000], &[])));
    assert!(matches!(refused, DataError::AbsurdHeader { .. }), "{refused:?}");
}

#[test]
fn malformed_npy_headers() {
    for header in [
        "{'descr': '<f8', 'fortran_order': False, 'shape': (1,)",
        "{'descr': '<f8', 'fortran_order': 3, 'shape': (1,)}\n",
        "{'descr': '<f8', 'shape': (1,)}\n",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (-1,)}\n",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (99999999999999999999,)}\n",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (4294967296, 4294967296, 0)}\n",
        "[1, 2]\n",
        "",
    ] {
        let refused = refusal("a.npy", npy_header(header, &[0; 8]));
        assert!(matches!(refused, DataError::Malformed { .. }), "{header}: {refused:?}");
    }
    let deep = format!("{}{}", "(".repeat(4000), ")".repeat(4000));
    assert!(matches!(refusal("a.npy", npy_header(&deep, &[])), DataError::Malformed { .. }));
}

#[test]
fn unsupported_types() {
    for descr in ["'<c16'", "'|S5'", "'<U3'", "'|O'", "'<M8[s]'", "'<f2'", "[('a', '<f8')]"] {
        let header = format!("{{'descr': {descr}, 'fortran_order': False, 'shape': (1,), }}\n");
        let refused = refusal("a.npy", npy_header(&header, &[0; 16]));
        assert!(matches!(refused, DataError::UnsupportedType { .. }), "{descr}: {refused:?}");
    }
    let refused = refusal("a.idx", idx(0x0A, &[1], &[0]));
    assert!(matches!(refused, DataError::UnsupportedType { .. }));
    let refused = refusal("a.parquet", table(UNCOMPRESSED));
    assert!(refused.to_string().contains("column `text` of type Utf8"), "{refused}");
}

#[test]
fn fortran_order() {
    let header = "{'descr': '<f8', 'fortran_order': True, 'shape': (2, 2), }\n";
    assert!(matches!(
        refusal("a.npy", npy_header(header, &[0; 32])),
        DataError::FortranOrder { .. }
    ));
    // One axis is the same in both orders.
    let header = "{'descr': '<f8', 'fortran_order': True, 'shape': (2,), }\n";
    let folder = Folder::new();
    let path = folder.file("a.npy", npy_header(header, &[0; 16]));
    assert_eq!(read(&path, &ReadOptions::default()).unwrap().1, [0.0, 0.0]);
}

#[test]
fn unclear_members() {
    let a = npy("<f8", &[1], &[1.0]);
    let refused = refusal("a.npz", npz(&[("a.npy", &a), ("b.npy", &a)], false));
    assert!(refused.to_string().starts_with("several arrays in `"), "{refused}");
    assert!(refused.to_string().ends_with("it holds `a`, `b`"), "{refused}");
    let folder = Folder::new();
    let path = folder.file("a.npz", npz(&[("a.npy", &a), ("notes.txt", b"x")], false));
    let named = ReadOptions { member: Some("c".into()), ..ReadOptions::default() };
    let refused = read(&path, &named).unwrap_err();
    assert!(refused.to_string().starts_with("no array `c` in `"), "{refused}");
    let refused = refusal("a.npz", npz(&[("notes.txt", b"x")], false));
    assert!(matches!(refused, DataError::Member { .. }));
}

#[test]
fn a_flipped_bit_in_an_archive_is_noticed() {
    for deflate in [false, true] {
        let values: Vec<f64> = (0..500).map(f64::from).collect();
        let mut bytes = npz(&[("a.npy", &npy("<f8", &[500], &values))], deflate);
        let at = if deflate { 400 } else { 2000 };
        bytes[at] ^= 1;
        let refused = refusal("a.npz", bytes);
        assert!(matches!(refused, DataError::Malformed { .. }), "{deflate}: {refused:?}");
    }
}

#[test]
fn toys_that_are_not() {
    let refused = Toy::from_name("ring", None).unwrap_err();
    assert_eq!(refused.hint().unwrap(), "did you mean `rings`?");
    assert!(refused.to_string().contains("`two_moons`"), "{refused}");
    for (name, dim) in [("rings", 3), ("funnel", 1), ("gaussian", 0), ("gaussian", usize::MAX)] {
        let refused = Toy::from_name(name, Some(dim));
        assert!(matches!(refused, Err(DataError::ToyDim { .. })), "{name} {dim}");
    }
}
