// Products of a tile, shared by the warps of a block.
//
// The result is cut into blocks of 16 or 32 rows and columns; warp w makes blocks w, w + WARPS, ...
// A lane holds the same elements of a block whatever the precision: rows g and g + 8, columns 2t
// and 2t + 1 of every 16 x 8 unit, with g = lane / 4 and t = lane % 4.
//
// Every element is one sum over k, upwards: neither the number of warps nor the size of blocks
// can be seen in it.
#pragma once
#include "fragment.cuh"

namespace snel {

// The blocks of a ROWS x COLUMNS result, both multiples of 16.
template <int ROWS, int COLUMNS>
struct Blocks {
    static constexpr int HEIGHT = ROWS % 32 == 0 ? 32 : 16;
    static constexpr int WIDTH = COLUMNS % 32 == 0 ? 32 : 16;
    static constexpr int UNITS_DOWN = HEIGHT / 16, UNITS_ACROSS = WIDTH / 8;
    static constexpr int COUNT = (ROWS / HEIGHT) * (COLUMNS / WIDTH);
    static constexpr int PER_WARP = (COUNT + WARPS - 1) / WARPS;
    // Elements that a thread holds of all its blocks.
    static constexpr int PER_THREAD = PER_WARP * UNITS_DOWN * UNITS_ACROSS * 4;

    float sums[UNITS_DOWN][UNITS_ACROSS][4] = {};

    // Calls f(number of the warp's block, first row, first column) for the blocks of this warp.
    // UNROLL makes that number a constant, where it is an index of registers.
    template <bool UNROLL, class F>
    __device__ __forceinline__ static void for_each(F&& f) {
#pragma unroll(UNROLL ? PER_WARP : 1)
        for (int own = 0; own < PER_WARP; own++) {
            const int index = warp_of() + own * WARPS;
            if (index < COUNT) {
                f(own, index / (COLUMNS / WIDTH) * HEIGHT, index % (COLUMNS / WIDTH) * WIDTH);
            }
        }
    }

    // Calls f(place, row, column) for this lane's elements of a block, two columns at a time;
    // `place` counts them, in fours: unit by unit, row g and row g + 8.
    template <class F>
    __device__ __forceinline__ static void for_each_pair(int row, int column, F&& f) {
        const int g = lane_of() / 4, t = lane_of() % 4;
#pragma unroll
        for (int i = 0; i < UNITS_DOWN; i++) {
#pragma unroll
            for (int j = 0; j < UNITS_ACROSS; j++) {
#pragma unroll
                for (int half = 0; half < 2; half++) {
                    f((i * UNITS_ACROSS + j) * 4 + 2 * half, row + i * 16 + g + 8 * half,
                      column + j * 8 + 2 * t);
                }
            }
        }
    }

    __device__ __forceinline__ float sum(int place) const {
        return sums[place / 4 / UNITS_ACROSS][place / 4 % UNITS_ACROSS][place % 4];
    }

    // Adds A B over k below DEPTH for the block that begins at (row, column).
    template <Precision HOW, int DEPTH, class A, class B>
    __device__ __forceinline__ void add(const A& a, const B& b, int row, int column) {
        if constexpr (HOW == FP32) {
            add_float<DEPTH>(a, b, row, column);
        } else {
#pragma unroll 1
            for (int k = 0; k < DEPTH; k += HOW == TF32 ? 8 : 16) add_slice<HOW>(a, b, row, column, k);
        }
    }

private:
    template <int DEPTH, class A, class B>
    __device__ __forceinline__ void add_float(const A& a, const B& b, int row, int column) {
        const int g = lane_of() / 4, t = lane_of() % 4;
#pragma unroll 4
        for (int k = 0; k < DEPTH; k++) {
            float left[2 * UNITS_DOWN], right[2 * UNITS_ACROSS];
#pragma unroll
            for (int i = 0; i < 2 * UNITS_DOWN; i++) left[i] = a.at(row + 8 * i + g, k);
#pragma unroll
            for (int j = 0; j < UNITS_ACROSS; j++) {
                right[2 * j] = b.at(column + 8 * j + 2 * t, k);
                right[2 * j + 1] = b.at(column + 8 * j + 2 * t + 1, k);
            }
#pragma unroll
            for (int i = 0; i < 2 * UNITS_DOWN; i++) {
#pragma unroll
                for (int j = 0; j < 2 * UNITS_ACROSS; j++) {
                    float& sum = sums[i / 2][j / 2][i % 2 * 2 + j % 2];
                    sum = fmaf(left[i], right[j], sum);
                }
            }
        }
    }

    // One step of the tensor cores in k.
    template <Precision HOW, class A, class B>
    __device__ __forceinline__ void add_slice(const A& a, const B& b, int row, int column, int k) {
        Words left[UNITS_DOWN], rest[UNITS_DOWN];
#pragma unroll
        for (int i = 0; i < UNITS_DOWN; i++) {
            left[i] = load<HOW>(a, row + 16 * i, k);
            if constexpr (HOW == BF16X3) rest[i] = load_rest(a, row + 16 * i, k, left[i]);
        }
#pragma unroll
        for (int j = 0; j < UNITS_ACROSS / 2; j++) {
            const Words right = load<HOW>(b, column + 16 * j, k);
            if constexpr (HOW == BF16X3) {
                // Small terms first.
                const Words right_rest = load_rest(b, column + 16 * j, k, right);
                multiply<HOW>(rest, right, j);
                multiply<HOW>(left, right_rest, j);
            }
            multiply<HOW>(left, right, j);
        }
    }

    template <Precision HOW, class M>
    __device__ __forceinline__ static Words load(const M& m, int i, int k) {
        if constexpr (HOW == TF32) {
            return load_tf32(m, i, k);
        } else {
            return load_bf16(m, i, k);
        }
    }

    // All units down by the two units across of `right`.
    template <Precision HOW>
    __device__ __forceinline__ void multiply(const Words (&left)[UNITS_DOWN], const Words& right,
                                             int pair) {
#pragma unroll
        for (int i = 0; i < UNITS_DOWN; i++) {
#pragma unroll
            for (int half = 0; half < 2; half++) {
                float(&d)[4] = sums[i][2 * pair + half];
                if constexpr (HOW == TF32) {
                    mma_tf32(d, left[i], right.w[half], right.w[half + 2]);
                } else {
                    mma_bf16(d, left[i], right.w[half], right.w[half + 2]);
                }
            }
        }
    }
};

}  // namespace snel
