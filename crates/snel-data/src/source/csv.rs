//! Text tables: comma, semicolon, tab, bar or space between fields, `#` for comments.

use super::raw::{Stream, open_stream, read_error, read_full};
use super::{ReadOptions, chunk_rows, select, sniff};
use crate::names::shorten;
use crate::{DataError, Place};
use csv::{ByteRecord, Position, Reader, ReaderBuilder};
use std::io::{BufRead, BufReader, Cursor, Read};
use std::path::{Path, PathBuf};

const FORMAT: &str = "csv";

/// Bytes looked at before the delimiter is chosen.
const SAMPLE: usize = 1 << 16;

pub(super) struct CsvRows {
    path: PathBuf,
    reader: Reader<Box<dyn Read + Send>>,
    record: ByteRecord,
    /// True if `record` is the first row, read ahead and found not to be a header.
    pending: bool,
    spaces: bool,
    width: usize,
    columns: Vec<String>,
    chosen: Vec<usize>,
}

impl CsvRows {
    pub(super) fn open(path: &Path, options: &ReadOptions) -> Result<Self, DataError> {
        let (mut stream, _) = open_stream(path)?;
        let mut sample = vec![0; SAMPLE];
        let got = read_full(&mut stream, &mut sample).map_err(|e| read_error(path, FORMAT, e))?;
        sample.truncate(got);
        let delimiter = match options.delimiter {
            None => sniff::delimiter(&sample),
            Some(found) => u8::try_from(found)
                .ok()
                .filter(|byte| byte.is_ascii() && !b"\r\n\"#".contains(byte))
                .ok_or_else(|| DataError::Delimiter { path: path.to_owned(), found })?,
        };
        let whole: Stream = Box::new(Cursor::new(sample).chain(stream));
        let reader = ReaderBuilder::new()
            .delimiter(delimiter)
            .has_headers(false)
            .flexible(true)
            .comment(Some(b'#'))
            .from_reader(whole);
        let mut rows = Self {
            path: path.to_owned(),
            reader,
            record: ByteRecord::new(),
            pending: false,
            spaces: delimiter == b' ',
            width: 0,
            columns: Vec::new(),
            chosen: Vec::new(),
        };
        rows.start(options)?;
        Ok(rows)
    }

    pub(super) fn columns(&self) -> &[String] {
        &self.columns
    }

    pub(super) fn read(&mut self, out: &mut Vec<f64>) -> Result<(), DataError> {
        for _ in 0..chunk_rows(self.columns.len()) {
            if !std::mem::take(&mut self.pending) && !self.advance()? {
                break;
            }
            self.parse(out)?;
        }
        Ok(())
    }

    /// Reads the first row: names, or the number of columns.
    fn start(&mut self, options: &ReadOptions) -> Result<(), DataError> {
        if !self.advance()? {
            return Err(DataError::NoRows { path: self.path.clone() });
        }
        let fields = || fields(&self.record, self.spaces);
        self.width = fields().count();
        let header = options.header.unwrap_or_else(|| sniff::is_header(fields()));
        let names: Vec<String> = if header {
            fields().map(|name| String::from_utf8_lossy(name).into_owned()).collect()
        } else {
            (0..self.width).map(|i| i.to_string()).collect()
        };
        self.pending = !header;
        self.chosen = select::choose(&self.path, &names, &options.columns)?;
        self.columns = self.chosen.iter().map(|&i| names[i].clone()).collect();
        Ok(())
    }

    fn advance(&mut self) -> Result<bool, DataError> {
        self.reader.read_byte_record(&mut self.record).map_err(|e| match e.into_kind() {
            csv::ErrorKind::Io(source) => read_error(&self.path, FORMAT, source),
            other => DataError::Malformed {
                path: self.path.clone(),
                format: FORMAT,
                reason: format!("{other:?}"),
            },
        })
    }

    /// Appends the chosen numbers of the current record.
    fn parse(&self, out: &mut Vec<f64>) -> Result<(), DataError> {
        let found = fields(&self.record, self.spaces).count();
        if found != self.width {
            let place = self.place();
            let (path, expected) = (self.path.clone(), self.width);
            return Err(DataError::Ragged { path, place, found, expected });
        }
        for (column, &position) in self.columns.iter().zip(&self.chosen) {
            let field = if self.spaces {
                fields(&self.record, true).nth(position)
            } else {
                self.record.get(position)
            };
            let field = field.unwrap_or_default().trim_ascii();
            let value = std::str::from_utf8(field).ok().and_then(|text| text.parse::<f64>().ok());
            let (path, column) = (|| self.path.clone(), || column.clone());
            match value {
                Some(value) if value.is_finite() => out.push(value),
                Some(value) => {
                    let (path, column, place) = (path(), column(), self.place());
                    return Err(DataError::NotFinite { path, place, column, value });
                }
                None if field.is_empty() => {
                    let (path, column, place) = (path(), column(), self.place());
                    return Err(DataError::Null { path, place, column });
                }
                None => {
                    let text = shorten(&String::from_utf8_lossy(field));
                    let (path, column, place) = (path(), column(), self.place());
                    return Err(DataError::NotANumber { path, place, column, text });
                }
            }
        }
        Ok(())
    }

    /// The line of the current record; looked up only when something is wrong with it.
    fn place(&self) -> Place {
        let position = self.record.position().cloned().unwrap_or_else(Position::new);
        Place::Line(line_of_record(&self.path, &position).unwrap_or_else(|| position.line()))
    }
}

/// Fields of a record; a run of spaces is one delimiter.
fn fields(record: &ByteRecord, spaces: bool) -> impl Iterator<Item = &[u8]> {
    record.iter().map(<[u8]>::trim_ascii).filter(move |field| !spaces || !field.is_empty())
}

/// The parser's position is where it began to look for the record: blank lines and comments before
/// it are still to be counted.
fn line_of_record(path: &Path, position: &Position) -> Option<u64> {
    let (mut stream, _) = open_stream(path).ok()?;
    std::io::copy(&mut (&mut stream).take(position.byte()), &mut std::io::sink()).ok()?;
    let mut rest = BufReader::new(stream);
    let mut line = position.line();
    let mut text = Vec::new();
    loop {
        text.clear();
        if rest.read_until(b'\n', &mut text).ok()? == 0 {
            return None;
        }
        let blank = text.iter().all(|byte| matches!(byte, b'\r' | b'\n'));
        if !blank && text[0] != b'#' {
            return Some(line);
        }
        line += 1;
    }
}
