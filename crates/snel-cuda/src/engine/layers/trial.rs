//! A product before it is used: does a matrix come out the same whatever is beside it?
//!
//! Workers share chunks in any way, so the same chunk is multiplied beside few others or many, first or
//! last. cuBLASLt says that the same call has the same bits; that a matrix among several depends on
//! none of the others is in the nature of such a product, but nowhere written. So each product is made
//! with equal matrices everywhere: all results must be equal bits, and those of one matrix alone too.
#![allow(unsafe_code)]

use snel_core::philox::{Key, Stream};

use crate::device::{Device, DeviceError, Memory};
use crate::multiply::Product;

/// Most bytes of matrices that are tried, so that large ones do not take seconds.
const BYTES: usize = 1 << 28;

/// Looks up how to make `product` for `most` matrices, and makes sure that it may be used.
///
/// # Errors
/// [`DeviceError::Failed`], also if results depend on what is beside them.
pub(super) fn prepare<D: Device>(
    device: &mut D,
    product: &Product,
    most: u32,
) -> Result<D::Product, DeviceError> {
    let prepared = device.prepare(product, most)?;
    let Product { m, n, k, strides, .. } = *product;
    let bytes = product.element_bytes();
    let of_one = bytes * (m * k + k * n) + 4 * strides[2];
    let most = most.min((BYTES / of_one).max(2) as u32);
    let a = equal_matrices(device, m * k, strides[0], most, bytes)?;
    let b = equal_matrices(device, k * n, strides[1], most, bytes)?;
    let elements = strides[2] * most as usize;
    let c = device.allocate(4 * elements)?;
    let addresses = [a.address(), b.address(), c.address()];
    let mut results = vec![0u32; elements];
    let mut first = Vec::new();
    // The odd number leaves a tail that no power of two divides.
    for count in [1, (most / 2) | 1, most] {
        let count = count.min(most);
        // SAFETY: there is room for `most` matrices of each.
        unsafe { device.multiply(&prepared, count, false, addresses)? };
        device.download(&c, bytemuck::cast_slice_mut(&mut results))?;
        let matrices = results.chunks(strides[2]).take(count as usize);
        for matrix in matrices.map(|matrix| &matrix[..m * n]) {
            if first.is_empty() {
                first = matrix.to_vec();
            }
            if first != matrix {
                return Err(DeviceError::Failed {
                    device: device.name().to_owned(),
                    action: format!("multiply {m} x {k} by {k} x {n} for {most} chunks"),
                    source: "a chunk's product depends on the chunks beside it, so results would \
                             depend on the number of workers; please report this"
                        .into(),
                });
            }
        }
    }
    Ok(prepared)
}

/// `most` times the same numbers, `stride` elements apart; once if the stride is 0. Their bits are
/// random, their magnitudes from 2^-8 to 2^8, so that no sum of theirs is exact in any order.
fn equal_matrices<D: Device>(
    device: &D,
    elements: usize,
    stride: usize,
    most: u32,
    element_bytes: usize,
) -> Result<D::Memory, DeviceError> {
    let key = Key::new(elements as u32, Stream::Fit);
    let number = |i: usize| {
        let [bits, magnitude, ..] = key.block(0, i as u64, 0);
        (bits & 0x807f_ffff) | ((119 + magnitude % 16) << 23)
    };
    let one: Vec<u8> = match element_bytes {
        2 => (0..elements).flat_map(|i| ((number(i) >> 16) as u16).to_le_bytes()).collect(),
        _ => (0..elements).flat_map(|i| number(i).to_le_bytes()).collect(),
    };
    let mut all = one.clone();
    if stride > 0 {
        all = vec![0; stride * most as usize * element_bytes];
        for matrix in all.chunks_mut(stride * element_bytes) {
            matrix[..one.len()].copy_from_slice(&one);
        }
    }
    let mut memory = device.allocate(all.len())?;
    device.upload(&all, &mut memory)?;
    Ok(memory)
}
