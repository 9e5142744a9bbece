//! Nothing is here: the package exists for its benches.

#![forbid(unsafe_code)]
