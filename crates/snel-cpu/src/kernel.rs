//! The two inner products of the engine, one register block at a time.
//!
//! A block is `R` rows by `V` vectors of sums that live in registers from the first product to the
//! epilogue. Each step of the inner dimension loads `V` vectors and broadcasts `R` values for
//! `R * V` fused multiply-adds. Everything is `#[inline(always)]`: constants become register
//! names, and the caller's instruction set is used.

use pulp::Simd;

/// Vectors of a block, and of a panel of packed weights.
pub(crate) const VECTORS: usize = 2;

/// A block of sums: `R` rows of `V` vectors.
pub(crate) type Block<S, const R: usize, const V: usize> = [[<S as Simd>::f32s; V]; R];

/// Rows of a full block: 16 accumulators, 2 vectors and a broadcast value fit 32 registers with
/// room for two steps in flight; 12 accumulators fit 16.
pub(crate) const fn rows_of_block<S: Simd>() -> usize {
    if S::REGISTER_COUNT >= 32 { 8 } else { 6 }
}

/// `sums[r] += Σ_k rows[r][k] * panel[k]`. All rows are equally long; the panel has `V` vectors for
/// each `k`.
#[inline(always)]
pub(crate) fn rows_times_panel<S: Simd, const R: usize, const V: usize>(
    simd: S,
    rows: [&[f32]; R],
    panel: &[S::f32s],
    mut sums: Block<S, R, V>,
) -> Block<S, R, V> {
    let steps = rows[0].len();
    let panel = &panel[..steps * V];
    // Known here, so not checked again in the loop.
    rows.iter().for_each(|row| assert!(row.len() == steps));
    for k in 0..steps {
        let vectors: [S::f32s; V] = std::array::from_fn(|v| panel[k * V + v]);
        for r in 0..R {
            let x = simd.splat_f32s(rows[r][k]);
            for v in 0..V {
                sums[r][v] = simd.mul_add_e_f32s(x, vectors[v], sums[r][v]);
            }
        }
    }
    sums
}

/// `sums[r] += Σ_t columns[t * column_stride + r] * rows[t * row_stride..]` over `n` values of `t`:
/// the product of a transposed matrix with another, both stored row by row.
#[inline(always)]
pub(crate) fn columns_times_rows<S: Simd, const R: usize, const V: usize>(
    simd: S,
    n: usize,
    (columns, column_stride): (&[f32], usize),
    (rows, row_stride): (&[S::f32s], usize),
    mut sums: Block<S, R, V>,
) -> Block<S, R, V> {
    for t in 0..n {
        let row = &rows[t * row_stride..][..V];
        let vectors: [S::f32s; V] = std::array::from_fn(|v| row[v]);
        let column = &columns[t * column_stride..][..R];
        for r in 0..R {
            let x = simd.splat_f32s(column[r]);
            for v in 0..V {
                sums[r][v] = simd.mul_add_e_f32s(x, vectors[v], sums[r][v]);
            }
        }
    }
    sums
}
