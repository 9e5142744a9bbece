// From a chunk's float gradient to the exact sums of the step: snel-core/src/partial.rs.
//
// A value becomes round_half_even(value 2^scale), an integer, and integers are added by atomics:
// no order can be seen in the sum. A chunk with a value that does not fit, or is not finite, is
// left out; the verdict belongs to the chunk.
#pragma once
#include "arguments.cuh"
#include "sums.cuh"
#include "tile.cuh"

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

// Adds this thread's extent to the block's, which is zero. A barrier follows.
__device__ __forceinline__ void share_extent(Sums& sums, const float* b, Shared& shared) {
    Extent extent;
    sums.for_each_owned([&](int, float value) { extent.add(value); });
    if (b != nullptr) extent.add(*b);
#pragma unroll
    for (int mask = WARP / 2; mask > 0; mask /= 2) {
        const u32 other = __shfl_xor_sync(0xffffffffu, extent.largest, mask);
        extent.largest = other > extent.largest ? other : extent.largest;
        extent.not_finite += __shfl_xor_sync(0xffffffffu, extent.not_finite, mask);
    }
    if (lane_of() == 0) {
        atomicMax(&shared.largest, extent.largest);
        atomicAdd(&shared.not_finite, extent.not_finite);
    }
}

__device__ __forceinline__ void add_exactly(u64* to, float value, double factor) {
    const i64 rounded = __double2ll_rn(static_cast<double>(value) * factor);
    atomicAdd(to, static_cast<u64>(rounded));
}

// Adds the chunk's gradient to the step's sums, if it fits. `b` is that of thread 0, null in all
// others. All threads; before it, a barrier after share_extent.
__device__ __forceinline__ void add_chunk(Sums& sums, const float* b, const Shared& shared,
                                          const StepArguments& step, bool is_sample) {
    const double largest = static_cast<double>(__uint_as_float(shared.largest));
    if (shared.not_finite != 0 || !(largest < step.limit)) return;
    u64* to = is_sample ? step.sample_sums : step.row_sums;
    sums.for_each_owned([&](int parameter, float value) {
        add_exactly(to + parameter, value, step.factor);
    });
    if (b != nullptr) add_exactly(to + B_OFFSET, *b, step.factor);
}

}  // namespace snel
