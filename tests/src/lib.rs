//! What the tests in `tests/tests/` share with each other and with the fuzz targets in `fuzz/`.

#![forbid(unsafe_code)]
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "all of this is test code"
)]

pub mod hostile;
