//! `[data]`: where the rows come from, and how they become three splits.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer, Serialize, de};

use super::check::Check;
use super::model::ModelKind;

const DEFAULT_TOY_ROWS: usize = 10_000;
const DEFAULT_TOY_DIM: usize = 2;
const DEFAULT_SPLIT: [f64; 3] = [0.8, 0.1, 0.1];

/// The data of a run. Exactly one of `path`, `train` and `toy` is set; see [`Data::source`].
///
/// A relative path in the file is meant from the file's folder, one in `--set` from the working
/// directory; [`super::Config::load`] makes both absolute.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Data {
    /// One file with all rows, divided by `split`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
    /// File of the training rows; goes with `valid` and `test`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub train: Option<PathBuf>,
    /// File of the validation rows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub valid: Option<PathBuf>,
    /// Instead of `valid`: how many of the last rows of `train` are validation rows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub valid_rows: Option<u64>,
    /// File of the test rows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test: Option<PathBuf>,
    /// A synthetic density instead of files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub toy: Option<Toy>,
    /// Rows drawn from the toy density, all splits together. Default 10,000; toys only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rows: Option<usize>,
    /// Columns of the toy density. Default 2; toys only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dim: Option<usize>,
    /// Columns that a conditional model predicts from the others, in this order.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub targets: Option<Vec<Column>>,
    /// Columns to use, in this order. Default: all of the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub columns: Option<Vec<Column>>,
    /// Character between the fields of a text file. Default: the reader decides.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delimiter: Option<char>,
    /// Whether the first line of a text file holds names. Default: the reader decides.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub header: Option<bool>,
    /// Name of the array in an npz archive. Default: its only array.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub member: Option<String>,
    /// Shares of training, validation and test rows; they sum to 1. Default 0.8, 0.1, 0.1.
    /// Not used with `train`, `valid`, `test`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub split: Option<[f64; 3]>,
    /// Shift and scale each column to mean 0 and variance 1, measured on the training rows.
    pub standardise: bool,
    /// Divide all values by this, instead of standardising them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scale: Option<f64>,
    /// How values from 0 to 1 become 0 or 1. Default: not at all; vae with a bernoulli likelihood
    /// only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub binarise: Option<Binarise>,
    /// Rows that need more memory than this, in MiB, are kept in files of the system's temporary
    /// folder while the command runs.
    pub memory_limit_mib: u64,
}

impl Default for Data {
    fn default() -> Self {
        Self {
            path: None,
            train: None,
            valid: None,
            valid_rows: None,
            test: None,
            toy: None,
            rows: None,
            dim: None,
            targets: None,
            columns: None,
            delimiter: None,
            header: None,
            member: None,
            split: None,
            standardise: true,
            scale: None,
            binarise: None,
            memory_limit_mib: 1024,
        }
    }
}

/// How values from 0 to 1 become 0 or 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Binarise {
    /// Once: a value is the probability of a 1. What is drawn hangs on the place of the value in the
    /// data, not on the run's seed, so that all runs see the same rows.
    Fixed,
}

/// The one source of rows that a checked [`Data`] names.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Source<'a> {
    /// One file, divided into shares of training, validation and test rows.
    File {
        /// The file.
        path: &'a Path,
        /// Shares that sum to 1.
        split: [f64; 3],
    },
    /// One file for each split.
    Files {
        /// Training rows.
        train: &'a Path,
        /// Validation rows.
        valid: &'a Path,
        /// Test rows.
        test: &'a Path,
    },
    /// Two files; the last training rows are for validation.
    HeldOut {
        /// Training rows, then validation rows.
        train: &'a Path,
        /// How many are validation rows.
        valid_rows: u64,
        /// Test rows.
        test: &'a Path,
    },
    /// Rows drawn from a known density, divided like a file.
    Toy {
        /// The density.
        toy: Toy,
        /// Rows, all splits together.
        rows: usize,
        /// Columns.
        dim: usize,
        /// Shares that sum to 1.
        split: [f64; 3],
    },
}

/// A synthetic density with known log-density.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names are the densities' own")]
pub enum Toy {
    Rings,
    Pinwheel,
    Checkerboard,
    TwoMoons,
    Funnel,
    Gaussian,
    GaussianMixture,
    Banana,
    SineLognormal,
    Patchwork,
}

impl Toy {
    /// Its name, as it is written in a config.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rings => "rings",
            Self::Pinwheel => "pinwheel",
            Self::Checkerboard => "checkerboard",
            Self::TwoMoons => "two_moons",
            Self::Funnel => "funnel",
            Self::Gaussian => "gaussian",
            Self::GaussianMixture => "gaussian_mixture",
            Self::Banana => "banana",
            Self::SineLognormal => "sine_lognormal",
            Self::Patchwork => "patchwork",
        }
    }

    /// Whether its last column is a target, of known density given the others.
    pub fn is_regression(self) -> bool {
        matches!(self, Self::SineLognormal | Self::Patchwork)
    }

    /// Smallest and largest number of columns that the density is defined for.
    pub fn dims(self) -> (usize, usize) {
        const MANY: usize = 65_536;
        match self {
            Self::Rings
            | Self::Pinwheel
            | Self::Checkerboard
            | Self::TwoMoons
            | Self::Banana
            | Self::SineLognormal
            | Self::Patchwork => (2, 2),
            Self::Funnel => (2, MANY),
            Self::Gaussian | Self::GaussianMixture => (1, MANY),
        }
    }
}

/// One column of a file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(untagged)]
pub enum Column {
    /// By its name in the header or schema.
    Name(String),
    /// By its position; the first is 0.
    Index(usize),
}

impl<'de> Deserialize<'de> for Column {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Column;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a column's name, or its position from 0")
            }
            fn visit_str<E: de::Error>(self, name: &str) -> Result<Column, E> {
                Ok(Column::Name(name.to_owned()))
            }
            fn visit_u64<E: de::Error>(self, index: u64) -> Result<Column, E> {
                let outside = |_| E::invalid_value(de::Unexpected::Unsigned(index), &self);
                usize::try_from(index).map(Column::Index).map_err(outside)
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

impl Data {
    /// Where the rows come from; `None` if no source is set, which a loaded config excludes.
    pub fn source(&self) -> Option<Source<'_>> {
        let split = self.split.unwrap_or(DEFAULT_SPLIT);
        if let Some(path) = &self.path {
            Some(Source::File { path, split })
        } else if let Some(toy) = self.toy {
            let rows = self.rows.unwrap_or(DEFAULT_TOY_ROWS);
            let dim = self.dim.unwrap_or(DEFAULT_TOY_DIM);
            Some(Source::Toy { toy, rows, dim, split })
        } else {
            let (train, test) = (self.train.as_ref()?, self.test.as_ref()?);
            Some(match self.valid_rows {
                Some(valid_rows) => Source::HeldOut { train, valid_rows, test },
                None => Source::Files { train, valid: self.valid.as_ref()?, test },
            })
        }
    }

    /// The paths that are set, each with its key.
    pub(super) fn paths_mut(&mut self) -> impl Iterator<Item = (&'static str, &mut PathBuf)> {
        let paths = [
            ("data.path", &mut self.path),
            ("data.train", &mut self.train),
            ("data.valid", &mut self.valid),
            ("data.test", &mut self.test),
        ];
        paths.into_iter().filter_map(|(key, path)| Some((key, path.as_mut()?)))
    }

    /// Writes out the defaults that hang on the source.
    pub(super) fn resolve(&mut self) {
        if self.toy.is_some() {
            self.rows.get_or_insert(DEFAULT_TOY_ROWS);
            self.dim.get_or_insert(DEFAULT_TOY_DIM);
        }
        if self.train.is_none() {
            self.split.get_or_insert(DEFAULT_SPLIT);
        }
    }

    pub(super) fn check(&self, check: &mut Check<'_>) {
        for key in ["data.path", "data.train", "data.valid", "data.test", "data.member"] {
            check.not_empty(key);
        }
        check.count("data.rows", self.rows, 10..=1_000_000_000);
        check.count("data.valid_rows", self.valid_rows, 1..=1_000_000_000);
        let scale = self.scale.is_none_or(|v| (1e-9..=1e9).contains(&v));
        check.that(scale, "data.scale", "a number from 1e-9 to 1e9");
        check.count("data.memory_limit_mib", Some(self.memory_limit_mib), 1..=1 << 24);
        let ascii = self.delimiter.is_none_or(|c| c.is_ascii() && !matches!(c, '\n' | '\r' | '"'));
        check.that(ascii, "data.delimiter", "one ASCII character, no line end and no quote");
        if let Some([train, valid, test]) = self.split {
            let shares = train > 0.0 && valid > 0.0 && test > 0.0;
            let whole = (train + valid + test - 1.0).abs() <= 1e-6;
            check.that(shares && whole, "data.split", "three numbers above 0 that sum to 1");
        }
        if let Some(columns) = &self.columns {
            let repeated = BTreeSet::from_iter(columns).len() < columns.len();
            check.that(
                !columns.is_empty() && !repeated,
                "data.columns",
                "at least one column, none of them twice",
            );
        }
        if let Some(targets) = &self.targets {
            let repeated = BTreeSet::from_iter(targets).len() < targets.len();
            let allowed = "at least one column, none of them twice";
            check.that(!targets.is_empty() && !repeated, "data.targets", allowed);
        }
        if check.clean("data") {
            let allowed = "false, as `scale` is set";
            check.that(!self.standardise || self.scale.is_none(), "data.standardise", allowed);
            self.check_source(check);
        }
    }

    /// Targets go with conditional models, and only with them.
    pub(super) fn check_targets(&self, kind: ModelKind, check: &mut Check<'_>) {
        if kind != ModelKind::Conditional {
            let allowed = "allowed with kind = \"conditional\"";
            return check.unused("data.targets", "model.kind", allowed);
        }
        if let Some(toy) = self.toy {
            let allowed = "\"sine_lognormal\" or \"patchwork\", as the model is conditional";
            check.that(toy.is_regression(), "data.toy", allowed);
            check.unused("data.targets", "data.toy", "allowed with files");
        } else if self.targets.is_none() {
            let needed = "a conditional model needs `targets` in [data]";
            check.missing("model.kind", "no targets are named", needed);
        }
    }

    /// Rules between keys; they assume that each key alone could be read.
    fn check_source(&self, check: &mut Check<'_>) {
        let sources = [
            ("data.path", self.path.is_some()),
            ("data.train", self.train.is_some()),
            ("data.toy", self.toy.is_some()),
        ];
        let mut set = sources.iter().filter(|(_, set)| *set).map(|(key, _)| *key);
        let Some(first) = set.next() else {
            check.missing(
                "data",
                "no data are named",
                "one of `path`, `train`, `toy` is needed in [data]",
            );
            return;
        };
        let others: Vec<_> = set.collect();
        if !others.is_empty() {
            for other in others {
                check.unused(other, first, "allowed: one of `path`, `train`, `toy`");
            }
            return;
        }
        if self.train.is_some() {
            let valid = self.valid.is_some() || self.valid_rows.is_some();
            for (key, given) in [("`valid`", valid), ("`test`", self.test.is_some())] {
                if !given {
                    let missing = format!("{key} is missing");
                    check.missing("data.train", &missing, "`train` needs `valid` and `test`");
                }
            }
            if self.valid.is_some() {
                check.unused("data.valid_rows", "data.valid", "allowed: one of the two");
            }
            check.unused("data.split", first, "allowed with `path` or `toy`");
        } else {
            check.unused("data.valid", first, "allowed with `train`");
            check.unused("data.valid_rows", first, "allowed with `train`");
            check.unused("data.test", first, "allowed with `train`");
        }
        if let Some(toy) = self.toy {
            for key in ["data.columns", "data.delimiter", "data.header", "data.member"] {
                check.unused(key, first, "allowed with files");
            }
            let (least, most) = toy.dims();
            let dim = self.dim.unwrap_or(DEFAULT_TOY_DIM);
            let allowed = if least == most {
                format!("{least}, as this toy has no other dimension")
            } else {
                format!("a whole number from {least} to {most} for this toy")
            };
            check.that((least..=most).contains(&dim), "data.dim", &allowed);
        } else {
            check.unused("data.rows", first, "allowed with `toy`");
            check.unused("data.dim", first, "allowed with `toy`");
            self.check_format(first, check);
        }
    }

    /// Keys about the inside of a file need a file that has it.
    fn check_format(&self, first: &str, check: &mut Check<'_>) {
        let files = [&self.path, &self.train, &self.valid, &self.test];
        let any = |endings: &[&str]| {
            files.into_iter().flatten().any(|path| {
                let name = path.to_string_lossy().to_lowercase();
                endings.iter().any(|ending| name.trim_end_matches(".gz").ends_with(ending))
            })
        };
        if !any(&[".csv", ".tsv", ".txt"]) {
            check.unused("data.delimiter", first, "allowed with text files");
            check.unused("data.header", first, "allowed with text files");
        }
        if !any(&[".npz"]) {
            check.unused("data.member", first, "allowed with an npz archive");
        }
    }
}
