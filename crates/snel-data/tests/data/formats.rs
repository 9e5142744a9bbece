//! Good files of every format give the numbers that are in them.

use crate::files::{Folder, columns, gz, idx, npy, npz, read, table, zstd};
use parquet::basic::Compression;
use snel_data::{DataError, ReadOptions, open};

fn csv(text: &str, options: &ReadOptions) -> (Vec<String>, Vec<f64>) {
    let folder = Folder::new();
    read(&folder.file("a.csv", text), options).unwrap()
}

#[test]
fn csv_with_and_without_a_header() {
    let plain = ReadOptions::default();
    assert_eq!(
        csv("a,b\n1,2\n3,4\n", &plain),
        (vec!["a".into(), "b".into()], vec![1., 2., 3., 4.])
    );
    assert_eq!(csv("1,2\r\n3,4", &plain), (vec!["0".into(), "1".into()], vec![1., 2., 3., 4.]));
    assert_eq!(csv("\u{feff}x\n-1e-3\n", &plain), (vec!["x".into()], vec![-1e-3]));
    let header = ReadOptions { header: Some(true), ..ReadOptions::default() };
    assert_eq!(csv("1,2\n3,4\n", &header), (vec!["1".into(), "2".into()], vec![3., 4.]));
}

#[test]
fn csv_delimiters_quotes_comments_and_blank_lines() {
    let plain = ReadOptions::default();
    assert_eq!(csv("\"a; b\";c\n1;\"2\"\n", &plain).0, ["a; b", "c"]);
    assert_eq!(csv(" 1.5   2\n\n# note\n   3   4 \n", &plain).1, [1.5, 2., 3., 4.]);
    assert_eq!(csv("1\t2\n3\t4\n", &plain).1, [1., 2., 3., 4.]);
    assert_eq!(csv("a, b\n1, 2\n", &plain), (vec!["a".into(), "b".into()], vec![1., 2.]));
    let bar = ReadOptions { delimiter: Some('|'), ..ReadOptions::default() };
    assert_eq!(csv("1|2\n", &bar).1, [1., 2.]);
}

#[test]
fn columns_are_chosen_by_name_or_number_in_the_order_asked() {
    let text = "id,x,y\nrow one,1,2\nrow two,3,4\n";
    let (names, values) = csv(text, &columns(&["y", "1"]));
    assert_eq!((names, values), (vec!["y".into(), "x".into()], vec![2., 1., 4., 3.]));
}

#[test]
fn chunks_hold_whole_rows_and_all_of_them() {
    let rows = 50_000;
    let lines: Vec<String> = (0..rows).map(|i| format!("{i},{},0", i * 2)).collect();
    let folder = Folder::new();
    let mut source =
        open(&folder.file("a.csv", lines.join("\n")), &ReadOptions::default()).unwrap();
    let (mut chunk, mut seen, mut chunks) = (Vec::new(), 0, 0);
    loop {
        let count = source.next_chunk(&mut chunk).unwrap();
        if count == 0 {
            break;
        }
        assert_eq!(chunk.len(), count * 3);
        assert_eq!(chunk[0], f64::from(seen));
        seen += count as i32;
        chunks += 1;
    }
    assert_eq!(seen, rows);
    assert!(chunks > 1, "one chunk of everything is no streaming");
    assert_eq!(source.next_chunk(&mut chunk).unwrap(), 0);
}

#[test]
fn npy_of_every_type_and_byte_order() {
    let folder = Folder::new();
    let plain = ReadOptions::default();
    let check = |bytes: Vec<u8>, expected: &[f64]| {
        assert_eq!(read(&folder.file("a.npy", bytes), &plain).unwrap().1, expected);
    };
    check(npy("<f8", &[2, 2], &[0.5, -1.5, 2.0, 3.0]), &[0.5, -1.5, 2.0, 3.0]);
    check(npy(">f8", &[2, 1], &[0.5, -1.5]), &[0.5, -1.5]);
    check(npy("<f4", &[2], &[0.5f32, -1.5]), &[0.5, -1.5]);
    check(npy(">f4", &[2], &[0.5f32, -1.5]), &[0.5, -1.5]);
    check(npy("|i1", &[2], &[-128i8, 127]), &[-128.0, 127.0]);
    check(npy("|u1", &[2], &[0u8, 255]), &[0.0, 255.0]);
    check(npy("<i2", &[1], &[-300i16]), &[-300.0]);
    check(npy(">u2", &[1], &[65535u16]), &[65535.0]);
    check(npy("<i4", &[1], &[-70000i32]), &[-70000.0]);
    check(npy("<u4", &[1], &[u32::MAX]), &[4_294_967_295.0]);
    check(npy(">i8", &[1], &[-5i64]), &[-5.0]);
    check(npy("<u8", &[1], &[1u64 << 60]), &[(1u64 << 60) as f64]);
    check(npy("|b1", &[2], &[true, false]), &[1.0, 0.0]);
}

#[test]
fn npy_axes_beyond_the_first_are_flattened() {
    let folder = Folder::new();
    let values: Vec<i32> = (0..24).collect();
    let path = folder.file("a.npy", npy("<i4", &[4, 3, 2], &values));
    let (names, all) = read(&path, &ReadOptions::default()).unwrap();
    assert_eq!(names, ["0", "1", "2", "3", "4", "5"]);
    assert_eq!(all, values.iter().map(|&v| f64::from(v)).collect::<Vec<_>>());
    assert_eq!(read(&path, &columns(&["5", "0"])).unwrap().1[..4], [5.0, 0.0, 11.0, 6.0]);
}

#[test]
fn npz_members() {
    let folder = Folder::new();
    let (a, x) = (npy("<f8", &[1], &[1.0]), npy("<f8", &[2, 1], &[2.0, 3.0]));
    for deflate in [false, true] {
        let only = folder.file("only.npz", npz(&[("arr_0.npy", &a)], deflate));
        assert_eq!(read(&only, &ReadOptions::default()).unwrap().1, [1.0]);
        let two = folder.file("two.npz", npz(&[("a.npy", &a), ("X.npy", &x)], deflate));
        assert_eq!(read(&two, &ReadOptions::default()).unwrap().1, [2.0, 3.0]);
        let named = ReadOptions { member: Some("a".into()), ..ReadOptions::default() };
        assert_eq!(read(&two, &named).unwrap().1, [1.0]);
    }
}

#[test]
fn idx_plain_and_gzipped_under_all_its_names() {
    let folder = Folder::new();
    let bytes = idx(0x08, &[2, 2, 2], &[0, 1, 2, 3, 4, 5, 6, 255]);
    let expected = [0., 1., 2., 3., 4., 5., 6., 255.];
    for name in ["a.idx", "train-images-idx3-ubyte", "train-images.idx3-ubyte"] {
        let path = folder.file(name, &bytes);
        assert_eq!(read(&path, &ReadOptions::default()).unwrap().1, expected);
        let path = folder.file(&format!("{name}.gz"), gz(&bytes));
        let (names, values) = read(&path, &ReadOptions::default()).unwrap();
        assert_eq!((names.len(), values.as_slice()), (4, expected.as_slice()));
    }
    let path = folder.file("f.idx", idx(0x0D, &[1], &1.5f32.to_be_bytes()));
    assert_eq!(read(&path, &ReadOptions::default()).unwrap().1, [1.5]);
}

#[test]
fn parquet_columns_of_every_compression() {
    let folder = Folder::new();
    let all = [
        Compression::UNCOMPRESSED,
        Compression::SNAPPY,
        Compression::GZIP(parquet::basic::GzipLevel::default()),
        Compression::LZ4_RAW,
        zstd(),
    ];
    for compression in all {
        let path = folder.file("a.parquet", table(compression));
        let (names, values) = read(&path, &columns(&["int", "double", "flag", "1"])).unwrap();
        assert_eq!(names, ["int", "double", "flag", "float"]);
        for (i, row) in values.chunks(4).enumerate() {
            let i = i as f64;
            assert_eq!(row, [i - 10.0, i * 0.5, f64::from(i % 2.0 == 0.0), i * 0.25]);
        }
        assert_eq!(values.len(), 80);
    }
}

#[test]
fn targets_come_last() {
    let folder = Folder::new();
    let path = folder.file("a.csv", "a,b,c,d\n1,2,3,4\n5,6,7,8\n");
    let strings = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
    let read = |columns: &[&str], targets: &[&str]| {
        let (columns, targets) = (strings(columns), strings(targets));
        let mut source = open(&path, &ReadOptions { columns, targets, ..ReadOptions::default() })?;
        let mut rows = Vec::new();
        source.next_chunk(&mut rows)?;
        Ok((source.columns().join(""), rows[..source.dim()].to_vec()))
    };
    assert_eq!(read(&[], &["b"]).unwrap(), ("acdb".to_owned(), vec![1.0, 3.0, 4.0, 2.0]));
    assert_eq!(read(&["d", "a"], &["3", "b"]).unwrap().0, "adb");
    assert_eq!(read(&["c"], &["a"]).unwrap().0, "ca");
    assert!(matches!(read(&["c"], &["c"]), Err(DataError::NoInputs { .. })));
    assert!(matches!(read(&[], &["e"]), Err(DataError::UnknownColumn { .. })));
}
