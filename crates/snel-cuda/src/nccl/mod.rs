//! Sums between GPUs by NCCL.
//!
//! cudarc has bindings of NCCL too, but its safe layer cannot abort or poll and its result code is a
//! Rust enum, so that a code of a newer NCCL is undefined behaviour; hence a table of our own.
//!
//! A communicator connects the GPUs of one epoch: it is made when the members are known, and ends
//! when one of them is lost. It is never repaired; those who are left make another one, with a new
//! unique id.
//!
//! Invariants
//! 1. One thread calls into a communicator, from its making to its end ([`owner`]).
//! 2. No call waits inside NCCL for other ranks: communicators do not block, and this side polls,
//!    with a deadline and an eye on the flag that interrupts.
//! 3. After a failure the communicator is aborted before the caller hears of it. The one exception
//!    is [`NcclError::Stuck`]: NCCL itself does not come back, and the process must end.
//! 4. A unique id makes one communicator: no rank joins twice with the same.
//! 5. What is summed is integers. Floats would depend on NCCL's choice of ring or tree.
//! 6. That this rank holds a sum says nothing of the others, who may have failed in the last
//!    moment: who applies sums must agree first that all hold them.
//!
//! Nothing of this has run on a GPU. The tests run against a library of their own with NCCL's
//! functions, which sums in the memory of the process and fails in every way asked of it.
//!
//! Reading order: `abi` (NCCL's types), `library` (finding and loading it), `owner` (one
//! communicator's life), `communicator` (the caller's end of it), `packed` (a step's sums as words
//! that NCCL can add), `reducer` (one rank's sums), `collective` (the step of a fixed group), `seat`
//! (the same for groups that come and go, as the cluster has them).

#![allow(unsafe_code)] // a foreign library

mod abi;
mod collective;
mod communicator;
mod error;
mod library;
mod owner;
mod packed;
mod reducer;
mod seat;
mod stream;

pub use abi::UniqueId;
pub use collective::{NcclCollective, Shares, SharesError, even_shares};
pub use communicator::{Communicator, Interrupt, Patience, Place};
pub use error::{LoadError, NcclError, ResultCode};
pub use library::{Abilities, Library, Version};
pub use packed::{Opinion, PackedPartial, UnpackError};
pub use reducer::{ReduceError, Reducer};
pub use seat::{Ground, Seat, Summer};
pub use stream::{Stream, StreamError};
