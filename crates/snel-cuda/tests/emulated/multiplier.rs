//! What stands in for cuBLASLt on the emulator: the same functions, plain loops behind them.
//!
//! It keeps what it is told and complains of what cuBLASLt would refuse or misunderstand: descriptors
//! that do not fit, sums that may be divided, another way of making a product than the one named for
//! its shape.

use std::ffi::{c_char, c_int, c_void};

use snel_core::chunks::ChunkSet;
use snel_core::engine::Engine;
use snel_cuda::multiply::constants::{
    BATCH_COUNT, BATCH_STRIDE, BF16, COMPUTE_F32, COMPUTE_TF32, F32, MAX_WORKSPACE, OPERATION_T,
    REDUCTION_SCHEMES, TRANSPOSE_A, TRANSPOSE_B,
};
use snel_cuda::multiply::{Algorithm, Descriptor, Functions, Heuristic, Library, Status};
use snel_cuda::{CudaEngine, CudaError, Settings};

use crate::cases::{Case, empty, plan, rows, small};
use crate::compilation::available;
use crate::emulator::Emulator;

/// Which library an emulator has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stand {
    /// None at all.
    Missing,
    /// One that does what it should.
    Sound,
    /// One whose last matrix of several has other bits.
    Dependent,
    /// One that only knows ways that divide sums.
    Divides,
}

impl Stand {
    pub(crate) fn open(self) -> Option<Library> {
        let mut functions = FUNCTIONS;
        match self {
            Self::Missing => return None,
            Self::Sound => {}
            Self::Dependent => functions.matmul = matmul::<true>,
            Self::Divides => functions.get_heuristic = no_heuristic,
        }
        // SAFETY: they keep to cuBLASLt's contract, but for what is asked of them here.
        Some(unsafe { Library::with(functions) }.unwrap())
    }
}

const FUNCTIONS: Functions = Functions {
    get_version: version,
    get_status_name: name,
    create: handle_create,
    destroy: done,
    operation_create,
    operation_set,
    operation_destroy: destroy::<Operation>,
    layout_create,
    layout_set,
    layout_destroy: destroy::<Layout>,
    preference_create,
    preference_set,
    preference_destroy: destroy::<Preference>,
    get_heuristic,
    matmul: matmul::<false>,
};

const INVALID: Status = 7;
const NOT_SUPPORTED: Status = 15;

struct Operation {
    compute: c_int,
    transposed: [bool; 2],
}

#[derive(Clone, Copy)]
struct Layout {
    kind: c_int,
    rows: usize,
    columns: usize,
    count: usize,
    stride: usize,
}

#[derive(Default)]
struct Preference {
    divided: Option<u32>,
    workspace: Option<usize>,
}

unsafe extern "C" fn version() -> usize {
    130_000
}

unsafe extern "C" fn name(status: Status) -> *const c_char {
    match status {
        INVALID => c"CUBLAS_STATUS_INVALID_VALUE".as_ptr(),
        _ => c"CUBLAS_STATUS_NOT_SUPPORTED".as_ptr(),
    }
}

unsafe extern "C" fn handle_create(to: *mut Descriptor) -> Status {
    // SAFETY: a place for a handle.
    unsafe { *to = std::ptr::dangling_mut() };
    0
}

unsafe extern "C" fn done(_: Descriptor) -> Status {
    0
}

/// # Safety
/// `to` is a place for a descriptor.
unsafe fn give<T>(to: *mut Descriptor, value: T) -> Status {
    // SAFETY: the caller's promise.
    unsafe { *to = Box::into_raw(Box::new(value)).cast() };
    0
}

unsafe extern "C" fn destroy<T>(descriptor: Descriptor) -> Status {
    // SAFETY: made by `give`, destroyed once.
    drop(unsafe { Box::from_raw(descriptor.cast::<T>()) });
    0
}

unsafe extern "C" fn operation_create(to: *mut Descriptor, compute: c_int, scale: c_int) -> Status {
    if ![COMPUTE_F32, COMPUTE_TF32].contains(&compute) || scale != F32 {
        return INVALID;
    }
    // SAFETY: the caller's promise.
    unsafe { give(to, Operation { compute, transposed: [false; 2] }) }
}

/// # Safety
/// The value has so many bytes, and those of a `T` if they are as many.
unsafe fn value_of<T: Copy>(value: *const c_void, bytes: usize) -> Option<T> {
    // SAFETY: the caller's promise.
    (bytes == size_of::<T>()).then(|| unsafe { value.cast::<T>().read_unaligned() })
}

unsafe extern "C" fn operation_set(
    descriptor: Descriptor,
    attribute: c_int,
    value: *const c_void,
    bytes: usize,
) -> Status {
    // SAFETY: one of ours, and a value as it says.
    let (operation, value) =
        unsafe { (&mut *descriptor.cast::<Operation>(), value_of::<i32>(value, bytes)) };
    match (attribute, value) {
        (TRANSPOSE_A, Some(value)) => operation.transposed[0] = value == OPERATION_T,
        (TRANSPOSE_B, Some(value)) => operation.transposed[1] = value == OPERATION_T,
        _ => return INVALID,
    }
    0
}

unsafe extern "C" fn layout_create(
    to: *mut Descriptor,
    kind: c_int,
    rows: u64,
    columns: u64,
    distance: i64,
) -> Status {
    if ![F32, BF16].contains(&kind) || distance != rows as i64 {
        return INVALID;
    }
    let (rows, columns) = (rows as usize, columns as usize);
    // SAFETY: the caller's promise.
    unsafe { give(to, Layout { kind, rows, columns, count: 1, stride: 0 }) }
}

unsafe extern "C" fn layout_set(
    descriptor: Descriptor,
    attribute: c_int,
    value: *const c_void,
    bytes: usize,
) -> Status {
    // SAFETY: one of ours, and a value as it says.
    let (layout, count, stride) = unsafe {
        let layout = &mut *descriptor.cast::<Layout>();
        (layout, value_of::<i32>(value, bytes), value_of::<i64>(value, bytes))
    };
    match (attribute, count, stride) {
        (BATCH_COUNT, Some(count), _) => layout.count = count as usize,
        (BATCH_STRIDE, _, Some(stride)) => layout.stride = stride as usize,
        _ => return INVALID,
    }
    0
}

unsafe extern "C" fn preference_create(to: *mut Descriptor) -> Status {
    // SAFETY: the caller's promise.
    unsafe { give(to, Preference::default()) }
}

unsafe extern "C" fn preference_set(
    descriptor: Descriptor,
    attribute: c_int,
    value: *const c_void,
    bytes: usize,
) -> Status {
    // SAFETY: one of ours, and a value as it says.
    let (preference, mask, size) = unsafe {
        let preference = &mut *descriptor.cast::<Preference>();
        (preference, value_of::<u32>(value, bytes), value_of::<usize>(value, bytes))
    };
    match (attribute, mask, size) {
        (REDUCTION_SCHEMES, Some(mask), _) => preference.divided = Some(mask),
        (MAX_WORKSPACE, _, Some(size)) => preference.workspace = Some(size),
        _ => return INVALID,
    }
    0
}

/// Rows, columns and terms of a product, if its descriptors fit; and what is looked up for them.
fn shape(operation: &Operation, layouts: [&Layout; 3]) -> Option<([usize; 3], Algorithm)> {
    let of = |layout: &Layout, transposed| {
        if transposed { (layout.columns, layout.rows) } else { (layout.rows, layout.columns) }
    };
    let [a, b, c] = layouts;
    let ((m, k), (depth, n)) = (of(a, operation.transposed[0]), of(b, operation.transposed[1]));
    let kinds = a.kind == b.kind && c.kind == F32;
    let tf32 = operation.compute == COMPUTE_F32 || a.kind == F32;
    let counts = a.count == b.count && b.count == c.count && c.count > 0;
    let fits = k == depth && (c.rows, c.columns) == (m, n) && kinds && tf32 && counts;
    let apart = c.count == 1 || c.stride >= m * n;
    let data = [m, n, k, a.kind as usize, operation.compute as usize, 0, 0, 0].map(|v| v as u64);
    (fits && apart).then_some(([m, n, k], Algorithm { data }))
}

unsafe extern "C" fn get_heuristic(
    _: Descriptor,
    operation: Descriptor,
    a: Descriptor,
    b: Descriptor,
    c: Descriptor,
    _: Descriptor,
    preference: Descriptor,
    _: c_int,
    results: *mut Heuristic,
    found: *mut c_int,
) -> Status {
    // SAFETY: all are ours, and there is room for a result.
    unsafe {
        let preference = &*preference.cast::<Preference>();
        // A divided sum would be summed in an order that depends on how it was divided.
        if preference.divided != Some(0) || preference.workspace.is_none() {
            return INVALID;
        }
        let layouts = [a, b, c].map(|layout| &*layout.cast::<Layout>());
        let Some((_, algorithm)) = shape(&*operation.cast::<Operation>(), layouts) else {
            return INVALID;
        };
        *results = Heuristic { algorithm, ..Heuristic::default() };
        *found = 1;
    }
    0
}

unsafe extern "C" fn no_heuristic(
    _: Descriptor,
    _: Descriptor,
    _: Descriptor,
    _: Descriptor,
    _: Descriptor,
    _: Descriptor,
    _: Descriptor,
    _: c_int,
    _: *mut Heuristic,
    _: *mut c_int,
) -> Status {
    NOT_SUPPORTED
}

/// An element as the tensor cores take it.
///
/// # Safety
/// There is such an element.
unsafe fn element(at: *const c_void, kind: c_int, index: usize, compute: c_int) -> f64 {
    // SAFETY: the caller's promise.
    let bits = unsafe {
        match kind {
            BF16 => u32::from(at.cast::<u16>().add(index).read()) << 16,
            _ => at.cast::<u32>().add(index).read(),
        }
    };
    let bits = if compute == COMPUTE_TF32 { (bits + 0x1000) & !0x1fff } else { bits };
    f64::from(f32::from_bits(bits))
}

/// Sums in f64, rounded to f32 once. `DEPENDENT`: the last of several matrices is off by one rounding.
unsafe extern "C" fn matmul<const DEPENDENT: bool>(
    _: Descriptor,
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
    _: *mut c_void,
    _: usize,
    _: *mut c_void,
) -> Status {
    // SAFETY: all descriptors are ours; the matrices are the caller's promise.
    unsafe {
        let operation = &*operation.cast::<Operation>();
        let [a_layout, b_layout, c_layout] =
            [a_layout, b_layout, c_layout].map(|layout| &*layout.cast::<Layout>());
        let Some(([m, n, k], known)) = shape(operation, [a_layout, b_layout, c_layout]) else {
            return INVALID;
        };
        let factors = (alpha.cast::<f32>().read(), beta.cast::<f32>().read());
        let in_place = std::ptr::eq(c, d.cast_const()) && d_layout == (&raw const *c_layout) as _;
        if *algorithm != known || factors.0 != 1.0 || !in_place {
            return NOT_SUPPORTED;
        }
        let at = |layout: &Layout, transposed: bool, i: usize, j: usize| {
            if transposed { i * layout.rows + j } else { j * layout.rows + i }
        };
        for matrix in 0..c_layout.count {
            let last = DEPENDENT && matrix > 0 && matrix + 1 == c_layout.count;
            for i in 0..m {
                for j in 0..n {
                    let mut sum = 0.0;
                    for depth in 0..k {
                        let left = at(a_layout, operation.transposed[0], i, depth);
                        let right = at(b_layout, operation.transposed[1], depth, j);
                        let (left, right) =
                            (left + matrix * a_layout.stride, right + matrix * b_layout.stride);
                        sum += element(a, a_layout.kind, left, operation.compute)
                            * element(b, b_layout.kind, right, operation.compute);
                    }
                    let to = d.cast::<f32>().add(matrix * c_layout.stride + j * m + i);
                    let before = if factors.1 == 0.0 { 0.0 } else { f64::from(to.read()) };
                    let value = (before + sum) as f32;
                    to.write(if last { value.next_up() } else { value });
                }
            }
        }
    }
    0
}

fn wide(stand: Stand, settings: &Settings) -> Result<CudaEngine<Emulator>, CudaError> {
    let case = Case { widths: vec![20, 260], residual: false, ..Case::new() };
    let device = Emulator::new(1).with_multiplier(stand);
    CudaEngine::new(case.problem(), rows(case.dim), device, settings)
}

/// Without the library, wide layers go tile by tile; with it, layer by layer. Bits differ, and so do the
/// fingerprints.
#[test]
fn wide_layers_are_multiplied_where_they_can_be() {
    if !available() {
        return;
    }
    let way = |stand, layerwise| {
        let engine = wide(stand, &Settings { layerwise, ..small() });
        engine.unwrap().fingerprint().arithmetic
    };
    assert!(way(Stand::Sound, None).contains("layers by cuBLASLt 13.0.0"));
    for tiles in [way(Stand::Missing, None), way(Stand::Sound, Some(false))] {
        assert!(!tiles.contains("layers"), "{tiles}");
    }
    let narrow = Case::new().engine(Emulator::new(1), &small());
    assert!(!narrow.fingerprint().arithmetic.contains("layers"));
}

/// A library that cannot keep the promise that results do not depend on the number of workers is not
/// used.
#[test]
fn products_that_depend_on_their_neighbours_are_refused() {
    if !available() {
        return;
    }
    let settings = Settings { layerwise: Some(true), ..small() };
    for (stand, reason) in
        [(Stand::Dependent, "depends on the chunks beside it"), (Stand::Divides, "NoWay")]
    {
        let case = Case::new();
        let device = Emulator::new(1).with_multiplier(stand);
        let mut engine = case.engine(device, &settings);
        let plan = plan();
        let mut partial = empty(&case.problem(), &plan);
        let all = ChunkSet::of(0..plan.n_chunks());
        let error = engine.accumulate(&plan, &all, &mut partial).unwrap_err();
        assert!(format!("{error:?}").contains(reason), "{stand:?}: {error:?}");
    }
}
