//! cuBLASLt, found and opened.
#![allow(unsafe_code)]

use std::ffi::{CStr, c_void};
use std::fmt;

use super::abi::{Attribute, Descriptor, Functions, Status};
use super::error::MultiplyError;
use crate::driver::library;

/// cuBLASLt, opened on the device that is current.
pub struct Library {
    pub(super) functions: Functions,
    pub(super) handle: Descriptor,
}

// SAFETY: a handle of cuBLASLt belongs to a device and to no thread.
unsafe impl Send for Library {}
// SAFETY: its documentation lets several threads use one handle.
unsafe impl Sync for Library {}

impl fmt::Debug for Library {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())
    }
}

impl Library {
    /// The cuBLASLt that the system finds, on the device that is current.
    ///
    /// # Errors
    /// [`MultiplyError`].
    pub fn load() -> Result<Self, MultiplyError> {
        let loaded = library::Library::CublasLt.load()?;
        // Kept for ever: libraries of CUDA do not take well to being unloaded.
        let find = Finder(Box::leak(Box::new(loaded)));
        // SAFETY: each type is that of the function in `cublasLt.h`.
        let functions = unsafe {
            Functions {
                get_version: find.function("cublasLtGetVersion")?,
                get_status_name: find.function("cublasLtGetStatusName")?,
                create: find.function("cublasLtCreate")?,
                destroy: find.function("cublasLtDestroy")?,
                operation_create: find.function("cublasLtMatmulDescCreate")?,
                operation_set: find.function("cublasLtMatmulDescSetAttribute")?,
                operation_destroy: find.function("cublasLtMatmulDescDestroy")?,
                layout_create: find.function("cublasLtMatrixLayoutCreate")?,
                layout_set: find.function("cublasLtMatrixLayoutSetAttribute")?,
                layout_destroy: find.function("cublasLtMatrixLayoutDestroy")?,
                preference_create: find.function("cublasLtMatmulPreferenceCreate")?,
                preference_set: find.function("cublasLtMatmulPreferenceSetAttribute")?,
                preference_destroy: find.function("cublasLtMatmulPreferenceDestroy")?,
                get_heuristic: find.function("cublasLtMatmulAlgoGetHeuristic")?,
                matmul: find.function("cublasLtMatmul")?,
            }
        };
        // SAFETY: they are cuBLASLt's.
        unsafe { Self::with(functions) }
    }

    /// The library of these functions.
    ///
    /// # Safety
    /// They do what cuBLASLt's do.
    ///
    /// # Errors
    /// [`MultiplyError::Call`].
    pub unsafe fn with(functions: Functions) -> Result<Self, MultiplyError> {
        let mut library = Self { functions, handle: std::ptr::null_mut() };
        // SAFETY: a place for a handle.
        let status = unsafe { (functions.create)(&raw mut library.handle) };
        library.done("cublasLtCreate", status)?;
        Ok(library)
    }

    /// Its name and version, on which bits depend.
    pub fn name(&self) -> String {
        // SAFETY: it takes nothing.
        let version = unsafe { (self.functions.get_version)() };
        let number = i64::try_from(version).unwrap_or_default();
        format!("cuBLASLt {}", library::packed_version(number).unwrap_or_default())
    }

    /// The error of a call that failed.
    pub(super) fn done(&self, call: &'static str, status: Status) -> Result<(), MultiplyError> {
        if status == 0 {
            return Ok(());
        }
        // SAFETY: null, or a string that stays.
        let name = unsafe {
            let name = (self.functions.get_status_name)(status);
            if name.is_null() { c"an unknown status" } else { CStr::from_ptr(name) }
        };
        Err(MultiplyError::Call { call, name: name.to_string_lossy().into_owned(), status })
    }

    /// Sets an attribute of a descriptor.
    ///
    /// # Safety
    /// The descriptor is alive, and the attribute has this type.
    pub(super) unsafe fn set<T>(
        &self,
        (call, set): (&'static str, Attribute),
        descriptor: Descriptor,
        attribute: i32,
        value: T,
    ) -> Result<(), MultiplyError> {
        let value: *const T = &raw const value;
        // SAFETY: the caller's promise; the value is copied.
        let status = unsafe { set(descriptor, attribute, value.cast::<c_void>(), size_of::<T>()) };
        self.done(call, status)
    }
}

impl Drop for Library {
    fn drop(&mut self) {
        if !self.handle.is_null() {
            // SAFETY: made in `with`, destroyed once.
            unsafe { (self.functions.destroy)(self.handle) };
        }
    }
}

struct Finder(&'static libloading::Library);

impl Finder {
    /// # Safety
    /// `F` is the type of that function.
    unsafe fn function<F: Copy>(&self, symbol: &'static str) -> Result<F, MultiplyError> {
        // SAFETY: by the caller's word. The library is never unloaded, so a copy stays good.
        let found = unsafe { self.0.get::<F>(symbol) };
        Ok(*found.map_err(|source| MultiplyError::Symbol { symbol, source })?)
    }
}
