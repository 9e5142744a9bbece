//! The config as it was typed: a tree of values, each with the place it was written at.
//!
//! Invariants
//! 1. A [`Place`] names a byte range of one of the document's sources, at character boundaries.
//! 2. An override takes the place of what the file says under the same key, groups included.
//!
//! Fails with one fault if the file is not TOML; an override that is not `KEY=VALUE` is left out
//! and reported.

use std::collections::BTreeMap;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::fault::{Fault, Location, Problem};

/// Where something was written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    /// 0 is the file, others are overrides in the order given.
    source: usize,
    start: usize,
    end: usize,
}

impl Place {
    fn new(source: usize, span: Range<usize>) -> Self {
        Self { source, start: span.start, end: span.end }
    }

    pub(super) fn is_override(&self) -> bool {
        self.source > 0
    }
}

/// A value, where it stands, and how it was written (cut to a readable length).
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) value: Value,
    pub(super) place: Place,
    pub(super) written: String,
}

pub(super) type Table = BTreeMap<String, Entry>;

#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// Where the key stands.
    pub(super) key: Place,
    pub(super) node: Node,
}

#[derive(Clone, Debug)]
pub(super) enum Value {
    Text(String),
    Integer(i128),
    Float(f64),
    Boolean(bool),
    /// A number that no machine type holds, or a date: nothing that a config wants.
    Other,
    List(Vec<Node>),
    Table(Table),
}

/// The merged tree and the texts that it came from.
#[derive(Debug)]
pub(super) struct Document {
    file: String,
    /// The file's text, then the overrides.
    sources: Vec<String>,
    pub(super) root: Table,
}

impl Document {
    /// Parses the file's text and lays each `KEY=VALUE` over it; the faults are of overrides.
    pub(super) fn parse(
        text: &str,
        file: &str,
        overrides: &[String],
    ) -> Result<(Self, Vec<Fault>), Box<Fault>> {
        let mut sources = vec![text.to_owned()];
        sources.extend_from_slice(overrides);
        let mut document = Self { file: file.to_owned(), sources, root: Table::new() };
        document.root = match DeTable::parse(text) {
            Ok(table) => table_from(table.into_inner(), 0, 0, text),
            Err(error) => return Err(document.syntax("", 0, 0, &error)),
        };
        let apply = |source| document.apply_override(source).err().map(|fault| *fault);
        let faults = (1..=overrides.len()).filter_map(apply).collect();
        Ok((document, faults))
    }

    fn apply_override(&mut self, source: usize) -> Result<(), Box<Fault>> {
        let text = self.sources[source].clone();
        let malformed = |document: &Self| {
            let place = Place::new(source, 0..text.len());
            Box::new(Fault::new("", Problem::Override, document.location(&place)))
        };
        let Some(equals) = text.find('=') else { return Err(malformed(self)) };
        let written = text[equals + 1..].trim();
        let start = text.len() - text[equals + 1..].trim_start().len();
        let node = match DeValue::parse(written) {
            Ok(value) => node_from(value, source, start, &text),
            // A bare word is a string; what opens like TOML and does not close is a slip.
            Err(error) if written.starts_with(['"', '\'', '[', '{']) => {
                return Err(self.syntax(text[..equals].trim(), source, start, &error));
            }
            Err(_) => Node {
                value: Value::Text(written.to_owned()),
                place: Place::new(source, start..start + written.len()),
                written: shorten(&format!("{written:?}")),
            },
        };
        let mut path = Vec::new();
        let mut offset = 0;
        for part in text[..equals].split('.') {
            let name = part.trim();
            let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
            if name.is_empty() || !name.chars().all(plain) {
                return Err(malformed(self));
            }
            let start = offset + part.len() - part.trim_start().len();
            path.push((name, Place::new(source, start..start + name.len())));
            offset += part.len() + 1;
        }
        insert(&mut self.root, &path, node);
        Ok(())
    }

    fn syntax(
        &self,
        key: &str,
        source: usize,
        offset: usize,
        error: &toml::de::Error,
    ) -> Box<Fault> {
        let span = error.span().unwrap_or(0..0);
        let place = Place::new(source, offset + span.start..offset + span.end);
        let problem = Problem::Syntax { message: error.message().to_owned() };
        Box::new(Fault::new(key, problem, self.location(&place)))
    }

    /// The entry under a dotted key.
    pub(super) fn get(&self, key: &str) -> Option<&Entry> {
        let mut table = &self.root;
        let mut parts = key.split('.').peekable();
        while let Some(part) = parts.next() {
            let entry = table.get(part)?;
            if parts.peek().is_none() {
                return Some(entry);
            }
            let Value::Table(inner) = &entry.node.value else { return None };
            table = inner;
        }
        None
    }

    /// The line that a place stands on, ready to be shown.
    pub(super) fn location(&self, place: &Place) -> Location {
        let text = self.sources.get(place.source).map_or("", String::as_str);
        let file = if place.is_override() { None } else { Some(self.file.as_str()) };
        Location::new(file, text, place.start..place.end, place.source)
    }

    /// The file as a whole.
    pub(super) fn nowhere(&self) -> Location {
        Location::whole(&self.file)
    }
}

/// Sets `path` to `node`; whatever is in the way and is no table gives way.
fn insert(table: &mut Table, path: &[(&str, Place)], node: Node) {
    let [(name, place), rest @ ..] = path else { return };
    if rest.is_empty() {
        table.insert((*name).to_owned(), Entry { key: place.clone(), node });
        return;
    }
    let empty = || Entry {
        key: place.clone(),
        node: Node {
            value: Value::Table(Table::new()),
            place: place.clone(),
            written: String::new(),
        },
    };
    let entry = table.entry((*name).to_owned()).or_insert_with(empty);
    if !matches!(entry.node.value, Value::Table(_)) {
        *entry = empty();
    }
    if let Value::Table(inner) = &mut entry.node.value {
        insert(inner, rest, node);
    }
}

fn table_from(table: DeTable<'_>, source: usize, offset: usize, text: &str) -> Table {
    let entry = |(key, value): (Spanned<std::borrow::Cow<'_, str>>, Spanned<DeValue<'_>>)| {
        let span = key.span();
        let place = Place::new(source, offset + span.start..offset + span.end);
        let node = node_from(value, source, offset, text);
        (key.into_inner().into_owned(), Entry { key: place, node })
    };
    table.into_iter().map(entry).collect()
}

fn node_from(value: Spanned<DeValue<'_>>, source: usize, offset: usize, text: &str) -> Node {
    let span = value.span();
    let span = offset + span.start..offset + span.end;
    let as_written = text.get(span.clone()).unwrap_or_default();
    let mut written = shorten(as_written);
    let value = match value.into_inner() {
        DeValue::String(string) => {
            written = shorten(&format!("{string:?}"));
            Value::Text(string.into_owned())
        }
        DeValue::Integer(integer) => i128::from_str_radix(integer.as_str(), integer.radix())
            .map_or(Value::Other, Value::Integer),
        DeValue::Float(float) => match float.as_str().parse::<f64>() {
            Ok(number) if number.is_infinite() && !float.as_str().contains("inf") => Value::Other,
            Ok(number) => Value::Float(number),
            Err(_) => Value::Other,
        },
        DeValue::Boolean(boolean) => Value::Boolean(boolean),
        DeValue::Datetime(_) => Value::Other,
        DeValue::Array(list) => {
            Value::List(list.into_iter().map(|v| node_from(v, source, offset, text)).collect())
        }
        DeValue::Table(table) => {
            "a table".clone_into(&mut written);
            Value::Table(table_from(table, source, offset, text))
        }
    };
    Node { value, place: Place::new(source, span), written }
}

/// One line of at most 40 characters.
fn shorten(text: &str) -> String {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    match line.char_indices().nth(40) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}
