//! Products of one shape, and the way in which they are made.
#![allow(unsafe_code)]

use std::ffi::{c_int, c_void};
use std::sync::Arc;

use super::abi::{
    Algorithm, BATCH_COUNT, BATCH_STRIDE, BF16, COMPUTE_F32, COMPUTE_TF32, Descriptor, F32,
    Heuristic, MAX_WORKSPACE, OPERATION_T, REDUCTION_SCHEMES, Status, TRANSPOSE_A, TRANSPOSE_B,
    Workspace,
};
use super::error::MultiplyError;
use super::library::Library;
use crate::settings::Precision;

/// `CUBLAS_STATUS_NOT_SUPPORTED`.
const NOT_SUPPORTED: Status = 15;

/// `C = A B`, or `C += A B`, for several matrices at once. All lie column by column without gaps, and
/// C is f32.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Product {
    /// Rows of C.
    pub m: usize,
    /// Columns of C.
    pub n: usize,
    /// Terms of each sum.
    pub k: usize,
    /// Whether A lies row by row.
    pub a_transposed: bool,
    /// Whether B lies row by row.
    pub b_transposed: bool,
    /// From one A, B, C to the next, elements; 0 if it is always the same.
    pub strides: [usize; 3],
    /// [`Precision::Fp32`] and [`Precision::Tf32`] multiply f32, the others bf16.
    pub precision: Precision,
}

impl Product {
    /// Bytes of an element of A and B.
    pub fn element_bytes(&self) -> usize {
        if self.operand_type() == BF16 { 2 } else { 4 }
    }

    fn operand_type(&self) -> c_int {
        match self.precision {
            Precision::Fp32 | Precision::Tf32 => F32,
            Precision::Bf16x3 | Precision::Bf16 => BF16,
        }
    }
}

/// A product with all that cuBLASLt wants to know of it.
pub struct Prepared {
    library: Arc<Library>,
    operation: Owned,
    layouts: [Owned; 3],
    algorithm: Algorithm,
}

// SAFETY: descriptors belong to no thread, and nobody else has these.
unsafe impl Send for Prepared {}

/// A descriptor that is destroyed when dropped.
struct Owned {
    descriptor: Descriptor,
    destroy: unsafe extern "C" fn(Descriptor) -> Status,
}

impl Drop for Owned {
    fn drop(&mut self) {
        // SAFETY: made by the library, destroyed once.
        unsafe { (self.destroy)(self.descriptor) };
    }
}

impl Prepared {
    /// Looks up how `product` is best made for `most` matrices; fewer are made in the same way.
    ///
    /// # Errors
    /// [`MultiplyError`].
    pub fn new(
        library: Arc<Library>,
        product: &Product,
        most: u32,
        workspace: usize,
    ) -> Result<Self, MultiplyError> {
        let Product { m, n, k, a_transposed, b_transposed, strides, precision } = *product;
        let operation = library.operation(precision, a_transposed, b_transposed)?;
        let stored = |rows, columns, transposed| {
            if transposed { (columns, rows) } else { (rows, columns) }
        };
        let kind = product.operand_type();
        let (a, b) = (stored(m, k, a_transposed), stored(k, n, b_transposed));
        let layouts = [
            library.layout(kind, a, strides[0], most)?,
            library.layout(kind, b, strides[1], most)?,
            library.layout(F32, (m, n), strides[2], most)?,
        ];
        let found = library.look_up(&operation, &layouts, workspace)?;
        let algorithm = found.ok_or(MultiplyError::NoWay { m, n, k })?;
        Ok(Self { library, operation, layouts, algorithm })
    }

    /// Starts the product of the first `count` matrices at these addresses of A, B and C.
    ///
    /// # Safety
    /// There are so many matrices of the product's shape, on the library's device, `count` is not more
    /// than it was prepared for, and all stays alive until the work of `stream` is done. No other
    /// product of the same stream uses the workspace at the same time.
    ///
    /// # Errors
    /// [`MultiplyError::Call`].
    pub unsafe fn launch(
        &self,
        count: u32,
        accumulate: bool,
        [a, b, c]: [u64; 3],
        workspace: Workspace,
        stream: u64,
    ) -> Result<(), MultiplyError> {
        let Self { library, operation, layouts, algorithm } = self;
        for layout in layouts {
            // SAFETY: the descriptor lives, and this is an int32 there.
            unsafe { library.set_layout(layout.descriptor, BATCH_COUNT, count as i32)? };
        }
        let [a_layout, b_layout, c_layout] = layouts.each_ref().map(|l| l.descriptor);
        let (alpha, beta) = (1f32, if accumulate { 1f32 } else { 0f32 });
        let at = |address: u64| address as *mut c_void;
        // SAFETY: descriptors live; factors are f32, as the operation says, and are read before the
        // call returns; the matrices are the caller's promise. C and D may be the same.
        let status = unsafe {
            (library.functions.matmul)(
                library.handle,
                operation.descriptor,
                (&raw const alpha).cast(),
                at(a),
                a_layout,
                at(b),
                b_layout,
                (&raw const beta).cast(),
                at(c),
                c_layout,
                at(c),
                c_layout,
                &raw const *algorithm,
                at(workspace.address),
                workspace.bytes,
                at(stream),
            )
        };
        library.done("cublasLtMatmul", status)
    }
}

impl Library {
    fn operation(
        &self,
        precision: Precision,
        a_transposed: bool,
        b_transposed: bool,
    ) -> Result<Owned, MultiplyError> {
        let compute = if precision == Precision::Tf32 { COMPUTE_TF32 } else { COMPUTE_F32 };
        let mut descriptor = std::ptr::null_mut();
        // SAFETY: a place for a descriptor.
        let status =
            unsafe { (self.functions.operation_create)(&raw mut descriptor, compute, F32) };
        self.done("cublasLtMatmulDescCreate", status)?;
        let operation = Owned { descriptor, destroy: self.functions.operation_destroy };
        let set = ("cublasLtMatmulDescSetAttribute", self.functions.operation_set);
        for (attribute, transposed) in [(TRANSPOSE_A, a_transposed), (TRANSPOSE_B, b_transposed)] {
            if transposed {
                // SAFETY: the descriptor lives, and these are int32 there.
                unsafe { self.set(set, descriptor, attribute, OPERATION_T)? };
            }
        }
        Ok(operation)
    }

    fn layout(
        &self,
        kind: c_int,
        (rows, columns): (usize, usize),
        stride: usize,
        count: u32,
    ) -> Result<Owned, MultiplyError> {
        let mut descriptor = std::ptr::null_mut();
        let (rows, columns) = (rows as u64, columns as u64);
        // SAFETY: a place for a descriptor.
        let status = unsafe {
            (self.functions.layout_create)(&raw mut descriptor, kind, rows, columns, rows as i64)
        };
        self.done("cublasLtMatrixLayoutCreate", status)?;
        let layout = Owned { descriptor, destroy: self.functions.layout_destroy };
        // SAFETY: the descriptor lives; these are an int32 and an int64 there.
        unsafe {
            self.set_layout(descriptor, BATCH_COUNT, count as i32)?;
            self.set_layout(descriptor, BATCH_STRIDE, stride as i64)?;
        }
        Ok(layout)
    }

    /// # Safety
    /// [`Library::set`]'s.
    unsafe fn set_layout<T>(
        &self,
        layout: Descriptor,
        attribute: i32,
        value: T,
    ) -> Result<(), MultiplyError> {
        let set = ("cublasLtMatrixLayoutSetAttribute", self.functions.layout_set);
        // SAFETY: the caller's promise.
        unsafe { self.set(set, layout, attribute, value) }
    }

    /// The first way that cuBLASLt names, of those that do not divide sums.
    fn look_up(
        &self,
        operation: &Owned,
        layouts: &[Owned; 3],
        workspace: usize,
    ) -> Result<Option<Algorithm>, MultiplyError> {
        let mut descriptor = std::ptr::null_mut();
        // SAFETY: a place for a descriptor.
        let status = unsafe { (self.functions.preference_create)(&raw mut descriptor) };
        self.done("cublasLtMatmulPreferenceCreate", status)?;
        let preference = Owned { descriptor, destroy: self.functions.preference_destroy };
        let set = ("cublasLtMatmulPreferenceSetAttribute", self.functions.preference_set);
        // SAFETY: the descriptor lives; these are a size and a uint32 there.
        unsafe {
            self.set(set, descriptor, MAX_WORKSPACE, workspace)?;
            self.set(set, descriptor, REDUCTION_SCHEMES, 0u32)?;
        }
        let [a, b, c] = layouts.each_ref().map(|layout| layout.descriptor);
        let (mut found, mut count) = (Heuristic::default(), 0);
        // SAFETY: descriptors live; there is room for the one result that is asked for.
        let status = unsafe {
            (self.functions.get_heuristic)(
                self.handle,
                operation.descriptor,
                a,
                b,
                c,
                c,
                preference.descriptor,
                1,
                &raw mut found,
                &raw mut count,
            )
        };
        // It says so, too, where it knows no way.
        if status != NOT_SUPPORTED {
            self.done("cublasLtMatmulAlgoGetHeuristic", status)?;
        }
        Ok((count > 0 && found.status == 0).then_some(found.algorithm))
    }
}
