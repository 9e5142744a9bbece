// Activations with their slopes. Definitions: snel-core/src/activation.rs.
//
// Where products are exact to float or nearly so, functions are accurate; with bf16 and tf32
// products their error hides in that of the products, and sigmoid and tanh cost one instruction.
// Kernels are compiled without contraction: a sum is fused with a product where that is written.
#pragma once
#include "shape.cuh"

namespace snel {

constexpr bool FAST_ACTIVATION = PRECISION == BF16 || PRECISION == TF32;

// 1 / (1 + exp(-x)) without overflow on either side.
__device__ __forceinline__ float sigmoid(float x) {
    if constexpr (FAST_ACTIVATION) {
        return fmaf(0.5f, fast_tanh(0.5f * x), 0.5f);
    } else {
        const float e = expf(-fabsf(x));
        return (x >= 0.0f ? 1.0f : e) * fast_reciprocal(1.0f + e);
    }
}

__device__ __forceinline__ void activate(float x, float& value, float& slope) {
    if constexpr (ACTIVATION == SILU) {
        const float s = sigmoid(x);
        value = x * s;
        slope = fmaf(value, 1.0f - s, s);
    } else if constexpr (ACTIVATION == RELU) {
        // A comparison that lets NaN through, so that it is seen and counted.
        value = x < 0.0f ? 0.0f : x;
        slope = x > 0.0f ? 1.0f : 0.0f;
    } else if constexpr (ACTIVATION == TANH) {
        value = FAST_ACTIVATION ? fast_tanh(x) : tanhf(x);
        slope = fmaf(-value, value, 1.0f);
    } else if constexpr (ACTIVATION == GELU) {
        const float cdf = fmaf(0.5f, erff(0.70710678f * x), 0.5f);
        const float pdf = 0.39894228f * expf(-0.5f * x * x);
        value = x * cdf;
        slope = fmaf(x, pdf, cdf);
    } else {
        value = fmaxf(x, 0.0f) + log1pf(expf(-fabsf(x)));
        // fmaxf drops NaN.
        value = x == x ? value : x;
        slope = sigmoid(x);
    }
}

}  // namespace snel
