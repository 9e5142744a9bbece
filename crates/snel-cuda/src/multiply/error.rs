//! Why there is no product.

use super::abi::Status;
use crate::driver::library::Missing;

/// Why cuBLASLt could not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MultiplyError {
    /// It is not there.
    #[error(transparent)]
    Missing(#[from] Missing),
    /// It lacks a function.
    #[error("the cuBLASLt that was found has no {symbol}; install another release")]
    Symbol {
        /// The function.
        symbol: &'static str,
        /// Why it was not found.
        source: libloading::Error,
    },
    /// A call failed.
    #[error("{call}: {name}")]
    Call {
        /// What was called.
        call: &'static str,
        /// cuBLASLt's name of the status.
        name: String,
        /// The status.
        status: Status,
    },
    /// It knows no way to make a product without dividing sums over k.
    #[error(
        "cuBLASLt knows no way to multiply {m} x {k} by {k} x {n} without dividing the sums; try another \
         `--precision`"
    )]
    NoWay {
        /// Rows of the result.
        m: usize,
        /// Its columns.
        n: usize,
        /// Terms of a sum.
        k: usize,
    },
}
