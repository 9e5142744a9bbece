// From a chunk's float gradient to the exact sums of the step: snel-core/src/partial.rs.
//
// A value becomes round_half_even(value 2^scale), an integer, and integers are added by atomics:
// no order can be seen in the sum. A chunk with a value that does not fit, or is not finite, is
// left out; the verdict belongs to the chunk.
#pragma once
#include "arguments.cuh"
#include "sums.cuh"
#include "tile.cuh"
#include "verdict.cuh"

namespace snel {

constexpr u32 INFINITY_BITS = 0x7f800000u;

// Largest finite magnitude, by its bits, and number of values that are not finite.
struct Extent {
    u32 largest = 0, not_finite = 0;

    __device__ __forceinline__ void add(float value) {
        const u32 magnitude = __float_as_uint(value) & 0x7fffffffu;
        if (magnitude >= INFINITY_BITS) {
            not_finite++;
        } else if (magnitude > largest) {
            largest = magnitude;
        }
    }
};

// Calls f(parameter, value) for all of the chunk's gradient that this thread has: thread 0 has b.
template <class F>
__device__ __forceinline__ void for_each_value(Sums& sums, float b, F&& f) {
    sums.for_each_owned(f);
    if (threadIdx.x == 0) f(B_OFFSET, b);
}

// That of all lanes of a warp, in each.
__device__ __forceinline__ Extent extent_of_warp(Extent extent) {
#pragma unroll
    for (int mask = WARP / 2; mask > 0; mask /= 2) {
        const u32 other = __shfl_xor_sync(0xffffffffu, extent.largest, mask);
        extent.largest = other > extent.largest ? other : extent.largest;
        extent.not_finite += __shfl_xor_sync(0xffffffffu, extent.not_finite, mask);
    }
    return extent;
}

// Adds this thread's extent to the block's, which is zero. A barrier follows.
__device__ __forceinline__ void share_extent(Sums& sums, float b, Shared& shared) {
    Extent extent;
    for_each_value(sums, b, [&](int, float value) { extent.add(value); });
    extent = extent_of_warp(extent);
    if (lane_of() == 0) {
        atomicMax(&shared.largest, extent.largest);
        atomicAdd(&shared.not_finite, extent.not_finite);
    }
}

// Adds the chunk's gradient to the step's sums, if it fits. All threads; before it, a barrier after
// share_extent.
__device__ __forceinline__ void add_chunk(Sums& sums, float b, const Shared& shared,
                                          const StepArguments& step, bool is_sample) {
    const double largest = static_cast<double>(__uint_as_float(shared.largest));
    const int scale = step.control->scale;
    if (shared.not_finite != 0 || !(largest < limit_of(step.chunk_bits, scale))) return;
    const double factor = power_of_two(scale);
    u64* to = is_sample ? step.sample_sums : step.row_sums;
    for_each_value(sums, b, [&](int parameter, float value) {
        const i64 rounded = __double2ll_rn(static_cast<double>(value) * factor);
        atomicAdd(to + parameter, static_cast<u64>(rounded));
    });
}

}  // namespace snel
