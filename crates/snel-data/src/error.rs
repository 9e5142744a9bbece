//! Why data could not be read, split, scaled or written: one variant a fault, facts as fields.

use crate::names::{list, shown};
use std::fmt;
use std::io;
use std::path::PathBuf;

/// Where in a file: the line for text (from 1), the row for arrays and tables (from 0, as `NumPy`
/// and pandas count them).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Line of a text file, counted from 1.
    Line(u64),
    /// Row of an array or table, counted from 0.
    Row(u64),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(line) => write!(f, "line {line}"),
            Self::Row(row) => write!(f, "row {row} (counted from 0)"),
        }
    }
}

/// A fault in the data or in what was asked of it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// No such file.
    #[error("data file `{}` does not exist", path.display())]
    Missing {
        /// The file asked for.
        path: PathBuf,
    },
    /// The operating system refused to open or read the file.
    #[error("cannot read `{}`", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file name ends in nothing this crate reads.
    #[error("unknown file type of `{}`: known are {allowed}", path.display())]
    UnknownExtension {
        /// The file.
        path: PathBuf,
        /// Endings that are known.
        allowed: &'static str,
    },
    /// The name of a file to write ends in nothing this crate writes.
    #[error("cannot tell the format of `{}` from its name: known endings are {allowed}", path.display())]
    UnknownOutput {
        /// The file.
        path: PathBuf,
        /// Endings that are known.
        allowed: &'static str,
    },
    /// No row of data.
    #[error("`{}` has no rows", path.display())]
    NoRows {
        /// The file.
        path: PathBuf,
    },
    /// A row with another number of fields than the first.
    #[error("{place} of `{}` has {found} fields, the first row has {expected}", path.display())]
    Ragged {
        /// The file.
        path: PathBuf,
        /// Where.
        place: Place,
        /// Fields of this row.
        found: usize,
        /// Fields of the first row.
        expected: usize,
    },
    /// A delimiter that is not one plain character.
    #[error("`{found}` cannot separate the fields of `{}`", path.display())]
    Delimiter {
        /// The file.
        path: PathBuf,
        /// What was given.
        found: char,
    },
    /// A field that is not a number.
    #[error("`{text}` in column `{column}`, {place} of `{}`, is not a number", path.display(), column = shown(column))]
    NotANumber {
        /// The file.
        path: PathBuf,
        /// Where.
        place: Place,
        /// Name of the column.
        column: String,
        /// What was found, shortened.
        text: String,
    },
    /// NaN or infinity.
    #[error("column `{column}`, {place} of `{}`, holds {value}; values must be finite", path.display(), column = shown(column))]
    NotFinite {
        /// The file.
        path: PathBuf,
        /// Where.
        place: Place,
        /// Name of the column.
        column: String,
        /// What was found.
        value: f64,
    },
    /// A null in a table, or an empty field.
    #[error("column `{column}`, {place} of `{}`, holds no value", path.display(), column = shown(column))]
    Null {
        /// The file.
        path: PathBuf,
        /// Where.
        place: Place,
        /// Name of the column.
        column: String,
    },
    /// A column asked for that the file does not have.
    #[error("no column `{wanted}` in `{}`: it has {}", path.display(), list(available))]
    UnknownColumn {
        /// The file.
        path: PathBuf,
        /// The name or number asked for.
        wanted: String,
        /// The name probably meant.
        nearest: Option<String>,
        /// Columns of the file.
        available: Vec<String>,
    },
    /// All columns are targets, and nothing is left to predict them from.
    #[error("every column of `{}` that is asked for is a target", path.display())]
    NoInputs {
        /// The file.
        path: PathBuf,
    },
    /// A column asked for twice, or a name that two columns bear.
    #[error("column `{column}` of `{}` is {}", path.display(), if *listed { "asked for twice" } else { "ambiguous: several columns have that name" }, column = shown(column))]
    RepeatedColumn {
        /// The file.
        path: PathBuf,
        /// The name or number asked for.
        column: String,
        /// True if the list of columns repeats it, false if the file does.
        listed: bool,
    },
    /// A column that never changes, and so has no scale.
    #[error("column `{column}` is constant: {value} in every row of the training data", column = shown(column))]
    ConstantColumn {
        /// Name of the column.
        column: String,
        /// Its only value.
        value: f64,
    },
    /// A column whose values or spread leave the range of 32-bit floats.
    #[error("column `{column}` leaves the range of 32-bit floats ({value:e})", column = shown(column))]
    OutOfRange {
        /// Name of the column.
        column: String,
        /// The value or standard deviation that does not fit.
        value: f64,
    },
    /// A value that should be a grey value is none.
    #[error("column `{}` has the value {value}, which is not from 0 to 1", shown(column))]
    NotGrey {
        /// Name of the column.
        column: String,
        /// The value, scaled.
        value: f64,
    },
    /// Values cannot be divided by this.
    #[error("values cannot be divided by {0}: the scale must be finite and positive")]
    Scale(f64),
    /// The file does not begin as its format does.
    #[error("`{}` is no {format} file: it begins with {found}", path.display())]
    WrongMagic {
        /// The file.
        path: PathBuf,
        /// The format that its name promises.
        format: &'static str,
        /// The first bytes, in hexadecimal.
        found: String,
    },
    /// The file ends before its data does.
    #[error("`{}` is cut short: its header promises {expected} bytes of data, it has {found}", path.display())]
    Truncated {
        /// The file.
        path: PathBuf,
        /// Bytes of data promised.
        expected: u64,
        /// Bytes of data there are.
        found: u64,
    },
    /// A header whose sizes cannot be true of a file of this length.
    #[error("the header of `{}` is absurd: {what}", path.display(), what = shown(what))]
    AbsurdHeader {
        /// The file.
        path: PathBuf,
        /// What it claims, and the limit.
        what: String,
    },
    /// Values of a type that is not a number this crate reads.
    #[error("`{}` holds {what} of type {found}; readable are {allowed}", path.display(), what = shown(what), found = shown(found))]
    UnsupportedType {
        /// The file.
        path: PathBuf,
        /// Which values.
        what: String,
        /// Their type.
        found: String,
        /// Types that can be read.
        allowed: &'static str,
    },
    /// An array stored column by column.
    #[error("the array in `{}` is in Fortran order (column by column); only C order is read", path.display())]
    FortranOrder {
        /// The file.
        path: PathBuf,
    },
    /// An archive from which no array, or not one array, can be chosen.
    #[error("{} in `{}`: it holds {}", wanted.as_ref().map_or("several arrays".to_owned(), |w| format!("no array `{w}`")), path.display(), if available.is_empty() { "no arrays".to_owned() } else { list(available) })]
    Member {
        /// The archive.
        path: PathBuf,
        /// The array asked for, if any.
        wanted: Option<String>,
        /// Arrays of the archive.
        available: Vec<String>,
    },
    /// Bytes that the format does not allow.
    #[error("`{}` is not a valid {format} file: {reason}", path.display(), reason = shown(reason))]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Its format.
        format: &'static str,
        /// What the decoder said.
        reason: String,
    },
    /// Split fractions that cannot be.
    #[error("split fractions are [{}, {}, {}]: {why}", found[0], found[1], found[2])]
    Fractions {
        /// Train, valid, test.
        found: [f64; 3],
        /// Which rule they break.
        why: &'static str,
    },
    /// A part of the split with too few rows to be of use.
    #[error("{rows} rows leave {got} for the {part} part, which needs at least {least}")]
    TooFewRows {
        /// Rows to share out.
        rows: u64,
        /// Name of the part.
        part: &'static str,
        /// Rows it would get.
        got: u64,
        /// Rows it needs.
        least: u64,
    },
    /// Files of one data set with different columns.
    #[error("`{}` has the columns {}, but `{}` has {}", path.display(), list(found), first.display(), list(expected))]
    ColumnsDiffer {
        /// The training file.
        first: PathBuf,
        /// Its columns.
        expected: Box<[String]>,
        /// The other file.
        path: PathBuf,
        /// Its columns.
        found: Box<[String]>,
    },
    /// A toy density that does not exist.
    #[error("no toy density `{name}`: there are {}", list(available))]
    UnknownToy {
        /// The name asked for.
        name: String,
        /// The name probably meant.
        nearest: Option<String>,
        /// Names there are.
        available: &'static [&'static str],
    },
    /// A dimension that the toy density does not have.
    #[error("toy density `{name}` has no {dim}-dimensional form: {allowed}")]
    ToyDim {
        /// The toy density.
        name: &'static str,
        /// The dimension asked for.
        dim: usize,
        /// What it allows.
        allowed: &'static str,
    },
    /// The scratch folder or file could not be used.
    #[error("cannot keep rows in scratch space `{}`", dir.display())]
    Scratch {
        /// The folder.
        dir: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The output could not be written; nothing is left under its name that was not there before.
    #[error("cannot write `{}`", path.display())]
    Write {
        /// The output file.
        path: PathBuf,
        /// What the system or the encoder said.
        source: io::Error,
    },
    /// Values that do not form whole rows.
    #[error("{values} values do not form whole rows of {columns} columns for `{}`", path.display())]
    PartialRow {
        /// The output file.
        path: PathBuf,
        /// Values given.
        values: usize,
        /// Columns of the file.
        columns: usize,
    },
}

impl DataError {
    /// What the user may try, if anything; never part of `Display`.
    pub fn hint(&self) -> Option<String> {
        let advice = match self {
            Self::UnknownColumn { nearest: Some(name), .. }
            | Self::UnknownToy { nearest: Some(name), .. } => {
                return Some(format!("did you mean `{}`?", shown(name)));
            }
            Self::ConstantColumn { column, .. } => {
                let column = shown(column);
                return Some(format!(
                    "leave `{column}` out with `columns`, or set `standardise = false`"
                ));
            }
            Self::UnknownColumn { .. } => "give a name, or a number counted from 0",
            Self::NoInputs { .. } => "leave other columns as inputs",
            Self::RepeatedColumn { listed: true, .. } => "name each column once",
            Self::RepeatedColumn { listed: false, .. } => "choose by number, counted from 0",
            Self::NotANumber { text, .. } if text.contains(',') => {
                "decimal commas are not read; write 1.5, or set the delimiter"
            }
            Self::NotANumber { .. } => {
                "remove or encode such values, choose other `columns`, or set the delimiter"
            }
            Self::NotFinite { .. } | Self::Null { .. } => "fill or drop missing values first",
            Self::Ragged { .. } => "if the delimiter was guessed wrongly, set it",
            Self::OutOfRange { .. } => "rescale the column",
            Self::NotGrey { .. } => "set `data.scale` to the largest value, such as 255 for images",
            Self::UnsupportedType { .. } => "choose numeric `columns`, or convert the file",
            Self::FortranOrder { .. } => "save it again with `np.ascontiguousarray`",
            Self::Member { available, .. } if !available.is_empty() => "name one with `member`",
            Self::Truncated { .. } => "copy or download the file again",
            Self::Delimiter { .. } => "give one ASCII character, such as `,` or `;`",
            Self::Fractions { .. } => "give three fractions that sum to 1, such as [0.8, 0.1, 0.1]",
            Self::TooFewRows { .. } => "give more rows, or a larger fraction",
            Self::Scratch { .. } => {
                "free space there, set TMPDIR to another folder, or raise `data.memory_limit_mib`"
            }
            _ => return None,
        };
        Some(advice.to_owned())
    }
}
