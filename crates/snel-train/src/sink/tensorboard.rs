//! Scalars for TensorBoard: an `events.out.tfevents.*` file that `tensorboard --logdir DIR` reads.
//!
//! The file is a sequence of `TFRecord` frames, each one `tensorflow.Event` message. Of the message
//! only what scalars need is declared here (field numbers from TensorFlow's `event.proto` and
//! `summary.proto`).
//!
//! Invariants
//! 1. An existing file is never changed. A resumed run opens a new one, whose name sorts after all
//!    that are there: TensorBoard reads the files of a folder in the order of their names.
//! 2. After [`TensorBoard::flush`] the file ends with a whole frame.
//!
//! Fails with [`TensorBoardError`], which names the file. A frame cut off by a crash is skipped by
//! TensorBoard; the next file goes on.

use std::{
    fs::{self, File, OpenOptions},
    io::{BufWriter, ErrorKind, Write},
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use prost::Message;

use crate::file::FileError;
use crate::metrics::Record;
use crate::sink::Sink;

/// The file could not be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write TensorBoard events to {}: {source}", path.display())]
pub struct TensorBoardError {
    /// The file or its folder.
    pub path: PathBuf,
    /// What the system said.
    pub source: std::io::Error,
}

/// A writer of one event file.
#[derive(Debug)]
pub struct TensorBoard {
    path: PathBuf,
    file: BufWriter<File>,
}

impl TensorBoard {
    /// Opens a new event file in `dir` (made if missing) for a run that begins. `wall_time`: seconds
    /// since 1970.
    ///
    /// TensorBoard drops what earlier files of the folder say.
    ///
    /// # Errors
    /// [`TensorBoardError`] if the folder or file cannot be made or written.
    pub fn create(dir: &Path, wall_time: f64) -> Result<TensorBoard, TensorBoardError> {
        TensorBoard::resume(dir, wall_time, 0)
    }

    /// Opens a new event file for a run that goes on with step `from`.
    ///
    /// TensorBoard drops what earlier files say of step `from` and later steps, so that steps done
    /// twice show once.
    ///
    /// # Errors
    /// As [`TensorBoard::create`].
    pub fn resume(dir: &Path, wall_time: f64, from: u64) -> Result<TensorBoard, TensorBoardError> {
        let mut writer = TensorBoard::open(dir, wall_time)?;
        // Each file says START, the first one too: TensorBoard takes the first it sees for the
        // beginning and only later ones for a restart.
        for (step, what) in [
            (0, What::FileVersion("brain.Event:2".into())),
            (signed(from), What::SessionLog(SessionLog { status: SESSION_START })),
        ] {
            writer.event(&Event { wall_time, step, what: Some(what) })?;
        }
        writer.flush()?;
        Ok(writer)
    }

    /// Appends the named values of one step. The slash in a name such as `train/bound` makes groups.
    ///
    /// # Errors
    /// [`TensorBoardError`] if the file cannot be written.
    pub fn scalars(
        &mut self,
        step: u64,
        wall_time: f64,
        values: &[(&str, f32)],
    ) -> Result<(), TensorBoardError> {
        let value = |&(tag, v): &(&str, f32)| Value { tag: tag.into(), simple_value: Some(v) };
        let summary = Summary { value: values.iter().map(value).collect() };
        self.event(&Event { wall_time, step: signed(step), what: Some(What::Summary(summary)) })
    }

    /// Hands everything written so far to the operating system.
    ///
    /// # Errors
    /// [`TensorBoardError`] if the file cannot be written.
    pub fn flush(&mut self) -> Result<(), TensorBoardError> {
        self.file.flush().map_err(|source| TensorBoardError { path: self.path.clone(), source })
    }

    /// The event file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn open(dir: &Path, wall_time: f64) -> Result<TensorBoard, TensorBoardError> {
        let at = |path: &Path| {
            let path = path.to_owned();
            move |source| TensorBoardError { path, source }
        };
        fs::create_dir_all(dir).map_err(at(dir))?;
        // A clock set back must not sort the new file before the old ones.
        let mut second = (wall_time.max(0.0) as u64).max(latest_second(dir).map_err(at(dir))?);
        loop {
            let path = dir.join(format!("{PREFIX}{second:010}.snel"));
            match OpenOptions::new().write(true).create_new(true).open(&path) {
                Ok(file) => return Ok(TensorBoard { file: BufWriter::new(file), path }),
                // Two files in one second: the later one takes the next free second in its name.
                Err(e) if e.kind() == ErrorKind::AlreadyExists => second = second.saturating_add(1),
                Err(e) => return Err(at(&path)(e)),
            }
        }
    }

    fn event(&mut self, event: &Event) -> Result<(), TensorBoardError> {
        let record = frame(&event.encode_to_vec());
        self.file
            .write_all(&record)
            .map_err(|source| TensorBoardError { path: self.path.clone(), source })
    }
}

impl TensorBoard {
    /// Opens an event file now, for a run that has done `step` steps.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn start(dir: &Path, step: u64) -> Result<TensorBoard, FileError> {
        let opened = if step == 0 {
            TensorBoard::create(dir, now())
        } else {
            TensorBoard::resume(dir, now(), step + 1)
        };
        opened.map_err(FileError::from)
    }
}

impl Sink for TensorBoard {
    fn record(&mut self, record: &Record) -> Result<(), FileError> {
        let values: Vec<(&str, f64)> = match record {
            Record::Step(r) => {
                let always = [
                    ("train/gradient_norm", r.gradient_norm),
                    ("train/points_per_second", r.points_per_second),
                    ("train/refused", r.refused as f64),
                    ("normaliser/b", r.b),
                    ("optim/lr", r.lr),
                ];
                let weighed = r.weighed.map(|w| {
                    [
                        ("train/bound", w.bound),
                        ("train/ess_fraction", w.ess_fraction),
                        ("normaliser/log_z", w.log_z),
                    ]
                });
                let walked = r.walked.map(|w| {
                    [
                        ("chains/contrast", w.contrast),
                        ("chains/acceptance", w.acceptance),
                        ("chains/step_size", w.step_size),
                    ]
                });
                let of_posteriors = r.walked.and_then(|w| w.posterior_acceptance);
                let of_posteriors = of_posteriors.map(|a| ("chains/posterior_acceptance", a));
                let some = weighed.into_iter().chain(walked).flatten().chain(of_posteriors);
                always.into_iter().chain(some).collect()
            }
            Record::Validation(r) => {
                let always = [
                    ("valid/lower", r.lower),
                    ("valid/upper", r.upper),
                    ("valid/ess_fraction", r.ess_fraction),
                ];
                let watched = [
                    ("precision/energy_error", r.energy_error),
                    ("precision/log_z_error", r.log_z_error),
                ];
                let watched = watched.into_iter().filter_map(|(tag, value)| Some((tag, value?)));
                always.into_iter().chain(watched).collect()
            }
        };
        let values: Vec<(&str, f32)> = values.into_iter().map(|(tag, v)| (tag, v as f32)).collect();
        self.scalars(record.step(), now(), &values)?;
        Ok(self.flush()?)
    }
}

impl From<TensorBoardError> for FileError {
    fn from(TensorBoardError { path, source }: TensorBoardError) -> Self {
        FileError { action: "write TensorBoard events to", path, source }
    }
}

/// Seconds since 1970.
fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |d| d.as_secs_f64())
}

const PREFIX: &str = "events.out.tfevents.";

/// The latest second in the name of an event file of the folder; 0 if there is none.
fn latest_second(dir: &Path) -> std::io::Result<u64> {
    let mut latest = 0;
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name();
        let rest = name.to_str().and_then(|name| name.strip_prefix(PREFIX));
        let second = rest.and_then(|rest| rest.split('.').next()?.parse().ok());
        // A name that no clock makes is not ours to follow.
        latest = latest.max(second.filter(|s| *s < 10_000_000_000).unwrap_or(0));
    }
    Ok(latest)
}

fn signed(step: u64) -> i64 {
    i64::try_from(step).unwrap_or(i64::MAX)
}

/// One `TFRecord`: length, its checksum, payload, its checksum; little-endian.
fn frame(payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u64).to_le_bytes();
    let mut out = Vec::with_capacity(payload.len() + 16);
    out.extend(length);
    out.extend(masked(crc32c::crc32c(&length)).to_le_bytes());
    out.extend(payload);
    out.extend(masked(crc32c::crc32c(payload)).to_le_bytes());
    out
}

/// `TFRecord` stores checksums rotated and shifted, so that a checksum of a checksum is harmless.
fn masked(crc: u32) -> u32 {
    crc.rotate_right(15).wrapping_add(0xa282_ead8)
}

/// `SessionLog.SessionStatus.START`.
const SESSION_START: i32 = 1;

#[derive(Clone, PartialEq, Message)]
struct Event {
    #[prost(double, tag = "1")]
    wall_time: f64,
    #[prost(int64, tag = "2")]
    step: i64,
    #[prost(oneof = "What", tags = "3, 5, 7")]
    what: Option<What>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum What {
    #[prost(string, tag = "3")]
    FileVersion(String),
    #[prost(message, tag = "5")]
    Summary(Summary),
    #[prost(message, tag = "7")]
    SessionLog(SessionLog),
}

#[derive(Clone, PartialEq, Message)]
struct Summary {
    #[prost(message, repeated, tag = "1")]
    value: Vec<Value>,
}

#[derive(Clone, PartialEq, Message)]
struct Value {
    #[prost(string, tag = "1")]
    tag: String,
    // Optional, so that 0.0 is written too.
    #[prost(float, optional, tag = "2")]
    simple_value: Option<f32>,
}

#[derive(Clone, PartialEq, Message)]
struct SessionLog {
    #[prost(int32, tag = "1")]
    status: i32,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bit by bit, from the polynomial: nothing shared with the crate under test.
    fn slow_crc32c(bytes: &[u8]) -> u32 {
        let mut crc = u32::MAX;
        for byte in bytes {
            crc ^= u32::from(*byte);
            for _ in 0..8 {
                crc = if crc & 1 == 1 { (crc >> 1) ^ 0x82f6_3b78 } else { crc >> 1 };
            }
        }
        !crc
    }

    /// The payloads of a record file, lengths and checksums verified.
    fn payloads(mut bytes: &[u8]) -> Vec<Vec<u8>> {
        let unmask = |at: &[u8]| {
            u32::from_le_bytes(at.try_into().unwrap()).wrapping_sub(0xa282_ead8).rotate_left(15)
        };
        let mut out = Vec::new();
        while !bytes.is_empty() {
            let n = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
            assert_eq!(unmask(&bytes[8..12]), slow_crc32c(&bytes[..8]));
            let payload = &bytes[12..12 + n];
            assert_eq!(unmask(&bytes[12 + n..16 + n]), slow_crc32c(payload));
            out.push(payload.to_vec());
            bytes = &bytes[16 + n..];
        }
        out
    }

    #[test]
    fn the_checksum_is_crc32c() {
        // The check value of the catalogue of parametrised CRC algorithms, CRC-32/ISCSI.
        assert_eq!(slow_crc32c(b"123456789"), 0xe306_9283);
    }

    #[test]
    fn records_hold_the_bytes_that_the_format_asks_for() {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = TensorBoard::create(dir.path(), 1.5).unwrap();
        writer.scalars(3, 2.0, &[("a", 0.0)]).unwrap();
        writer.flush().unwrap();
        let records = payloads(&fs::read(writer.path()).unwrap());
        // Field 1, double 1.5; step 0 is the default and absent; field 3, 13 bytes of text.
        let mut version = vec![0x09];
        version.extend(1.5f64.to_le_bytes());
        version.extend([0x1a, 13]);
        version.extend(b"brain.Event:2");
        // Field 7, message of 2 bytes: field 1, varint 1.
        let mut start = vec![0x09];
        start.extend(1.5f64.to_le_bytes());
        start.extend([0x3a, 2, 0x08, 1]);
        // Field 1, double 2.0; field 2, varint 3; field 5, message of 10 bytes: field 1, message of
        // 8: field 1, text of 1; field 2, float 0.0.
        let mut scalar = vec![0x09];
        scalar.extend(2f64.to_le_bytes());
        scalar.extend([0x10, 3, 0x2a, 10, 0x0a, 8, 0x0a, 1, b'a', 0x15, 0, 0, 0, 0]);
        assert_eq!(records, [version, start, scalar]);
    }

    #[test]
    fn a_resumed_run_has_a_later_file_that_says_where_it_starts() {
        let dir = tempfile::tempdir().unwrap();
        let first = TensorBoard::create(dir.path(), 1_700_000_000.0).unwrap();
        let before = fs::read(first.path()).unwrap();
        // The clock went back in between.
        let second = TensorBoard::resume(dir.path(), 1_600_000_000.0, 40).unwrap();
        let third = TensorBoard::resume(dir.path(), 1_700_000_000.0, 60).unwrap();
        assert!(first.path() < second.path() && second.path() < third.path());
        assert_eq!(fs::read(first.path()).unwrap(), before);
        let records = payloads(&fs::read(second.path()).unwrap());
        let start = Event::decode(records[1].as_slice()).unwrap();
        assert_eq!(
            (start.step, start.what),
            (40, Some(What::SessionLog(SessionLog { status: 1 })))
        );
    }

    #[test]
    fn a_file_in_place_of_the_folder_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("taken");
        fs::write(&file, "").unwrap();
        let told = TensorBoard::create(&file, 0.0).unwrap_err().to_string();
        assert!(told.contains("taken"), "{told}");
    }
}
