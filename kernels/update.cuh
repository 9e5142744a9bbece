// From the step's exact sums to new parameters: snel-core/src/optim.rs, in the same f64 operations.
//
// Elements are updated by themselves, with bits equal to those of the host. The norm for clipping
// is summed in an order of its own, the same on every device: NORM_PARTS parts of THREADS sums.
#pragma once
#include "arguments.cuh"
#include "shape.cuh"

namespace snel {

// Blocks and threads of snel_norm.
constexpr int NORM_PARTS = 64, NORM_THREADS = 256;

// The gradient of one parameter. Separated sums of samples are divided by the mean weight, but
// for b, which follows the SNL gradient.
__device__ __forceinline__ double gradient_of(const UpdateArguments& a, int i) {
    const double rows = __dmul_rn(__ll2double_rn(static_cast<i64>(a.row_sums[i])), a.unit);
    if (a.sample_sums == nullptr) return rows;
    const double samples = __dmul_rn(__ll2double_rn(static_cast<i64>(a.sample_sums[i])), a.unit);
    return __dadd_rn(rows, __dmul_rn(samples, i == B_OFFSET ? 1.0 : a.sample_factor));
}

// This block's part of the squared norm of the gradient without b.
__device__ __forceinline__ void norm_part(const UpdateArguments& a) {
    double* sums = reinterpret_cast<double*>(dynamic_shared());
    double sum = 0.0;
    for (int i = blockIdx.x * NORM_THREADS + threadIdx.x; i < B_OFFSET;
         i += NORM_PARTS * NORM_THREADS) {
        const double g = gradient_of(a, i);
        sum = __dadd_rn(sum, __dmul_rn(g, g));
    }
#pragma unroll
    for (int mask = WARP / 2; mask > 0; mask /= 2) {
        sum = __dadd_rn(sum, __shfl_xor_sync(0xffffffffu, sum, mask));
    }
    if (threadIdx.x % WARP == 0) sums[threadIdx.x / WARP] = sum;
    __syncthreads();
    if (threadIdx.x != 0) return;
    for (int warp = 1; warp < NORM_THREADS / WARP; warp++) sum = __dadd_rn(sum, sums[warp]);
    a.norm_parts[blockIdx.x] = sum;
}

__device__ __forceinline__ double norm_of(const UpdateArguments& a) {
    double sum = 0.0;
    for (int part = 0; part < NORM_PARTS; part++) sum = __dadd_rn(sum, a.norm_parts[part]);
    return __dsqrt_rn(sum);
}

// Biases do not decay, nor does b.
__device__ __forceinline__ bool decays(int i) {
    bool weight = i != B_OFFSET;
    ascending<1, LAYERS>([&](auto layer) {
        constexpr int FIRST = bias_offset(decltype(layer)::value);
        if (i >= FIRST && i < FIRST + width(decltype(layer)::value)) weight = false;
    });
    return weight;
}

__device__ __forceinline__ void update_one(const UpdateArguments& a, int i, double clip) {
    double g = gradient_of(a, i);
    if (i == B_OFFSET) {
        g = g < -1.0 ? -1.0 : g > 1.0 ? 1.0 : g;
    } else {
        g = __dmul_rn(g, clip);
    }
    const double old = a.parameters[i];
    const double first = __dadd_rn(__dmul_rn(a.beta1, a.first_moment[i]), __dmul_rn(1.0 - a.beta1, g));
    const double second = __dadd_rn(__dmul_rn(a.beta2, a.second_moment[i]),
                                    __dmul_rn(__dmul_rn(1.0 - a.beta2, g), g));
    const double root = __dadd_rn(__dsqrt_rn(__dmul_rn(second, a.correct2)), a.epsilon);
    const double step = __ddiv_rn(__dmul_rn(first, a.correct1), root);
    const double decay = decays(i) ? a.weight_decay : 0.0;
    const double lr = i == B_OFFSET ? a.b_lr : a.lr;
    const double move = __dmul_rn(lr, __dadd_rn(step, __dmul_rn(decay, old)));
    a.first_moment[i] = static_cast<float>(first);
    a.second_moment[i] = static_cast<float>(second);
    a.parameters[i] = static_cast<float>(__dadd_rn(old, -move));
}

}  // namespace snel
