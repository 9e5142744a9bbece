// A 16 x 16 (bf16) or 16 x 8 (tf32) piece of an operand, as tensor cores want it.
//
// A product is sum_k A[i][k] B[j][k]. Either operand is stored with a row for each i (BY_ROW) or
// with a row for each k (BY_DEPTH), so nothing is ever transposed in memory: the loads do it.
#pragma once
#include "shape.cuh"

namespace snel {

enum Order { BY_ROW, BY_DEPTH };

// A matrix in memory. SHARED says where, for loads that work in shared memory alone.
template <class T, Order ORDER, bool SHARED>
struct Operand {
    const T* data;
    int stride;

    __device__ __forceinline__ T at(int i, int k) const {
        return ORDER == BY_ROW ? data[i * stride + k] : data[k * stride + i];
    }
};

__device__ __forceinline__ int lane_of() { return threadIdx.x % WARP; }
__device__ __forceinline__ int warp_of() { return threadIdx.x / WARP; }

// Two neighbours in k, one word of bf16.
template <Order ORDER, bool SHARED>
__device__ __forceinline__ u32 pair_of(const Operand<Bf16, ORDER, SHARED>& m, int i, int k) {
    return m.at(i, k).bits | static_cast<u32>(m.at(i, k + 1).bits) << 16;
}
template <Order ORDER, bool SHARED>
__device__ __forceinline__ u32 pair_of(const Operand<float, ORDER, SHARED>& m, int i, int k) {
    return pack_bf16(m.at(i, k), m.at(i, k + 1));
}

// What bf16 leaves of a float, as bf16.
template <Order ORDER, bool SHARED>
__device__ __forceinline__ u32 rest_of(const Operand<float, ORDER, SHARED>& m, int i, int k,
                                       u32 high) {
    const float first = m.at(i, k) - __uint_as_float(high << 16);
    const float second = m.at(i, k + 1) - __uint_as_float(high & 0xffff0000u);
    return pack_bf16(first, second);
}

// Rows i..i+16, depth k..k+16. Words as mma_bf16 wants A. For B, whose pieces have 8 rows: words
// 0 and 2 are the first 8 rows, 1 and 3 the others.
template <class T, Order ORDER, bool SHARED>
__device__ __forceinline__ Words load_bf16(const Operand<T, ORDER, SHARED>& m, int i, int k) {
    const int g = lane_of() / 4, t = lane_of() % 4;
    return {{pair_of(m, i + g, k + 2 * t), pair_of(m, i + g + 8, k + 2 * t),
             pair_of(m, i + g, k + 2 * t + 8), pair_of(m, i + g + 8, k + 2 * t + 8)}};
}

template <Order ORDER>
__device__ __forceinline__ Words load_bf16(const Operand<Bf16, ORDER, true>& m, int i, int k) {
    const int lane = lane_of();
    const int row = i + (lane / 8 % 2) * 8, depth = k + lane / 16 * 8;
    if constexpr (ORDER == BY_ROW) {
        return load_matrices(m.data + (row + lane % 8) * m.stride + depth);
    } else {
        return load_matrices_transposed(m.data + (depth + lane % 8) * m.stride + row);
    }
}

// What bf16 left of the same piece, whose words are `high`.
template <Order ORDER, bool SHARED>
__device__ __forceinline__ Words load_rest(const Operand<float, ORDER, SHARED>& m, int i, int k,
                                           const Words& high) {
    const int g = lane_of() / 4, t = lane_of() % 4;
    return {{rest_of(m, i + g, k + 2 * t, high.w[0]), rest_of(m, i + g + 8, k + 2 * t, high.w[1]),
             rest_of(m, i + g, k + 2 * t + 8, high.w[2]),
             rest_of(m, i + g + 8, k + 2 * t + 8, high.w[3])}};
}

// Rows i..i+16, depth k..k+8, in tf32.
template <Order ORDER, bool SHARED>
__device__ __forceinline__ Words load_tf32(const Operand<float, ORDER, SHARED>& m, int i, int k) {
    const int g = lane_of() / 4, t = lane_of() % 4;
    return {{tf32_of(m.at(i + g, k + t)), tf32_of(m.at(i + g + 8, k + t)),
             tf32_of(m.at(i + g, k + t + 4)), tf32_of(m.at(i + g + 8, k + t + 4))}};
}

}  // namespace snel
