//! Why serde would not take a value: its facts, before they are words.
//!
//! The lists of known keys and choices are those that serde derives from the structs, so they
//! cannot fall behind them.

use std::fmt::{self, Display};

use serde::de::{self, Deserialize, Unexpected};

use super::document::Place;

/// Why serde would not take a value.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) what: What,
    /// The innermost known place.
    pub(super) place: Option<Place>,
    pub(super) found: String,
    /// Keys from the inside out.
    pub(super) keys: Vec<String>,
}

#[derive(Debug)]
pub(super) enum What {
    UnknownKey(&'static [&'static str]),
    Choice { found: String, known: &'static [&'static str] },
    Allowed(String),
}

impl Refusal {
    pub(super) fn new(what: What) -> Self {
        Self { what, place: None, found: String::new(), keys: Vec::new() }
    }

    pub(super) fn at(mut self, place: &Place, found: &str) -> Self {
        if self.place.is_none() {
            self.place = Some(place.clone());
            found.clone_into(&mut self.found);
        }
        self
    }

    pub(super) fn under(mut self, key: &str) -> Self {
        self.keys.push(key.to_owned());
        self
    }
}

impl Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.what)
    }
}

impl std::error::Error for Refusal {}

impl de::Error for Refusal {
    fn custom<T: Display>(message: T) -> Self {
        Self::new(What::Allowed(message.to_string()))
    }

    fn invalid_type(_: Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::new(What::Allowed(expected.to_string()))
    }

    fn invalid_value(_: Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::new(What::Allowed(expected.to_string()))
    }

    fn invalid_length(_: usize, expected: &dyn de::Expected) -> Self {
        Self::new(What::Allowed(expected.to_string()))
    }

    fn unknown_variant(variant: &str, known: &'static [&'static str]) -> Self {
        Self::new(What::Choice { found: variant.to_owned(), known })
    }

    fn unknown_field(_: &str, known: &'static [&'static str]) -> Self {
        Self::new(What::UnknownKey(known))
    }
}

/// The keys that serde knows for a struct.
pub(super) fn keys_of<'de, T: Deserialize<'de>>() -> &'static [&'static str] {
    let probe = de::value::MapDeserializer::<_, Refusal>::new([("", "")].into_iter());
    match T::deserialize(probe) {
        Err(Refusal { what: What::UnknownKey(known), .. }) => known,
        _ => &[],
    }
}
