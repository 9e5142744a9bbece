//! The types of `cublasLt.h`, as it lays them out, and the functions that are called.
//!
//! Constants are those of CUDA 13.0; none of them has changed since 11.0.

use std::ffi::{c_char, c_int, c_void};

/// `cublasLtHandle_t`, `cublasLtMatmulDesc_t`, `cublasLtMatrixLayout_t`, `cublasLtMatmulPreference_t`:
/// what they point to is the library's own business.
pub type Descriptor = *mut c_void;

/// `cublasStatus_t`; 0 is success.
pub type Status = c_int;

/// `cudaDataType_t`.
pub const F32: c_int = 0;
/// `CUDA_R_16BF`.
pub const BF16: c_int = 14;

/// `CUBLAS_COMPUTE_32F`.
pub const COMPUTE_F32: c_int = 68;
/// `CUBLAS_COMPUTE_32F_FAST_TF32`.
pub const COMPUTE_TF32: c_int = 77;

/// `CUBLAS_OP_T`.
pub const OPERATION_T: c_int = 1;

/// `CUBLASLT_MATMUL_DESC_TRANSA`.
pub const TRANSPOSE_A: c_int = 3;
/// `CUBLASLT_MATMUL_DESC_TRANSB`.
pub const TRANSPOSE_B: c_int = 4;
/// `CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT`.
pub const BATCH_COUNT: c_int = 5;
/// `CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET`, elements.
pub const BATCH_STRIDE: c_int = 6;
/// `CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES`.
pub const MAX_WORKSPACE: c_int = 1;
/// `CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK`; 0 leaves none but `CUBLASLT_REDUCTION_SCHEME_NONE`.
pub const REDUCTION_SCHEMES: c_int = 3;

/// `cublasLtMatmulAlgo_t`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Algorithm {
    /// Opaque.
    pub data: [u64; 8],
}

/// `cublasLtMatmulHeuristicResult_t`.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub struct Heuristic {
    /// How the product is made.
    pub algorithm: Algorithm,
    /// Bytes that it needs besides.
    pub workspace: usize,
    /// Whether it can be.
    pub status: Status,
    /// Of its blocks, on the device.
    pub waves: f32,
    /// Unused.
    pub reserved: [c_int; 4],
}

/// Memory that a product may use while it is made.
#[derive(Debug, Clone, Copy, Default)]
pub struct Workspace {
    /// Where it begins, on the device.
    pub address: u64,
    /// Its length.
    pub bytes: usize,
}

/// Sets an attribute of a descriptor: which, its value, the bytes of that.
pub type Attribute = unsafe extern "C" fn(Descriptor, c_int, *const c_void, usize) -> Status;
/// `cublasLtMatmul`.
pub type Matmul = unsafe extern "C" fn(
    handle: Descriptor,
    operation: Descriptor,
    alpha: *const c_void,
    a: *const c_void,
    a_layout: Descriptor,
    b: *const c_void,
    b_layout: Descriptor,
    beta: *const c_void,
    c: *const c_void,
    c_layout: Descriptor,
    d: *mut c_void,
    d_layout: Descriptor,
    algorithm: *const Algorithm,
    workspace: *mut c_void,
    workspace_bytes: usize,
    stream: *mut c_void,
) -> Status;
/// `cublasLtMatmulAlgoGetHeuristic`.
pub type GetHeuristic = unsafe extern "C" fn(
    handle: Descriptor,
    operation: Descriptor,
    a_layout: Descriptor,
    b_layout: Descriptor,
    c_layout: Descriptor,
    d_layout: Descriptor,
    preference: Descriptor,
    asked: c_int,
    results: *mut Heuristic,
    found: *mut c_int,
) -> Status;

/// The functions that are called, each named as without its `cublasLt`.
#[derive(Clone, Copy)]
pub struct Functions {
    /// `GetVersion`.
    pub get_version: unsafe extern "C" fn() -> usize,
    /// `GetStatusName`.
    pub get_status_name: unsafe extern "C" fn(Status) -> *const c_char,
    /// `Create`.
    pub create: unsafe extern "C" fn(*mut Descriptor) -> Status,
    /// `Destroy`.
    pub destroy: unsafe extern "C" fn(Descriptor) -> Status,
    /// `MatmulDescCreate`: of a compute type and the type of factors.
    pub operation_create: unsafe extern "C" fn(*mut Descriptor, c_int, c_int) -> Status,
    /// `MatmulDescSetAttribute`.
    pub operation_set: Attribute,
    /// `MatmulDescDestroy`.
    pub operation_destroy: unsafe extern "C" fn(Descriptor) -> Status,
    /// `MatrixLayoutCreate`: of a type, rows, columns, and the distance of columns.
    pub layout_create: unsafe extern "C" fn(*mut Descriptor, c_int, u64, u64, i64) -> Status,
    /// `MatrixLayoutSetAttribute`.
    pub layout_set: Attribute,
    /// `MatrixLayoutDestroy`.
    pub layout_destroy: unsafe extern "C" fn(Descriptor) -> Status,
    /// `MatmulPreferenceCreate`.
    pub preference_create: unsafe extern "C" fn(*mut Descriptor) -> Status,
    /// `MatmulPreferenceSetAttribute`.
    pub preference_set: Attribute,
    /// `MatmulPreferenceDestroy`.
    pub preference_destroy: unsafe extern "C" fn(Descriptor) -> Status,
    /// `MatmulAlgoGetHeuristic`.
    pub get_heuristic: GetHeuristic,
    /// `Matmul`.
    pub matmul: Matmul,
}

// As in `cublasLt.h` on a 64-bit machine.
const _: () = assert!(size_of::<Algorithm>() == 64 && size_of::<Heuristic>() == 96);
