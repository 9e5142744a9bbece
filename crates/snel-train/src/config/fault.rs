//! One fault of a config: which key, where, what was found, what is allowed.
//!
//! A fault holds facts; `Display` is the one place that makes sentences of them, plain text
//! without colour. Advice is apart, in [`Fault::hint`].

use std::fmt::{self, Display};

pub use super::location::Location;

/// Reading stops here; nobody reads more.
pub(super) const MOST_FAULTS: usize = 100;

/// One thing wrong with a config.
#[derive(Clone, Debug, PartialEq)]
pub struct Fault {
    /// The whole key, as in `optim.lr`; empty if the fault is in the file's syntax.
    pub key: String,
    /// What is wrong.
    pub problem: Problem,
    /// Where it was written.
    pub location: Location,
}

/// What is wrong with a key, its value, or the text.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Problem {
    /// The text is not TOML.
    Syntax {
        /// What the parser says.
        message: String,
    },
    /// An override is not `KEY=VALUE`.
    Override,
    /// The key or group is not known.
    Unknown {
        /// The group that the key is in; empty at the top.
        group: String,
        /// Whether a whole group is unknown.
        is_group: bool,
        /// What was probably meant.
        nearest: Option<String>,
        /// What is known there, sorted.
        known: Vec<&'static str>,
    },
    /// The value is of a wrong type or outside what is allowed.
    Refused {
        /// The value as written.
        found: String,
        /// What is allowed, in words.
        allowed: String,
        /// What was probably meant, as it would be written.
        nearest: Option<String>,
    },
    /// The key is known but means nothing beside another one.
    Unused {
        /// The other key, with its value if it was written.
        cause: String,
        /// When the key may be used.
        allowed: String,
        /// What to do.
        hint: String,
    },
    /// Something is needed that is not there.
    Missing {
        /// What is not there.
        what: String,
        /// What is needed.
        needed: String,
    },
}

impl Fault {
    pub(super) fn new(key: &str, problem: Problem, location: Location) -> Self {
        Self { key: key.escape_debug().to_string(), problem, location }
    }

    /// Order in the text, the file before overrides; faults at one place are equal here.
    pub(super) fn order(&self) -> (usize, usize) {
        self.location.order()
    }

    /// What the user may try, if there is more to say than the message does.
    pub fn hint(&self) -> Option<&str> {
        match &self.problem {
            Problem::Unused { hint, .. } => Some(hint),
            Problem::Override => Some("write KEY=VALUE, as in --set optim.lr=3e-4"),
            _ => None,
        }
    }

    fn heading(&self) -> String {
        let key = &self.key;
        match &self.problem {
            Problem::Syntax { .. } => "syntax error".to_owned(),
            Problem::Override => "an override is not KEY=VALUE".to_owned(),
            Problem::Unknown { is_group: true, .. } => format!("unknown group `{key}`"),
            Problem::Unknown { .. } => format!("unknown key `{key}`"),
            Problem::Refused { found, .. } => format!("`{key}` is {found}"),
            Problem::Unused { cause, .. } => format!("`{key}` has no use beside {cause}"),
            Problem::Missing { what, .. } => what.clone(),
        }
    }

    /// What stands beside the carets.
    fn note(&self) -> String {
        match &self.problem {
            Problem::Syntax { message } => message.clone(),
            Problem::Override => "a known key, `=`, a value".to_owned(),
            Problem::Unknown { nearest: Some(nearest), .. }
            | Problem::Refused { nearest: Some(nearest), .. } => {
                let quote = if nearest.starts_with('"') { "" } else { "`" };
                format!("did you mean {quote}{nearest}{quote}?")
            }
            Problem::Unknown { nearest: None, .. } => String::new(),
            Problem::Refused { allowed, .. } => format!("allowed: {allowed}"),
            Problem::Unused { allowed, .. } => allowed.clone(),
            Problem::Missing { needed, .. } => needed.clone(),
        }
    }

    /// A last line, where there is a list to show.
    fn tail(&self) -> Option<String> {
        match &self.problem {
            Problem::Unknown { is_group: true, known, .. } => {
                Some(format!("groups: {}", known.join(", ")))
            }
            Problem::Unknown { group, known, .. } if group.is_empty() => {
                Some(format!("keys outside groups: {}", known.join(", ")))
            }
            Problem::Unknown { group, known, .. } => {
                Some(format!("keys of [{group}]: {}", known.join(", ")))
            }
            Problem::Refused { nearest: Some(_), allowed, .. } => {
                Some(format!("allowed: {allowed}"))
            }
            _ => None,
        }
    }
}

impl Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in {}", self.heading(), self.location)?;
        self.location.excerpt(f, &self.note())?;
        match self.tail() {
            Some(tail) => write!(f, "\n{tail}"),
            None => Ok(()),
        }
    }
}
