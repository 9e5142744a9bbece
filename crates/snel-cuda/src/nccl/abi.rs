//! NCCL's types, as `nccl.h` lays them out.
//!
//! Constants are macros there, so they are written by hand; each is that of NCCL 2.30.

use std::ffi::{c_char, c_int, c_uint, c_void};

use crate::nccl::error::ResultCode;

/// `ncclComm_t`: what it points to is NCCL's own business.
pub(super) type RawCommunicator = *mut c_void;
/// `cudaStream_t`, the same as the driver's `CUstream`.
pub(super) type RawStream = *mut c_void;

/// `ncclInt64`.
pub(super) const INT64: c_int = 4;
/// `ncclSum`.
pub(super) const SUM: c_int = 0;

/// Bytes of a unique id, `NCCL_UNIQUE_ID_BYTES`.
const ID_BYTES: usize = 128;

/// What the ranks of one communicator have in common: where to find the rank that made it.
///
/// It is made by a rank that takes part, because making it opens a socket in that process, and it
/// is worth one communicator.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct UniqueId([u8; ID_BYTES]);

impl UniqueId {
    /// Bytes of an id.
    pub const BYTES: usize = ID_BYTES;

    /// The id that another rank sent.
    pub fn from_bytes(bytes: [u8; ID_BYTES]) -> Self {
        Self(bytes)
    }

    /// To be sent to the other ranks.
    pub fn to_bytes(self) -> [u8; ID_BYTES] {
        self.0
    }
}

/// `ncclConfig_t` as of NCCL 2.14, the first with `blocking`. NCCL reads no more than `size` bytes
/// and takes its defaults for all that came after `version`, so it need not grow with NCCL.
#[repr(C)]
pub(super) struct Config {
    size: usize,
    magic: c_uint,
    version: c_uint,
    blocking: c_int,
}

impl Config {
    /// A communicator whose functions return at once.
    pub(super) fn not_blocking() -> Self {
        Self { size: size_of::<Self>(), magic: 0xcafe_beef, version: 21_400, blocking: 0 }
    }
}

pub(super) type GetVersion = unsafe extern "C" fn(version: *mut c_int) -> ResultCode;
pub(super) type GetErrorString = unsafe extern "C" fn(code: ResultCode) -> *const c_char;
pub(super) type GetLastError = unsafe extern "C" fn(RawCommunicator) -> *const c_char;
pub(super) type GetUniqueId = unsafe extern "C" fn(id: *mut UniqueId) -> ResultCode;
pub(super) type InitRankConfig = unsafe extern "C" fn(
    communicator: *mut RawCommunicator,
    world: c_int,
    id: UniqueId,
    rank: c_int,
    config: *mut Config,
) -> ResultCode;
pub(super) type GetAsyncError =
    unsafe extern "C" fn(RawCommunicator, code: *mut ResultCode) -> ResultCode;
pub(super) type AllReduce = unsafe extern "C" fn(
    send: *const c_void,
    receive: *mut c_void,
    count: usize,
    data_type: c_int,
    operation: c_int,
    communicator: RawCommunicator,
    stream: RawStream,
) -> ResultCode;
/// `ncclCommAbort`, `ncclCommFinalize`, `ncclCommDestroy`.
pub(super) type End = unsafe extern "C" fn(RawCommunicator) -> ResultCode;

#[cfg(test)]
mod tests {
    use super::*;

    /// The beginning of `ncclConfig_t` on a 64-bit machine; seen in `nccl.h` of 2.30.7.
    #[test]
    fn the_config_is_laid_out_as_in_c() {
        let offsets = (
            std::mem::offset_of!(Config, magic),
            std::mem::offset_of!(Config, version),
            std::mem::offset_of!(Config, blocking),
        );
        assert_eq!((size_of::<Config>(), offsets), (24, (8, 12, 16)));
        assert_eq!((size_of::<UniqueId>(), align_of::<UniqueId>()), (128, 1));
    }
}
