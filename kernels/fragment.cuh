// A 16 x 16 (bf16) or 16 x 8 (tf32) piece of an operand, as tensor cores want it.
//
// A product is sum_k A[i][k] B[j][k]. Either operand is stored with a row for each i (BY_ROW) or
// with a row for each k (BY_DEPTH), so nothing is transposed in memory: the loads do it. Pieces alone are
// kept both ways.
#pragma once
#include "shape.cuh"

namespace snel {

enum Order { BY_ROW, BY_DEPTH };

// A matrix in memory. SHARED says where, for loads that work in shared memory alone.
template <class T, Order ORDER, bool SHARED>
struct Operand {
    const T* data;
    int stride;

    __device__ __forceinline__ const T* address(int i, int k) const {
        return data + (ORDER == BY_ROW ? i * stride + k : k * stride + i);
    }
    __device__ __forceinline__ T at(int i, int k) const { return *address(i, k); }
    // The part that begins at row i and depth k.
    __device__ __forceinline__ Operand from(int i, int k) const { return {address(i, k), stride}; }
};

// A right-hand matrix of bf16 that lies in pieces of 16 x 16, one after the other in k: of each, lane
// after lane, what load_bf16 is to find.
struct Pieces {
    const Words* data;
    int deep;  // pieces of a row

    __device__ __forceinline__ const Words* address(int i, int k) const {
        return data + (i / 16 * deep + k / 16) * WARP;
    }
    __device__ __forceinline__ Pieces from(int i, int k) const { return {address(i, k), deep}; }
};

// A matrix of bf16 in two parts: the second is what the first leaves.
template <class M>
struct Split {
    M high, low;

    __device__ __forceinline__ Split from(int i, int k) const {
        return {high.from(i, k), low.from(i, k)};
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

// What bf16 leaves of two floats, as bf16; `high` is what it takes.
__device__ __forceinline__ u32 rest_of(float first, float second, u32 high) {
    return pack_bf16(first - __uint_as_float(high << 16),
                     second - __uint_as_float(high & 0xffff0000u));
}

// Which operand of a product a piece is for. Of A, words go down before they go deeper, as
// mma_bf16 and mma_tf32 want them; of B, whose pieces have 8 rows, words 0 and 1 are the first 8
// rows and 2 and 3 the others, so that either pair lies in neighbouring registers.
enum Side { LEFT, RIGHT };

// The rows below the first that word `word` begins at, and whether it is the deeper half.
template <Side SIDE>
__device__ __forceinline__ int rows_down(int word) {
    return 8 * (SIDE == LEFT ? word % 2 : word / 2);
}
template <Side SIDE>
__device__ __forceinline__ int deeper(int word) {
    return SIDE == LEFT ? word / 2 : word % 2;
}

// An operand as a lane reads it: from its own place in the first piece on. What it reads of the
// others is then at distances that the compiler knows.
template <Side SIDE, class T, Order ORDER, bool SHARED>
__device__ __forceinline__ auto lane_bf16(const Operand<T, ORDER, SHARED>& m) {
    return m.from(lane_of() / 4, lane_of() % 4 * 2);
}
template <Side SIDE, Order ORDER>
__device__ __forceinline__ auto lane_bf16(const Operand<Bf16, ORDER, true>& m) {
    const int word = lane_of() / 8, line = lane_of() % 8;
    const int row = rows_down<SIDE>(word), depth = 8 * deeper<SIDE>(word);
    return ORDER == BY_ROW ? m.from(row + line, depth) : m.from(row, depth + line);
}
template <Side SIDE>
__device__ __forceinline__ Pieces lane_bf16(const Pieces& m) {
    static_assert(SIDE == RIGHT, "pieces are right-hand matrices");
    return {m.data + lane_of(), m.deep};
}
template <Side SIDE, class M>
__device__ __forceinline__ Split<M> lane_bf16(const Split<M>& m) {
    return {lane_bf16<SIDE>(m.high), lane_bf16<SIDE>(m.low)};
}
template <class T, Order ORDER, bool SHARED>
__device__ __forceinline__ auto lane_tf32(const Operand<T, ORDER, SHARED>& m) {
    return m.from(lane_of() / 4, lane_of() % 4);
}

// Rows i..i+16, depth k..k+16, of what lane_bf16 made.
template <Side SIDE, class T, Order ORDER, bool SHARED>
__device__ __forceinline__ Words load_bf16(const Operand<T, ORDER, SHARED>& m, int i, int k) {
    Words words;
#pragma unroll
    for (int w = 0; w < 4; w++) {
        words.w[w] = pair_of(m, i + rows_down<SIDE>(w), k + 8 * deeper<SIDE>(w));
    }
    return words;
}
template <Side SIDE, Order ORDER>
__device__ __forceinline__ Words load_bf16(const Operand<Bf16, ORDER, true>& m, int i, int k) {
    return ORDER == BY_ROW ? load_matrices(m.address(i, k)) : load_matrices_transposed(m.address(i, k));
}

template <Side SIDE>
__device__ __forceinline__ Words load_bf16(const Pieces& m, int i, int k) {
    return *m.address(i, k);
}

template <Side SIDE, class M>
__device__ __forceinline__ Words load_bf16(const Split<M>& m, int i, int k) {
    return load_bf16<SIDE>(m.high, i, k);
}

// What bf16 left of the same piece, whose words are `high`.
template <Side SIDE, Order ORDER, bool SHARED>
__device__ __forceinline__ Words load_rest(const Operand<float, ORDER, SHARED>& m, int i, int k,
                                           const Words& high) {
    Words words;
#pragma unroll
    for (int w = 0; w < 4; w++) {
        const int row = i + rows_down<SIDE>(w), depth = k + 8 * deeper<SIDE>(w);
        words.w[w] = rest_of(m.at(row, depth), m.at(row, depth + 1), high.w[w]);
    }
    return words;
}

template <Side SIDE, class M>
__device__ __forceinline__ Words load_rest(const Split<M>& m, int i, int k, const Words&) {
    return load_bf16<SIDE>(m.low, i, k);
}

// Rows i..i+16, depth k..k+8, of what lane_tf32 made.
template <Side SIDE, Order ORDER, bool SHARED>
__device__ __forceinline__ Words load_tf32(const Operand<float, ORDER, SHARED>& m, int i, int k) {
    Words words;
#pragma unroll
    for (int w = 0; w < 4; w++) {
        words.w[w] = tf32_of(m.at(i + rows_down<SIDE>(w), k + 4 * deeper<SIDE>(w)));
    }
    return words;
}

// The same whatever the precision, of tensor cores; a product goes SLICE deep at once.
template <Precision HOW>
constexpr int SLICE = HOW == TF32 ? 8 : 16;

template <Precision HOW, Side SIDE, class M>
__device__ __forceinline__ auto lane_operand(const M& m) {
    if constexpr (HOW == TF32) {
        return lane_tf32(m);
    } else {
        return lane_bf16<SIDE>(m);
    }
}

template <Precision HOW, Side SIDE, class M>
__device__ __forceinline__ Words load(const M& m, int i, int k) {
    if constexpr (HOW == TF32) {
        return load_tf32<SIDE>(m, i, k);
    } else {
        return load_bf16<SIDE>(m, i, k);
    }
}

template <Precision HOW>
__device__ __forceinline__ void multiply(float (&d)[4], const Words& a, u32 b0, u32 b1) {
    if constexpr (HOW == TF32) {
        mma_tf32(d, a, b0, b1);
    } else {
        mma_bf16(d, a, b0, b1);
    }
}

}  // namespace snel
