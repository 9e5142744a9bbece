//! The cluster: a coordinator, its workers and what passes between them.

#![forbid(unsafe_code)]

pub mod record;
