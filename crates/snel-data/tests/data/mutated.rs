//! Thousands of damaged files of every format: any answer will do, but no panic and no endless
//! reading. Seeded, so a failure comes back.

use crate::files::{Folder, gz, idx, npy, npz, read, table, zstd};
use parquet::basic::Compression::{LZ4_RAW, SNAPPY, UNCOMPRESSED};
use snel_core::philox::{Key, Stream};
use snel_data::ReadOptions;

const ROUNDS: u64 = 1500;

/// The bytes with up to eight of them changed, a piece cut out, or the end cut off.
fn damage(bytes: &[u8], round: u64) -> Vec<u8> {
    let key = Key::new(4242, Stream::Fit);
    let mut damaged = bytes.to_vec();
    let [kind, how_many, from, length] = key.block(0, round, 0);
    let place = |word: u32, len: usize| ((u64::from(word) * len as u64) >> 32) as usize;
    match kind % 4 {
        0 => damaged.truncate(place(from, bytes.len())),
        1 => {
            let start = place(from, bytes.len());
            let end = (start + place(length, 64)).min(bytes.len());
            damaged.drain(start..end);
        }
        _ => {
            for k in 0..=how_many % 8 {
                let [at, value, near_end, extreme] = key.block(1, round, k);
                // Indices sit at the end of archives and tables: hit that often.
                let span = if near_end % 2 == 0 { bytes.len() } else { bytes.len().min(300) };
                let at = bytes.len() - 1 - place(at, span);
                damaged[at] = if extreme % 3 == 0 { 0xff } else { value as u8 };
            }
        }
    }
    damaged
}

fn survive(name: &str, bytes: &[u8]) {
    let folder = Folder::new();
    // The undamaged file must be good, or the damage proves nothing.
    let numeric = ReadOptions { columns: vec!["0".into()], ..ReadOptions::default() };
    read(&folder.file(name, bytes), &numeric).unwrap();
    let mut refused = 0;
    for round in 0..ROUNDS {
        let path = folder.file(name, damage(bytes, round));
        refused += u64::from(read(&path, &numeric).is_err());
    }
    assert!(refused > ROUNDS / 20, "only {refused} of {ROUNDS} damaged files were refused");
}

#[test]
fn csv() {
    survive("a.csv", b"a,b\n1,2\n3.5,-4e3\n\"5\",6\n# note\n\n7,8\n");
    survive("a.csv.gz", &gz(b"a,b\n1,2\n3.5,-4e3\n"));
}

#[test]
fn npy_arrays() {
    survive("a.npy", &npy("<f8", &[4, 3], &[0.25; 12]));
}

#[test]
fn npz_archives() {
    let (a, x) = (npy("<f8", &[4, 3], &[0.25; 12]), npy("<i4", &[3], &[1, 2, 3]));
    survive("a.npz", &npz(&[("a.npy", &a), ("X.npy", &x)], false));
    survive("b.npz", &npz(&[("a.npy", &a), ("X.npy", &x)], true));
}

#[test]
fn idx_arrays() {
    let bytes = idx(8, &[3, 2, 2], &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
    survive("a.idx", &bytes);
    survive("a.idx.gz", &gz(&bytes));
}

#[test]
fn parquet_tables() {
    for compression in [UNCOMPRESSED, SNAPPY, LZ4_RAW, zstd()] {
        survive("a.parquet", &table(compression));
    }
}
