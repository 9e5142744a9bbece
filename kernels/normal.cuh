// Standard normal numbers from Philox words, bit for bit those of snel-core/src/normal.rs.
//
// Box and Muller (1958) in operations that IEEE 754 defines to the last bit. The intrinsics are
// there because a compiler may fuse `a * b + c`, and a fused sum has other bits.
#pragma once
#include "primitives.cuh"

namespace snel {

__device__ __forceinline__ float times(float a, float b) { return __fmul_rn(a, b); }
__device__ __forceinline__ float plus(float a, float b) { return __fadd_rn(a, b); }
// a b + c, rounded twice.
__device__ __forceinline__ float times_plus(float a, float b, float c) {
    return plus(times(a, b), c);
}

// Natural logarithm of a normal positive x. Coefficients: Cephes (Moshier), single precision.
__device__ __forceinline__ float exact_log(float x) {
    // x = 2^e m with m from sqrt(1/2) to sqrt(2): shift the bits so that the cut is there.
    const u32 sqrt_half = 0x3f3504f3u;
    const u32 shifted = __float_as_uint(x) - sqrt_half;
    const float e = __int2float_rn(static_cast<int>(shifted) >> 23);
    const float m = __uint_as_float((shifted & 0x007fffffu) + sqrt_half);
    const float f = plus(m, -1.0f);
    const float z = times(f, f);
    float p = 7.0376836e-2f;
    p = times_plus(p, f, -1.151461e-1f);
    p = times_plus(p, f, 1.1676999e-1f);
    p = times_plus(p, f, -1.2420141e-1f);
    p = times_plus(p, f, 1.4249323e-1f);
    p = times_plus(p, f, -1.6668058e-1f);
    p = times_plus(p, f, 2.0000715e-1f);
    p = times_plus(p, f, -2.4999994e-1f);
    p = times_plus(p, f, 3.333333e-1f);
    float tail = times(times(p, f), z);
    tail = plus(tail, times(e, -2.1219444e-4f));
    tail = plus(tail, -times(0.5f, z));
    return plus(plus(f, tail), times(e, 0.6933594f));
}

// Sine and cosine of 2 pi word / 2^32.
__device__ __forceinline__ void sin_cos_turn(u32 word, float& sine, float& cosine) {
    const u32 quarter = (word + (1u << 29)) >> 30;
    const int rest = static_cast<int>(word - (quarter << 30));
    // pi / 2 / 2^30, and 2^30 is exact.
    const float t = times(__int2float_rn(rest), 1.57079637f / 1073741824.0f);
    const float z = times(t, t);
    float s = times_plus(-1.9515296e-4f, z, 8.332161e-3f);
    s = times_plus(s, z, -1.6666655e-1f);
    s = plus(times(times(s, z), t), t);
    float c = times_plus(2.4433157e-5f, z, -1.3887316e-3f);
    c = times_plus(c, z, 4.1666646e-2f);
    c = plus(plus(times(times(c, z), z), -times(0.5f, z)), 1.0f);
    const bool swap = quarter & 1;
    const u32 sine_sign = (quarter & 2) << 30, cosine_sign = ((quarter + 1) & 2) << 30;
    sine = __uint_as_float(__float_as_uint(swap ? c : s) ^ sine_sign);
    cosine = __uint_as_float(__float_as_uint(swap ? s : c) ^ cosine_sign);
}

__device__ __forceinline__ void normal_pair(u32 radius_word, u32 angle_word, float (&z)[2]) {
    const float u = times(plus(__uint2float_rn(radius_word), 0.5f), 1.0f / 4294967296.0f);
    const float square = times(-2.0f, exact_log(u));
    const float radius = __fsqrt_rn(square > 0.0f ? square : 0.0f);
    float sine, cosine;
    sin_cos_turn(angle_word, sine, cosine);
    z[0] = times(radius, cosine);
    z[1] = times(radius, sine);
}

// Four independent standard normals from one block.
__device__ __forceinline__ void normals(const Words& words, float (&z)[4]) {
    float first[2], second[2];
    normal_pair(words.w[0], words.w[1], first);
    normal_pair(words.w[2], words.w[3], second);
    z[0] = first[0];
    z[1] = first[1];
    z[2] = second[0];
    z[3] = second[1];
}

}  // namespace snel
