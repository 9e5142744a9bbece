//! Why there is no config.

use std::borrow::Cow;
use std::fmt::{self, Display};
use std::io;
use std::path::PathBuf;

use super::fault::{Fault, MOST_FAULTS};

/// Why a config could not be loaded. Nothing was written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file could not be opened or read.
    #[error("cannot read the config {}: {}", path.display(), plain(source))]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The path is a folder.
    #[error("cannot read the config {}: it is a folder", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Whether it holds a `config.toml`, as a run folder does.
        holds_config: bool,
    },
    /// The file is too large for a config; it may be data.
    #[error("{} is no config: it has more than {limit} bytes", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The largest size, in bytes.
        limit: u64,
    },
    /// The file is not text.
    #[error("{} is not UTF-8 text: byte 0x{byte:02x} in line {line}", path.display())]
    NotUtf8 {
        /// The file.
        path: PathBuf,
        /// Line of the first byte that is no text, from 1.
        line: usize,
        /// That byte.
        byte: u8,
    },
    /// The text was read but says something wrong; at least one fault, in the order of the text.
    #[error("{}", Listing(file, faults))]
    Invalid {
        /// The file as the user named it.
        file: String,
        /// What is wrong.
        faults: Vec<Fault>,
    },
}

impl ConfigError {
    /// What the user may try, if anything; never part of `Display`.
    pub fn hint(&self) -> Option<Cow<'static, str>> {
        match self {
            Self::Read { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                Some("CONFIG is the path of a TOML file, such as examples/rings.toml".into())
            }
            Self::Read { .. } => None,
            Self::Folder { path, holds_config: true } => {
                Some(format!("name the file in it: {}", path.join("config.toml").display()).into())
            }
            Self::Folder { .. } => Some("CONFIG is the path of a TOML file".into()),
            Self::TooLarge { .. } => {
                Some("CONFIG is a TOML file that names the data, as in data.path = \"…\"".into())
            }
            Self::NotUtf8 { .. } => Some("save the file as UTF-8".into()),
            Self::Invalid { faults, .. } => {
                let mut hints: Vec<&str> = faults.iter().filter_map(Fault::hint).collect();
                hints.dedup();
                (!hints.is_empty()).then(|| hints.join("\n").into())
            }
        }
    }
}

/// The system's reason in words where it is a common one.
fn plain(error: &io::Error) -> Cow<'static, str> {
    match error.kind() {
        io::ErrorKind::NotFound => "there is no such file".into(),
        io::ErrorKind::PermissionDenied => "permission denied".into(),
        _ => error.to_string().into(),
    }
}

/// One fault as it is; several under a count.
struct Listing<'a>(&'a str, &'a [Fault]);

/// Faults that are shown; more help nobody.
const MOST_SHOWN: usize = 20;

impl Display for Listing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(file, faults) = self;
        if let [only] = faults {
            return only.fmt(f);
        }
        let overrides = faults.iter().any(|fault| fault.location.file.is_none());
        let and = if overrides { " and `--set`" } else { "" };
        let more = if faults.len() < MOST_FAULTS { "" } else { " or more" };
        write!(f, "{}{more} faults in {file}{and}", faults.len())?;
        for fault in faults.iter().take(MOST_SHOWN) {
            write!(f, "\n\n{fault}")?;
        }
        match faults.len().saturating_sub(MOST_SHOWN) {
            0 => Ok(()),
            more => write!(f, "\n\nand {more} more"),
        }
    }
}
