//! Host memory that a GPU copies to and from on its own.

#![allow(unsafe_code)]

use std::ffi::c_void;

use cudarc::driver::result;

use super::cuda::{Does, DriverError};

/// Page-locked memory of the context that was current when it was made.
#[derive(Debug)]
pub(super) struct Pinned {
    start: *mut c_void,
    bytes: usize,
}

// SAFETY: nothing else points to this memory, and it may be read and freed from any thread.
unsafe impl Send for Pinned {}

impl Pinned {
    /// `bytes` zeros, in a context that is current.
    pub(super) fn new(bytes: usize) -> Result<Self, DriverError> {
        // SAFETY: a context is current. Flags 0: cached memory, because the CPU reads it too.
        let start = unsafe { result::malloc_host(bytes, 0) }.does("cuMemHostAlloc")?;
        // SAFETY: so many bytes were allocated just now.
        unsafe { std::ptr::write_bytes(start.cast::<u8>(), 0, bytes) };
        Ok(Self { start, bytes })
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn slice(&self) -> &[u8] {
        // SAFETY: allocated and zeroed in `new`; callers wait for copies before they look.
        unsafe { std::slice::from_raw_parts(self.start.cast(), self.bytes) }
    }

    pub(super) fn slice_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and `self` is borrowed exclusively.
        unsafe { std::slice::from_raw_parts_mut(self.start.cast(), self.bytes) }
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        // SAFETY: allocated in `new`, freed once. The driver waits for copies that still use it.
        let _ = unsafe { result::free_host(self.start) };
    }
}
