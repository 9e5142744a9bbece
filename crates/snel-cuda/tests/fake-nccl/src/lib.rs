//! A library with NCCL's functions whose ranks are threads of one process.
//!
//! It sums in the memory of the process, takes "in progress" as seriously as NCCL does, and fails
//! on demand. What NCCL asks of its callers it checks, and counts every breach as a misuse.
//!
//! The tests open copies of the file: each copy is a library with a state of its own. Nothing here
//! says anything about the real NCCL but the types of its functions.

#![allow(unsafe_code)] // a library that C could call
#![allow(non_snake_case)] // by NCCL's names

mod faults;
mod world;

use std::ffi::{CStr, c_char, c_int, c_void};

pub use faults::Fault;
use world::{Id, World, with};

const SUCCESS: c_int = 0;
const INVALID_ARGUMENT: c_int = 4;
const REMOTE_ERROR: c_int = 6;
const IN_PROGRESS: c_int = 7;

/// `ncclConfig_t` as far as it is looked at.
#[repr(C)]
pub struct Config {
    size: usize,
    magic: u32,
    version: u32,
    blocking: c_int,
}

#[unsafe(no_mangle)]
unsafe extern "C" fn ncclGetVersion(version: *mut c_int) -> c_int {
    // SAFETY: a place for an int, by NCCL's contract.
    unsafe { *version = with(|world| world.version) };
    SUCCESS
}

#[unsafe(no_mangle)]
extern "C" fn ncclGetErrorString(code: c_int) -> *const c_char {
    let text: &CStr = match code {
        SUCCESS => c"no error",
        INVALID_ARGUMENT => c"invalid argument",
        REMOTE_ERROR => c"remote process exited or there was a network error",
        IN_PROGRESS => c"NCCL operation in progress",
        _ => c"unknown result code",
    };
    text.as_ptr()
}

#[unsafe(no_mangle)]
extern "C" fn ncclGetLastError(_: *mut c_void) -> *const c_char {
    c"as the test wants it".as_ptr()
}

#[unsafe(no_mangle)]
unsafe extern "C" fn ncclGetUniqueId(id: *mut Id) -> c_int {
    // SAFETY: a place for an id.
    unsafe { *id = with(World::new_id) };
    SUCCESS
}

#[unsafe(no_mangle)]
unsafe extern "C" fn ncclCommInitRankConfig(
    communicator: *mut *mut c_void,
    size: c_int,
    id: Id,
    rank: c_int,
    config: *const Config,
) -> c_int {
    // SAFETY: a config, by NCCL's contract.
    let config = unsafe { &*config };
    let sound = config.magic == 0xcafe_beef && config.version >= 21_400 && config.size >= 24;
    if !sound || config.blocking != 0 || rank < 0 || rank >= size {
        return INVALID_ARGUMENT;
    }
    faults::obey(Fault::InitBlocks, rank, 0);
    let handle = with(|world| world.join(id, rank, size));
    // SAFETY: a place for a communicator.
    unsafe { *communicator = handle as *mut c_void };
    IN_PROGRESS
}

#[unsafe(no_mangle)]
unsafe extern "C" fn ncclCommGetAsyncError(communicator: *mut c_void, code: *mut c_int) -> c_int {
    match with(|world| world.async_error(communicator as usize)) {
        // SAFETY: a place for a code.
        Some(answer) => unsafe {
            *code = answer;
            SUCCESS
        },
        None => INVALID_ARGUMENT,
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn ncclAllReduce(
    send: *const i64,
    receive: *mut i64,
    count: usize,
    data_type: c_int,
    operation: c_int,
    communicator: *mut c_void,
    stream: *mut c_void,
) -> c_int {
    if data_type != 4 || operation != 0 {
        return INVALID_ARGUMENT;
    }
    // SAFETY: memory of that many integers.
    let mine = unsafe { std::slice::from_raw_parts(send, count) }.to_vec();
    let (handle, stream) = (communicator as usize, stream as usize);
    with(|world| world.all_reduce(handle, stream, mine, receive as usize))
}

#[unsafe(no_mangle)]
extern "C" fn ncclCommFinalize(communicator: *mut c_void) -> c_int {
    with(|world| world.finalize(communicator as usize))
}

#[unsafe(no_mangle)]
extern "C" fn ncclCommDestroy(communicator: *mut c_void) -> c_int {
    with(|world| world.destroy(communicator as usize))
}

#[unsafe(no_mangle)]
extern "C" fn ncclCommAbort(communicator: *mut c_void) -> c_int {
    let Some(rank) = with(|world| world.rank_of(communicator as usize)) else {
        return INVALID_ARGUMENT;
    };
    faults::obey(Fault::SlowAbort, rank, 0);
    faults::obey(Fault::AbortHangs, rank, 0);
    with(|world| world.abort(communicator as usize))
}

/// The version that it claims.
#[unsafe(no_mangle)]
pub extern "C" fn fake_set_version(version: c_int) {
    with(|world| world.version = version);
}

/// From its operation number `after` on, `rank` (-1: every rank) has the fault of that number, with
/// `value`.
#[unsafe(no_mangle)]
pub extern "C" fn fake_inject(kind: u32, rank: c_int, after: u64, value: i64) {
    faults::inject(kind, rank, after, value);
}

/// 1 if all work on the stream is done, or else 0. Work is done when it is asked for.
#[unsafe(no_mangle)]
pub extern "C" fn fake_stream_is_idle(stream: u64) -> c_int {
    c_int::from(with(|world| world.advance(stream as usize)))
}

/// Communicators that have not ended.
#[unsafe(no_mangle)]
pub extern "C" fn fake_living() -> u64 {
    with(|world| world.living())
}

/// How often a caller did what NCCL forbids.
#[unsafe(no_mangle)]
pub extern "C" fn fake_misuses() -> u64 {
    with(|world| world.misuses)
}
