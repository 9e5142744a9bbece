//! Collects the faults of a config whose keys could be read: ranges, and rules between keys.

use std::ops::RangeInclusive;

use super::document::{Document, Entry, Value};
use super::fault::{Fault, Problem};
use super::suggest;

/// Bound of counts that have no nearer one: 2^40, past any run.
pub(super) const MOST: u64 = 1 << 40;

/// The faults so far, and the document that says what was written where.
pub(super) struct Check<'a> {
    document: &'a Document,
    faults: Vec<Fault>,
    /// Keys that could not be read, so that their defaults stand in for them.
    unread: Vec<String>,
}

impl<'a> Check<'a> {
    pub(super) fn new(document: &'a Document, faults: Vec<Fault>) -> Self {
        let unread = faults.iter().map(|fault| fault.key.clone()).collect();
        Self { document, faults, unread }
    }

    /// All faults, in the order of the text.
    pub(super) fn into_faults(mut self) -> Vec<Fault> {
        self.faults.sort_by_key(Fault::order);
        self.faults
    }

    /// Whether everything in a group could be read, so that rules between its keys make sense.
    pub(super) fn clean(&self, group: &str) -> bool {
        let within = |key: &String| {
            key.strip_prefix(group).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        !self.unread.iter().any(within)
    }

    /// What was written under `key`. A rule about a key that does not exist would never fire.
    fn written(&self, key: &str) -> Option<&'a Entry> {
        debug_assert!(suggest::is_known(key), "a rule names the unknown key {key}");
        self.document.get(key)
    }

    /// Refuses the value of `key` unless `holds`; `allowed` says in words what would do.
    pub(super) fn that(&mut self, holds: bool, key: &str, allowed: &str) {
        let entry = self.written(key);
        if holds || self.unread.iter().any(|unread| unread == key) {
            return;
        }
        let (found, location) = match entry {
            Some(entry) => (entry.node.written.clone(), self.document.location(&entry.node.place)),
            None => ("left to its default".to_owned(), self.document.nowhere()),
        };
        let problem = Problem::Refused { found, allowed: allowed.to_owned(), nearest: None };
        self.faults.push(Fault::new(key, problem, location));
    }

    /// Refuses a count outside `allowed`.
    pub(super) fn count<N: TryInto<u64>>(
        &mut self,
        key: &str,
        count: Option<N>,
        allowed: RangeInclusive<u64>,
    ) {
        let within = |count: N| count.try_into().is_ok_and(|count| allowed.contains(&count));
        let holds = count.is_none_or(within);
        let words = format!("a whole number from {} to {}", allowed.start(), allowed.end());
        self.that(holds, key, &words);
    }

    /// Refuses an empty string.
    pub(super) fn not_empty(&mut self, key: &str) {
        let empty = |value: &Value| matches!(value, Value::Text(text) if text.is_empty());
        let holds = self.written(key).is_none_or(|entry| !empty(&entry.node.value));
        self.that(holds, key, "a string that is not empty");
    }

    /// Refuses `key`, if it was written, for it means nothing beside `cause`.
    pub(super) fn unused(&mut self, key: &str, cause: &str, allowed: &str) {
        let (Some(entry), written) = (self.written(key), self.written(cause)) else { return };
        let (group, name) = cause.rsplit_once('.').unwrap_or(("", cause));
        let hint = match written {
            Some(other) if other.key.is_override() && !entry.key.is_override() => {
                let value = &other.node.written;
                format!("replace the whole group: --set '{group}={{ {name} = {value} }}'")
            }
            _ => format!("remove `{key}`, or change `{cause}`"),
        };
        let cause = match written {
            Some(other) => format!("`{cause} = {}`", other.node.written),
            None => format!("the default of `{cause}`"),
        };
        let problem = Problem::Unused { cause, allowed: allowed.to_owned(), hint };
        self.faults.push(Fault::new(key, problem, self.document.location(&entry.key)));
    }

    /// Reports something that is needed, at `key` if that was written.
    pub(super) fn missing(&mut self, key: &str, what: &str, needed: &str) {
        let location = match self.written(key) {
            Some(entry) => self.document.location(&entry.key),
            None => self.document.nowhere(),
        };
        let problem = Problem::Missing { what: what.to_owned(), needed: needed.to_owned() };
        self.faults.push(Fault::new(key, problem, location));
    }
}
