//! Readers, splits, standardisation, and toy densities with known log-density.
//!
//! [`Dataset::load`] is the way in: from a [`DataSpec`] it makes the three parts of the data as
//! the model sees them. Its pieces stand alone: [`open`] reads a file of any known format chunk by
//! chunk, [`Split`] shares rows out, [`Standardise`] scales columns, [`Store`] keeps rows in
//! memory or in a scratch file, [`Toy`] makes points of known density, [`RowWriter`] writes tables.
//!
//! Values are read as f64 and handed to the model as f32. Everything fails with [`DataError`].

#![forbid(unsafe_code)]

mod binarise;
mod dataset;
mod error;
mod names;
mod source;
mod spill;
mod split;
mod standardise;
mod store;
mod toy;
mod write;

pub use dataset::{DataSource, DataSpec, Dataset, Files, HeldOut};
pub use error::{DataError, Place};
pub use source::{ReadOptions, Source, open};
pub use split::{Part, Split};
pub use standardise::{Standardise, Welford};
pub use store::Store;
pub use toy::Toy;
pub use write::{RowWriter, write_rows};
