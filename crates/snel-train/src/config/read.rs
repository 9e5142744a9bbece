//! From the typed tree to the structs, without stopping at the first fault.
//!
//! Every leaf of the document is deserialised alone first: all keys have defaults, so whatever
//! serde says then is about that leaf, and one unreadable key does not hide the next.

use std::collections::BTreeSet;

use serde::Deserialize;

use super::Config;
use super::document::{Document, Entry, Node, Table, Value};
use super::fault::{Fault, MOST_FAULTS, Problem};
use super::refusal::{Refusal, What};
use super::suggest;
use super::tree::Tree;

/// Reads what can be read; the rest keeps its default and is added to `faults`.
///
/// `None` if it gave up, after [`MOST_FAULTS`].
pub(super) fn read(document: &Document, faults: &mut Vec<Fault>) -> Option<Config> {
    let mut seen = BTreeSet::new();
    let mut good = document.root.clone();
    for path in leaves(&document.root) {
        let Err(refusal) = Config::deserialize(Tree::Table(&only(&document.root, &path)?)) else {
            continue;
        };
        remove(&mut good, &path);
        // All keys of an unknown group are refused at the group's name.
        if seen.insert(refusal.place.clone()) {
            faults.push(fault_from(refusal, document));
        }
        if faults.len() >= MOST_FAULTS {
            return None;
        }
    }
    match Config::deserialize(Tree::Table(&good)) {
        Ok(config) => Some(config),
        Err(refusal) => {
            faults.push(fault_from(refusal, document));
            None
        }
    }
}

/// Paths to all values that are no tables, and to empty tables.
fn leaves(table: &Table) -> Vec<Vec<&str>> {
    let mut paths = Vec::new();
    for (name, entry) in table {
        match &entry.node.value {
            Value::Table(inner) if !inner.is_empty() => {
                for mut path in leaves(inner) {
                    path.insert(0, name);
                    paths.push(path);
                }
            }
            _ => paths.push(vec![name.as_str()]),
        }
    }
    paths
}

/// A table with nothing but the value at `path`.
fn only(table: &Table, path: &[&str]) -> Option<Table> {
    let (name, rest) = path.split_first()?;
    let entry = table.get(*name)?;
    let value = match &entry.node.value {
        Value::Table(inner) if !rest.is_empty() => Value::Table(only(inner, rest)?),
        value => value.clone(),
    };
    let (place, written) = (entry.node.place.clone(), entry.node.written.clone());
    let node = Node { value, place, written };
    Some(Table::from([((*name).to_owned(), Entry { key: entry.key.clone(), node })]))
}

fn remove(table: &mut Table, path: &[&str]) {
    let Some((name, rest)) = path.split_first() else { return };
    match table.get_mut(*name).map(|entry| &mut entry.node.value) {
        Some(Value::Table(inner)) if !rest.is_empty() => {
            remove(inner, rest);
            if inner.is_empty() {
                table.remove(*name);
            }
        }
        _ => {
            table.remove(*name);
        }
    }
}

fn fault_from(refusal: Refusal, document: &Document) -> Fault {
    let key = refusal.keys.iter().rev().map(String::as_str).collect::<Vec<_>>().join(".");
    let problem = match refusal.what {
        What::UnknownKey(known) => {
            let is_group = document.get(&key).is_some_and(|e| {
                refusal.keys.len() == 1 && matches!(e.node.value, Value::Table(_))
            });
            suggest::unknown(&key, is_group, known)
        }
        What::Choice { found, known } => Problem::Refused {
            found: refusal.found,
            allowed: known.iter().map(|k| format!("{k:?}")).collect::<Vec<_>>().join(", "),
            nearest: suggest::nearest(&found, known).map(|k| format!("{k:?}")),
        },
        What::Allowed(allowed) => Problem::Refused { found: refusal.found, allowed, nearest: None },
    };
    let location = refusal.place.map_or_else(|| document.nowhere(), |p| document.location(&p));
    Fault::new(&key, problem, location)
}
