//! The wire contract of the cluster: messages and services generated from `proto/snel/v1`, where
//! they are documented.

#![forbid(unsafe_code)]

/// Version 1 of the contract.
#[allow(missing_docs, clippy::all, clippy::pedantic)] // generated; its documentation is in proto/
pub mod v1 {
    tonic::include_proto!("snel.v1");
}

/// The descriptors of all messages and services, encoded: for server reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
