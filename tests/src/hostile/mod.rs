//! Foreign bytes given to everything that reads bytes.
//!
//! One function a format. libFuzzer calls it in `fuzz/`, and a short seeded run calls it in
//! `tests/tests/hostile.rs`; both begin with the same sound files, so the two cannot drift apart.
//!
//! Invariants
//! 1. A function here returns whether the bytes were taken, or refused with an error.
//! 2. It panics only if a promise is broken: a reader panics, takes what it must refuse, or
//!    refuses with a message that would upset a terminal.

mod damage;
mod seeds;

pub use damage::{Draws, damage};

use bytes::Bytes;
use prost::Message;
use snel_cluster::frame::{Assembler, Label, split};
use snel_cluster::record::History;
use snel_core::partial::Partial;
use snel_core::problem::Parametric;
use snel_data::{DataError, ReadOptions};
use snel_proto::v1;
use snel_train::checkpoint::Checkpoint;
use snel_train::config::{Config, ConfigError};
use snel_train::model_file::ModelFile;
use std::fmt::Display;
use std::io::Write;
use std::path::Path;

/// A reader and sound files for it.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Name of the fuzz target.
    pub name: &'static str,
    /// Reads the bytes; true if they were taken.
    pub read: fn(&[u8]) -> bool,
    /// Files that the reader takes.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// Every target.
pub const TARGETS: [Target; 10] = [
    Target { name: "config", read: config, seeds: seeds::config },
    Target { name: "csv", read: csv, seeds: seeds::csv },
    Target { name: "npy", read: npy, seeds: seeds::npy },
    Target { name: "npz", read: npz, seeds: seeds::npz },
    Target { name: "parquet", read: parquet, seeds: seeds::parquet },
    Target { name: "idx", read: idx, seeds: seeds::idx },
    Target { name: "container", read: container, seeds: seeds::container },
    Target { name: "partial", read: partial, seeds: seeds::partial },
    Target { name: "frames", read: frames, seeds: seeds::frames },
    Target { name: "record", read: record, seeds: seeds::record },
];

/// A config file: what is taken says the same when it is written out and read again.
pub fn config(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    match Config::parse(text, "hostile.toml", &[]) {
        Ok(config) => {
            let again = Config::parse(&config.to_toml(), "hostile.toml", &[]);
            assert_eq!(again.ok().as_ref(), Some(&config));
            true
        }
        Err(error) => {
            let ConfigError::Invalid { faults, .. } = &error else { panic!("{error}") };
            assert!(!faults.is_empty());
            printable(&error);
            false
        }
    }
}

/// A text table.
pub fn csv(bytes: &[u8]) -> bool {
    table(".csv", bytes)
}

/// A `NumPy` array.
pub fn npy(bytes: &[u8]) -> bool {
    table(".npy", bytes)
}

/// An archive of `NumPy` arrays.
pub fn npz(bytes: &[u8]) -> bool {
    table(".npz", bytes)
}

/// A Parquet table.
pub fn parquet(bytes: &[u8]) -> bool {
    table(".parquet", bytes)
}

/// An array in the format of the MNIST files.
pub fn idx(bytes: &[u8]) -> bool {
    table(".idx", bytes)
}

/// A model file and a checkpoint: what is taken as a model has the parameters its header needs.
pub fn container(bytes: &[u8]) -> bool {
    let path = Path::new("hostile.safetensors");
    let model = ModelFile::from_bytes(path, bytes);
    let checkpoint = Checkpoint::from_bytes(path, bytes);
    match &model {
        Ok(ModelFile { header, parameters }) => {
            assert_eq!(header.model.check(), Ok(()));
            assert_eq!(parameters.len(), header.model.layout().len());
            assert!(parameters.iter().all(|p| p.is_finite()));
            assert_eq!(header.columns.len(), header.model.dim());
            assert_eq!(header.standardise.dim(), header.model.dim());
        }
        Err(error) => printable(error),
    }
    if let Err(error) = &checkpoint {
        printable(error);
    }
    model.is_ok() || checkpoint.is_ok()
}

/// The sums of a peer: what is taken is the only form of its sums, and can be merged and reduced.
pub fn partial(bytes: &[u8]) -> bool {
    let partial = match Partial::from_bytes(bytes) {
        Ok(partial) => partial,
        Err(error) => {
            printable(&error);
            return false;
        }
    };
    let mut again = Vec::new();
    partial.write_to(&mut again);
    assert_eq!(again, bytes);
    let mut merged = seeds::sums(&[7], false);
    // Refused or not, by what the bytes say.
    let _ = merged.merge(&partial);
    for partial in [partial, merged] {
        if let Ok(reduced) = partial.reduce() {
            reduced.gradient(&mut [0.0; 3]);
        }
    }
    true
}

/// Frames of bodies, each with its length before it: what is put together is no longer than was
/// allowed, and comes back when it is split again.
pub fn frames(mut bytes: &[u8]) -> bool {
    const LIMIT: usize = 1000;
    let mut assembler = Assembler::default();
    let mut whole = 0;
    while !bytes.is_empty() {
        let Ok(frame) = v1::Frame::decode_length_delimited(&mut bytes) else { return false };
        match assembler.push(frame, LIMIT) {
            Ok(None) => {}
            Ok(Some((label, body))) => {
                assert!(body.len() <= LIMIT);
                assert_eq!(reassembled(&label, &body), Some((label, body)));
                whole += 1;
            }
            Err(error) => {
                printable(&error);
                return false;
            }
        }
    }
    whole > 0
}

fn reassembled(label: &Label, body: &Bytes) -> Option<(Label, Bytes)> {
    let mut assembler = Assembler::default();
    split(label, body).find_map(|frame| assembler.push(frame, body.len()).expect("own frames"))
}

/// The record of a run: what is taken is a beginning of the file that says the same alone.
pub fn record(bytes: &[u8]) -> bool {
    let parse = |bytes| History::from_bytes(Path::new("hostile.record"), bytes);
    match parse(bytes) {
        Ok(history) => {
            let sound = history.torn().map_or(bytes.len(), |torn| torn.at as usize);
            let again = parse(&bytes[..sound]).expect("the sound beginning");
            assert_eq!(again.torn(), None);
            assert_eq!(again.entries(), history.entries());
            assert_eq!(again.next_step(), history.next_step());
            true
        }
        Err(error) => {
            printable(&error);
            false
        }
    }
}

/// Reads a table to its end: what is taken is whole rows of finite values.
fn table(ending: &str, bytes: &[u8]) -> bool {
    let mut file = tempfile::Builder::new().suffix(ending).tempfile().expect("scratch space");
    file.write_all(bytes).expect("scratch space");
    match read_to_end(file.path()) {
        Ok(()) => true,
        Err(error) => {
            printable(&error);
            error.hint();
            false
        }
    }
}

fn read_to_end(path: &Path) -> Result<(), DataError> {
    let mut source = snel_data::open(path, &ReadOptions::default())?;
    let mut chunk = Vec::new();
    loop {
        let rows = source.next_chunk(&mut chunk)?;
        assert_eq!(chunk.len(), rows * source.dim());
        assert!(chunk.iter().all(|value| value.is_finite()));
        if rows == 0 {
            return Ok(());
        }
    }
}

/// A message is text and line ends; anything else in it could come from the file.
fn printable(message: &impl Display) {
    let shown = message.to_string();
    assert!(shown.chars().all(|c| c == '\n' || !c.is_control()), "{shown:?}");
}
