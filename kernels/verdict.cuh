// After a step's sums, without the host: may they be applied, and with which scale goes it on?
// The rules are those of snel-core/src/partial.rs, Partial::reduce and scale_for.
//
// A batch of steps is launched at once. Every kernel of it returns at once, in all threads, after
// the verdict that stalled it: the host then makes that step with all its answers.
#pragma once
#include "arguments.cuh"
#include "shape.cuh"

namespace snel {

// 2^exponent; the exponent is brought into the range of normal doubles.
__device__ __forceinline__ double power_of_two(int exponent) {
    const int e = exponent < -1022 ? -1022 : exponent > 1023 ? 1023 : exponent;
    return __longlong_as_double(static_cast<i64>(e + 1023) << 52);
}

// Magnitudes from here on do not fit.
__device__ __forceinline__ double limit_of(int chunk_bits, int scale) {
    return power_of_two(chunk_bits - scale);
}

// The scale that leaves head-room above `largest`, which is finite and not negative.
__device__ __forceinline__ int scale_for(float largest, const VerdictArguments& a) {
    if (largest == 0.0f) return a.first_scale;
    // As a double it is a normal number, and its exponent can be read.
    const i64 bits = __double_as_longlong(static_cast<double>(largest));
    const int exponent = static_cast<int>(bits >> 52) - 1023 + 1;
    const int scale = a.chunk_bits - a.headroom_bits - exponent;
    return scale < a.finest ? scale : a.finest;
}

// One thread.
__device__ __forceinline__ void judge(const VerdictArguments& a) {
    Control& control = *a.control;
    if (control.stalled != 0) return;
    const float largest = __uint_as_float(control.largest);
    const bool fits = static_cast<double>(largest) < limit_of(a.chunk_bits, control.scale);
    const bool applied = control.unsound == 0 && fits;
    a.report->applied = applied;
    control.stalled = !applied;
    if (!applied) return;
    control.scale_of_sums = control.scale;
    control.scale = scale_for(largest, a);
    a.report->next_scale = control.scale;
    control.next_chunk = 0;
    control.largest = 0;
}

}  // namespace snel
