//! A place in a text, with the line that it is on, ready to be shown under a message.
//!
//! Invariant: what is shown holds no control characters and is at most [`MOST_SHOWN`] wide,
//! whatever the text.

use std::fmt::{self, Display};
use std::ops::Range;

/// Characters of a line that are shown.
const MOST_SHOWN: usize = 100;

/// A place in the config file or in an override.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    /// The file as the user named it; `None` for an override, `--set`.
    pub file: Option<String>,
    /// Line, from 1; `None` if the file as a whole is meant, and for overrides.
    pub line: Option<usize>,
    /// Column in characters, from 1.
    pub column: usize,
    /// The part of the line that is shown, and the characters in it that are meant.
    shown: Option<(String, Range<usize>)>,
    order: (usize, usize),
}

impl Location {
    /// The place `span` (bytes) of `text`; `source` orders places of several texts.
    pub(super) fn new(file: Option<&str>, text: &str, span: Range<usize>, source: usize) -> Self {
        // What is missing at the end of the text is shown at the end of its last line.
        let end_of_text = text.trim_end_matches(['\n', '\r']).len();
        let start = text.floor_char_boundary(span.start.min(end_of_text));
        let line_start = text[..start].rfind('\n').map_or(0, |newline| newline + 1);
        let rest = &text[line_start..];
        let line = rest.split('\n').next().unwrap_or(rest).trim_end_matches('\r');
        let within = |byte: usize| {
            let byte = line.floor_char_boundary(byte.saturating_sub(line_start));
            line[..byte].chars().count()
        };
        let meant = within(start)..within(span.end).max(within(start) + 1);
        Self {
            file: file.map(str::to_owned),
            line: file.map(|_| text[..line_start].matches('\n').count() + 1),
            column: meant.start + 1,
            shown: Some(window(line, meant)),
            order: (source, span.start),
        }
    }

    /// The file as a whole.
    pub(super) fn whole(file: &str) -> Self {
        Self {
            file: Some(file.to_owned()),
            line: None,
            column: 1,
            shown: None,
            order: (0, usize::MAX),
        }
    }

    pub(super) fn order(&self) -> (usize, usize) {
        self.order
    }

    /// The line with carets under what is meant, and `note` beside them.
    pub(super) fn excerpt(&self, f: &mut fmt::Formatter<'_>, note: &str) -> fmt::Result {
        let Some((shown, meant)) = &self.shown else { return write!(f, "\n  {note}") };
        let label = self.line.map_or_else(|| "--set".to_owned(), |line| line.to_string());
        let (gutter, before) = (" ".repeat(label.len()), " ".repeat(meant.start));
        let carets = "^".repeat(meant.len());
        let space = if note.is_empty() { "" } else { " " };
        write!(f, "\n  {label} | {shown}\n  {gutter} | {before}{carets}{space}{note}")
    }
}

impl Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.file, self.line) {
            (None, _) => f.write_str("`--set`"),
            (Some(file), None) => f.write_str(file),
            (Some(file), Some(line)) => write!(f, "{file}, line {line}"),
        }
    }
}

/// The characters around `meant`, and where `meant` is among them.
fn window(line: &str, meant: Range<usize>) -> (String, Range<usize>) {
    let skip = if line.chars().count() > MOST_SHOWN { meant.start.saturating_sub(40) } else { 0 };
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    let shown: String = line.chars().skip(skip).take(MOST_SHOWN).map(plain).collect();
    let shown = shown.trim_end().to_owned();
    let start = meant.start - skip;
    (shown, start..(meant.end - skip).min(MOST_SHOWN).max(start + 1))
}
