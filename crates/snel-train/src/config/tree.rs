//! The typed tree as something that serde can read from.
//!
//! Types are checked here, so that a refusal says in plain words what is allowed; counts may be
//! written as whole floats (`1e6`).

use serde::de::{self, IntoDeserializer, Unexpected, Visitor};

use super::document::{Entry, Node, Table, Value};
use super::refusal::{Refusal, What};

/// A float is a whole number without doubt up to here.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// What serde reads from: the whole tree, or a value in it.
#[derive(Clone, Copy)]
pub(super) enum Tree<'a> {
    Table(&'a Table),
    Node(&'a Node),
}

impl<'a> Tree<'a> {
    fn refuse<T>(self, allowed: impl Into<String>) -> Result<T, Refusal> {
        Err(self.placed(Refusal::new(What::Allowed(allowed.into()))))
    }

    fn placed(self, refusal: Refusal) -> Refusal {
        match self {
            Tree::Table(_) => refusal,
            Tree::Node(node) => refusal.at(&node.place, &node.written),
        }
    }

    fn table(self) -> Option<&'a Table> {
        match self {
            Tree::Table(table) | Tree::Node(Node { value: Value::Table(table), .. }) => Some(table),
            Tree::Node(_) => None,
        }
    }

    fn value(self) -> Option<&'a Value> {
        match self {
            Tree::Table(_) => None,
            Tree::Node(node) => Some(&node.value),
        }
    }

    fn whole(self) -> Option<i128> {
        match self.value()? {
            Value::Integer(number) => Some(*number),
            Value::Float(number) if number.fract() == 0.0 && number.abs() <= EXACT => {
                Some(*number as i128)
            }
            _ => None,
        }
    }

    fn visit_list<V: Visitor<'a>>(self, list: &'a [Node], visitor: V) -> Result<V::Value, Refusal> {
        let items = de::value::SeqDeserializer::new(list.iter().map(Tree::Node));
        visitor.visit_seq(items).map_err(|refusal| self.placed(refusal))
    }

    fn visit_table<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Refusal> {
        let Some(table) = self.table() else { return self.refuse("a table of keys") };
        visitor
            .visit_map(Entries { rest: table.iter(), next: None })
            .map_err(|refusal| self.placed(refusal))
    }
}

impl<'de> IntoDeserializer<'de, Refusal> for Tree<'de> {
    type Deserializer = Self;
    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'de> de::Deserializer<'de> for Tree<'de> {
    type Error = Refusal;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        let Some(value) = self.value() else { return self.visit_table(visitor) };
        let outcome = match value {
            Value::Text(text) => visitor.visit_borrowed_str(text),
            Value::Integer(number) => match (u64::try_from(*number), i64::try_from(*number)) {
                (Ok(number), _) => visitor.visit_u64(number),
                (_, Ok(number)) => visitor.visit_i64(number),
                _ => visitor.visit_i128(*number),
            },
            Value::Float(number) => visitor.visit_f64(*number),
            Value::Boolean(boolean) => visitor.visit_bool(*boolean),
            Value::Other => Err(de::Error::invalid_type(Unexpected::Other(""), &visitor)),
            Value::List(list) => self.visit_list(list, visitor),
            Value::Table(_) => self.visit_table(visitor),
        };
        outcome.map_err(|refusal| self.placed(refusal))
    }

    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        match self.whole().map(u64::try_from) {
            Some(Ok(number)) => visitor.visit_u64(number).map_err(|r| self.placed(r)),
            _ => self.refuse("a whole number, not negative"),
        }
    }

    fn deserialize_u32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        match self.whole().map(u32::try_from) {
            Some(Ok(number)) => visitor.visit_u32(number).map_err(|r| self.placed(r)),
            _ => self.refuse(format!("a whole number from 0 to {}", u32::MAX)),
        }
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        match self.value() {
            Some(Value::Float(number)) => visitor.visit_f64(*number).map_err(|r| self.placed(r)),
            Some(Value::Integer(number)) => {
                visitor.visit_f64(*number as f64).map_err(|r| self.placed(r))
            }
            _ => self.refuse("a number"),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        match self.value() {
            Some(Value::Boolean(boolean)) => visitor.visit_bool(*boolean),
            _ => self.refuse("true or false"),
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        match self.value() {
            Some(Value::Text(text)) => visitor.visit_borrowed_str(text).map_err(|r| self.placed(r)),
            _ => self.refuse("a string in quotes"),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        self.deserialize_str(visitor)
    }

    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        if let Some(Value::Text(text)) = self.value() {
            let mut chars = text.chars();
            if let (Some(only), None) = (chars.next(), chars.next()) {
                return visitor.visit_char(only);
            }
        }
        self.refuse("a string of one character")
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        visitor.visit_some(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        match self.value() {
            Some(Value::List(list)) => self.visit_list(list, visitor),
            _ => self.refuse("a list"),
        }
    }

    fn deserialize_tuple<V: Visitor<'de>>(
        self,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, Refusal> {
        match self.value() {
            Some(Value::List(list)) if list.len() == len => self.visit_list(list, visitor),
            _ => self.refuse(format!("a list of {len} numbers")),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refusal> {
        self.visit_table(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        known: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refusal> {
        // What is no string is refused as the empty choice, so that the choices are listed.
        let text = if let Some(Value::Text(text)) = self.value() { text.as_str() } else { "" };
        if !known.contains(&text) {
            return Err(self.placed(de::Error::unknown_variant(text, known)));
        }
        let choice: de::value::StrDeserializer<'_, Refusal> = text.into_deserializer();
        visitor.visit_enum(choice).map_err(|r| self.placed(r))
    }

    serde::forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u8 u16 u128 f32 bytes byte_buf unit unit_struct newtype_struct
        tuple_struct map identifier ignored_any
    }
}

/// The entries of a table, key by key.
struct Entries<'a> {
    rest: std::collections::btree_map::Iter<'a, String, Entry>,
    next: Option<(&'a str, &'a Node)>,
}

impl<'de> de::MapAccess<'de> for Entries<'de> {
    type Error = Refusal;

    fn next_key_seed<K: de::DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Refusal> {
        let Some((name, entry)) = self.rest.next() else { return Ok(None) };
        self.next = Some((name, &entry.node));
        let key: de::value::BorrowedStrDeserializer<'de, Refusal> =
            de::value::BorrowedStrDeserializer::new(name);
        seed.deserialize(key).map(Some).map_err(|r| r.at(&entry.key, name).under(name))
    }

    fn next_value_seed<V: de::DeserializeSeed<'de>>(
        &mut self,
        seed: V,
    ) -> Result<V::Value, Refusal> {
        let Some((name, node)) = self.next.take() else {
            return Err(de::Error::custom("a key before its value"));
        };
        seed.deserialize(Tree::Node(node)).map_err(|refusal| refusal.under(name))
    }
}
