//! Products of large matrices by cuBLASLt, for layers that are too wide for a tile.
//!
//! Nothing is linked: [`Library`] is a table of functions, found when it is first needed. The tests
//! fill it with functions of their own.
//!
//! Invariants
//! 1. The way in which a product is made is looked up once, for the shape that never changes, and
//!    pinned ([`Prepared`]): cuBLASLt makes the same call twice with equal bits.
//! 2. A sum over k is never divided between blocks of threads, so no element depends on how many
//!    matrices are multiplied at once. NVIDIA does not promise that; the engine looks whether it is so
//!    before it trusts it (`engine/layers/trial.rs`).
//!
//! Fails with [`MultiplyError`], which names the call and cuBLASLt's status. Nothing of this has run
//! with cuBLASLt itself.

mod abi;
mod error;
mod library;
mod prepared;

pub use abi::{
    Algorithm, Attribute, Descriptor, Functions, GetHeuristic, Heuristic, Matmul, Status, Workspace,
};
pub use error::MultiplyError;
pub use library::Library;
pub use prepared::{Prepared, Product};

/// The constants of `cublasLt.h` by name, for whoever stands in for the library.
pub mod constants {
    pub use super::abi::{
        BATCH_COUNT, BATCH_STRIDE, BF16, COMPUTE_F32, COMPUTE_TF32, F32, MAX_WORKSPACE,
        OPERATION_T, REDUCTION_SCHEMES, TRANSPOSE_A, TRANSPOSE_B,
    };
}
