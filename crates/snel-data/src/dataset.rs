//! The three parts of a data set as the model sees them, from a description of where they are.
//!
//! Each file is parsed once: rows go as f64 to a scratch store, the scales are taken from the
//! training rows, and the scaled rows go as f32 to the stores of the parts. Memory stays below
//! `memory_limit` plus a chunk; what does not fit is in unlinked files in the scratch folder.

use crate::binarise::binarise;
use crate::spill::{Spill, SpillWriter};
use crate::store::{Store, StoreWriter};
use crate::{DataError, Part, ReadOptions, Split, Standardise, Toy, Welford, open};
use serde::{Deserialize, Serialize};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where the rows come from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DataSource {
    /// One file, split by fractions.
    File(PathBuf),
    /// One file a part.
    Files(Files),
    /// Two files, of which the first has the validation rows last.
    HeldOut(HeldOut),
    /// Points of a toy density, split by fractions.
    Toy {
        /// Its name, see [`Toy::names`].
        name: String,
        /// Points to draw.
        rows: u64,
        /// Values of a point; none: 2.
        dim: Option<usize>,
    },
}

/// One file a part; all with the same columns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Files {
    /// Training rows.
    pub train: PathBuf,
    /// Validation rows.
    pub valid: PathBuf,
    /// Test rows.
    pub test: PathBuf,
}

/// Training and validation rows in one file, test rows in another; both with the same columns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeldOut {
    /// Training rows, then validation rows.
    pub train: PathBuf,
    /// How many are validation rows.
    pub valid_rows: u64,
    /// Test rows.
    pub test: PathBuf,
}

/// A data set to load.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DataSpec {
    /// Where the rows come from.
    pub source: DataSource,
    /// How to read files.
    #[serde(default)]
    pub read: ReadOptions,
    /// Shares of train, valid and test; not used with one file a part.
    #[serde(default = "default_fractions")]
    pub fractions: [f64; 3],
    /// Names the split, and the points of a toy density.
    #[serde(default)]
    pub seed: u32,
    /// Whether to scale columns to mean 0 and standard deviation 1 over the training rows.
    #[serde(default = "default_standardise")]
    pub standardise: bool,
    /// Divides all values that are not standardised.
    #[serde(default = "default_scale")]
    pub scale: f64,
    /// Turns values from 0 to 1, after scaling, into 0 or 1: each is the probability of a 1. What is
    /// drawn hangs on the place of the value in the data alone ([`binarise`]).
    #[serde(default)]
    pub binarise: bool,
    /// Bytes of rows that may stay in memory.
    #[serde(default = "default_memory_limit")]
    pub memory_limit: u64,
}

fn default_fractions() -> [f64; 3] {
    [0.8, 0.1, 0.1]
}

fn default_standardise() -> bool {
    true
}

fn default_scale() -> f64 {
    1.0
}

fn default_memory_limit() -> u64 {
    1 << 30
}

impl DataSpec {
    /// This source with the default of everything else: all columns, 0.8/0.1/0.1, seed 0,
    /// standardised, not binarised, 1 GiB.
    pub fn new(source: DataSource) -> Self {
        Self {
            source,
            read: ReadOptions::default(),
            fractions: default_fractions(),
            seed: 0,
            standardise: default_standardise(),
            scale: default_scale(),
            binarise: false,
            memory_limit: default_memory_limit(),
        }
    }
}

/// Rows to train on, to choose checkpoints by, and to report on.
#[derive(Debug)]
pub struct Dataset {
    /// Names of the columns.
    pub columns: Vec<String>,
    /// From original to the model's units; the identity if the data is not standardised.
    pub standardise: Standardise,
    /// Training rows, in the model's units; shared with the engine.
    pub train: Arc<Store>,
    /// Validation rows, in the model's units.
    pub valid: Store,
    /// Test rows, in the model's units.
    pub test: Store,
    /// Where the rows came from, for reports.
    pub source: String,
    /// The density the rows were drawn from, if it is known.
    pub toy: Option<Toy>,
}

impl Dataset {
    /// Reads, splits and scales. Rows that do not fit in memory go to files in `scratch_dir`,
    /// which disappear with the data set.
    ///
    /// # Errors
    /// Any [`DataError`].
    pub fn load(spec: &DataSpec, scratch_dir: &Path) -> Result<Self, DataError> {
        let mut raw = RawWriter::new(spec, scratch_dir);
        let mut toy = None;
        let whole = |raw: RawWriter, part: &dyn Fn(&Split, u64) -> Part| {
            let split = Split::new(raw.rows, spec.fractions, spec.seed)?;
            build(spec, scratch_dir, raw, &|row| part(&split, row))
        };
        let (columns, standardise, [train, valid, test], source) = match &spec.source {
            DataSource::File(path) => {
                raw.read(path, &spec.read)?;
                let (columns, scales, parts) = whole(raw, &Split::part)?;
                (columns, scales, parts, path.display().to_string())
            }
            DataSource::Toy { name, rows, dim } => {
                let density = Toy::from_name(name, *dim)?;
                raw.draw(&density, spec.seed, *rows)?;
                let (columns, scales, parts) = whole(raw, &Split::part)?;
                let source =
                    format!("toy {name}, {} dimensions, seed {}", density.dim(), spec.seed);
                toy = Some(density);
                (columns, scales, parts, source)
            }
            DataSource::Files(files) => {
                let Files { train, valid, test } = files;
                raw.read(train, &spec.read)?;
                let train_end = raw.rows;
                raw.read(valid, &spec.read)?;
                let valid_end = raw.rows;
                raw.read(test, &spec.read)?;
                let (columns, scales, parts) =
                    in_order(spec, scratch_dir, raw, train_end, valid_end)?;
                let source = [train, valid, test].map(|path| path.display().to_string()).join(", ");
                (columns, scales, parts, source)
            }
            DataSource::HeldOut(HeldOut { train, valid_rows, test }) => {
                raw.read(train, &spec.read)?;
                let valid_end = raw.rows;
                raw.read(test, &spec.read)?;
                let train_end = valid_end.saturating_sub(*valid_rows);
                let (columns, scales, parts) =
                    in_order(spec, scratch_dir, raw, train_end, valid_end)?;
                let source = [train, test].map(|path| path.display().to_string()).join(", ");
                (columns, scales, parts, source)
            }
        };
        let train = Arc::new(train);
        Ok(Self { columns, standardise, train, valid, test, source, toy })
    }

    /// True log-density of a row in the model's units, nats per standardised unit volume; none if
    /// the density is not known.
    pub fn true_log_density(&self, row: &[f32]) -> Option<f64> {
        let toy = self.toy.as_ref()?;
        let mut x: Vec<f64> = row.iter().map(|&value| f64::from(value)).collect();
        self.standardise.invert(&mut x);
        Some(toy.log_density(&x) - self.standardise.log_det())
    }
}

/// All rows in original units, as f64, in the order they were read.
struct RawWriter<'a> {
    dir: &'a Path,
    bytes: SpillWriter<'a>,
    columns: Vec<String>,
    rows: u64,
    first: PathBuf,
}

impl<'a> RawWriter<'a> {
    fn new(spec: &DataSpec, dir: &'a Path) -> Self {
        // A row takes 8 bytes a value here and 4 in its part; so two thirds of the limit here
        // leave one third there.
        let bytes = SpillWriter::new(dir, spec.memory_limit / 3 * 2);
        Self { dir, bytes, columns: Vec::new(), rows: 0, first: PathBuf::new() }
    }

    fn read(&mut self, path: &Path, options: &ReadOptions) -> Result<(), DataError> {
        let mut source = open(path, options)?;
        if self.columns.is_empty() {
            self.columns = source.columns().to_vec();
            path.clone_into(&mut self.first);
        } else if source.columns() != self.columns {
            return Err(DataError::ColumnsDiffer {
                first: self.first.clone(),
                expected: self.columns.clone().into(),
                path: path.to_owned(),
                found: source.columns().into(),
            });
        }
        let mut chunk = Vec::new();
        while source.next_chunk(&mut chunk)? > 0 {
            self.push(&chunk)?;
        }
        Ok(())
    }

    fn draw(&mut self, toy: &Toy, seed: u32, rows: u64) -> Result<(), DataError> {
        self.columns = toy.columns();
        let at_once = (1 << 16) / toy.dim() as u64 + 1;
        while self.rows < rows {
            let end = rows.min(self.rows + at_once);
            self.push(&toy.sample(seed, self.rows..end))?;
        }
        Ok(())
    }

    fn push(&mut self, values: &[f64]) -> Result<(), DataError> {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.rows += (values.len() / self.columns.len()) as u64;
        self.bytes.write(&bytes).map_err(scratch(self.dir))
    }
}

/// Training rows up to number `train_end`, validation rows up to `valid_end`, then test rows.
fn in_order(
    spec: &DataSpec,
    dir: &Path,
    raw: RawWriter,
    train_end: u64,
    valid_end: u64,
) -> Result<(Vec<String>, Standardise, [Store; 3]), DataError> {
    if train_end < 2 {
        let rows = valid_end;
        return Err(DataError::TooFewRows { rows, part: "training", got: train_end, least: 2 });
    }
    build(spec, dir, raw, &|row| match row {
        row if row < train_end => Part::Train,
        row if row < valid_end => Part::Valid,
        _ => Part::Test,
    })
}

/// Scales from the training rows, and the scaled rows of each part.
fn build(
    spec: &DataSpec,
    dir: &Path,
    raw: RawWriter,
    part: &dyn Fn(u64) -> Part,
) -> Result<(Vec<String>, Standardise, [Store; 3]), DataError> {
    let (columns, rows) = (raw.columns, raw.rows);
    let raw = raw.bytes.finish().map_err(scratch(dir))?;
    let scales = if spec.standardise {
        let mut welford = Welford::new(columns.len());
        each_row(&raw, rows, columns.len(), dir, |number, row| {
            if part(number) == Part::Train {
                welford.push(row);
            }
            Ok(())
        })?;
        welford.finish(&columns)?
    } else {
        Standardise::scaled(columns.len(), spec.scale).ok_or(DataError::Scale(spec.scale))?
    };
    // In memory the f64 rows take at most two thirds of the limit, so the f32 rows, half their
    // size, fit in the rest. Otherwise the memory is free again, a third of it for each part.
    let in_memory = matches!(raw, Spill::Memory(_));
    let limit = if in_memory { u64::MAX } else { spec.memory_limit / 3 };
    let mut writers = [(); 3].map(|()| StoreWriter::new(columns.len(), dir, limit));
    let mut narrow = vec![0.0f32; columns.len()];
    each_row(&raw, rows, columns.len(), dir, |number, row| {
        scales.apply(row);
        if spec.binarise {
            binarise(number, row, &columns)?;
        }
        for ((narrow, &wide), column) in narrow.iter_mut().zip(&*row).zip(&columns) {
            *narrow = wide as f32;
            if !narrow.is_finite() {
                return Err(DataError::OutOfRange { column: column.clone(), value: wide });
            }
        }
        writers[part(number) as usize].push(&narrow).map_err(scratch(dir))
    })?;
    let [train, valid, test] = writers.map(|writer| writer.finish().map_err(scratch(dir)));
    Ok((columns, scales, [train?, valid?, test?]))
}

/// Calls `visit` with the number and the values of each row in turn.
fn each_row(
    raw: &Spill,
    rows: u64,
    dim: usize,
    dir: &Path,
    mut visit: impl FnMut(u64, &mut [f64]) -> Result<(), DataError>,
) -> Result<(), DataError> {
    let row_bytes = dim * size_of::<f64>();
    let at_once = ((1 << 20) / row_bytes).max(1) as u64;
    let mut buffer = Vec::new();
    let mut values = Vec::new();
    for start in (0..rows).step_by(at_once as usize) {
        let count = at_once.min(rows - start);
        buffer.resize(count as usize * row_bytes, 0);
        values.clear();
        raw.with(start * row_bytes as u64, &mut buffer, |bytes| {
            values.extend(bytes.as_chunks().0.iter().map(|&value| f64::from_le_bytes(value)));
        })
        .map_err(scratch(dir))?;
        for (row, number) in values.chunks_exact_mut(dim).zip(start..) {
            visit(number, row)?;
        }
    }
    Ok(())
}

fn scratch(dir: &Path) -> impl Fn(io::Error) -> DataError {
    move |source| DataError::Scratch { dir: dir.to_owned(), source }
}
