// Products of a tile, of matrices and of a matrix and a vector, shared by the warps of a block.
//
// The result is cut into blocks of 16 or 32 rows and columns, or 64 rows; warp w makes blocks w,
// w + WARPS, ...
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
    static constexpr int WIDTH = COLUMNS % 32 == 0 ? 32 : 16;
    // The taller, the fewer loads a product; where a chunk's gradient leaves registers for it, and a
    // block for every warp.
    static constexpr bool TALL = TILES_SHARED && !SUMS_IN_REGISTERS && ROWS % 64 == 0 &&
                                 (ROWS / 64) * (COLUMNS / WIDTH) >= WARPS;
    static constexpr int HEIGHT = TALL ? 64 : ROWS % 32 == 0 ? 32 : 16;
    static constexpr int UNITS_DOWN = HEIGHT / 16, UNITS_ACROSS = WIDTH / 8;
    static constexpr int COUNT = (ROWS / HEIGHT) * (COLUMNS / WIDTH);
    static constexpr int PER_WARP = (COUNT + WARPS - 1) / WARPS;
    // Elements that a thread holds of all its blocks.
    static constexpr int PER_THREAD = PER_WARP * UNITS_DOWN * UNITS_ACROSS * 4;

    // Slices in k that are in flight at once: a warp has little else to do while operands come. In two
    // parts a slice has twice the operands, and from global memory they come in many small loads.
    template <Precision HOW>
    static constexpr int UNROLLED = !TILES_SHARED ? 1 : HOW == BF16X3 ? 4 : 8;

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

    // This lane's first element of a block; the others are at distances that the compiler knows.
    __device__ __forceinline__ static int row_of_lane() { return lane_of() / 4; }
    __device__ __forceinline__ static int column_of_lane() { return lane_of() % 4 * 2; }

    // Calls f(place, rows down, columns across) for this lane's elements of a block, seen from its
    // first, two columns at a time; `place` counts them, in fours: unit by unit, row g and row g + 8.
    template <class F>
    __device__ __forceinline__ static void for_each_pair(F&& f) {
#pragma unroll
        for (int i = 0; i < UNITS_DOWN; i++) {
#pragma unroll
            for (int j = 0; j < UNITS_ACROSS; j++) {
#pragma unroll
                for (int half = 0; half < 2; half++) {
                    f((i * UNITS_ACROSS + j) * 4 + 2 * half, i * 16 + 8 * half, j * 8);
                }
            }
        }
    }

    __device__ __forceinline__ float sum(int place) const {
        return sums[place / 4 / UNITS_ACROSS][place / 4 % UNITS_ACROSS][place % 4];
    }

    // Begins the sums of the block from column `first` on with what a column has in `of_columns`.
    __device__ __forceinline__ void begin_with(const float* of_columns, int first) {
        const int t = lane_of() % 4;
#pragma unroll
        for (int j = 0; j < UNITS_ACROSS; j++) {
            const auto pair = *reinterpret_cast<const Columns<float, 2>*>(of_columns + first + 8 * j + 2 * t);
#pragma unroll
            for (int i = 0; i < UNITS_DOWN * 4; i++) sums[i / 4][j][i % 4] = pair.at[i % 2];
        }
    }

    // Adds A B over k below DEPTH for the block that begins at (row, column).
    template <Precision HOW, int DEPTH, class A, class B>
    __device__ __forceinline__ void add(const A& a, const B& b, int row, int column) {
        if constexpr (HOW == FP32) {
            add_float<DEPTH>(a, b, row, column);
        } else {
            const auto left = lane_operand<HOW, LEFT>(a.from(row, 0));
            const auto right = lane_operand<HOW, RIGHT>(b.from(column, 0));
#pragma unroll(UNROLLED<HOW>)
            for (int k = 0; k < DEPTH; k += SLICE<HOW>) add_slice<HOW>(left, right, k);
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
    __device__ __forceinline__ void add_slice(const A& a, const B& b, int k) {
        Words left[UNITS_DOWN], rest[UNITS_DOWN];
#pragma unroll
        for (int i = 0; i < UNITS_DOWN; i++) {
            left[i] = load<HOW, LEFT>(a, 16 * i, k);
            if constexpr (HOW == BF16X3) rest[i] = load_rest<LEFT>(a, 16 * i, k, left[i]);
        }
#pragma unroll
        for (int j = 0; j < UNITS_ACROSS / 2; j++) {
            const Words right = load<HOW, RIGHT>(b, 16 * j, k);
            if constexpr (HOW == BF16X3) {
                // Small terms first.
                const Words right_rest = load_rest<RIGHT>(b, 16 * j, k, right);
                add_units<HOW>(rest, right, j);
                add_units<HOW>(left, right_rest, j);
            }
            add_units<HOW>(left, right, j);
        }
    }

    // All units down by the two units across of `right`.
    template <Precision HOW>
    __device__ __forceinline__ void add_units(const Words (&left)[UNITS_DOWN], const Words& right,
                                              int pair) {
#pragma unroll
        for (int i = 0; i < UNITS_DOWN; i++) {
#pragma unroll
            for (int half = 0; half < 2; half++) {
                multiply<HOW>(sums[i][2 * pair + half], left[i], right.w[2 * half],
                              right.w[2 * half + 1]);
            }
        }
    }
};

// A v for a matrix A of ROWS rows and a vector v. The matrix is cut into blocks of 32 or 16 rows, and
// warp w makes blocks w, w + WARPS, ...; of a block a lane ends with one row, or of 16 rows half of
// the lanes do.
template <int ROWS>
struct RowBlocks {
    static constexpr int HEIGHT = ROWS % 32 == 0 ? 32 : 16, UNITS = HEIGHT / 16;
    static constexpr int COUNT = ROWS / HEIGHT, PER_WARP = (COUNT + WARPS - 1) / WARPS;

    // Calls f(number of the warp's block, first row) for the blocks of this warp.
    template <class F>
    __device__ __forceinline__ static void for_each(F&& f) {
#pragma unroll
        for (int own = 0; own < PER_WARP; own++) {
            const int index = warp_of() + own * WARPS;
            if (index < COUNT) f(own, index * HEIGHT);
        }
    }

    // The row of a block that a lane has, from 0 on; HEIGHT or more if it has none.
    __device__ __forceinline__ static int row_of_lane() {
        const int g = lane_of() / 4, t = lane_of() % 4;
        return g + t * 8;
    }

    // sum_k v(k) A[row][k] over k below DEPTH, for the row of this lane.
    template <Precision HOW, int DEPTH, class A, class V>
    __device__ __forceinline__ static float sum(const A& a, int row, V v) {
        if constexpr (HOW == FP32) {
            const int own = row_of_lane() < HEIGHT ? row + row_of_lane() : row;
            float sum = 0.0f;
            for (int k = 0; k < DEPTH; k++) sum = fmaf(v(k), a.at(own, k), sum);
            return sum;
        } else {
            // The columns of the other operand are the two parts of v, in turn.
            const auto left = lane_operand<HOW, LEFT>(a.from(row, 0));
            const bool rest = lane_of() / 4 % 2;
            float sums[UNITS][4] = {};
#pragma unroll
            for (int k = 0; k < DEPTH; k += SLICE<HOW>) {
                const u32 first = word_of<HOW>(v, k, rest);
                const u32 second = word_of<HOW>(v, k + SLICE<HOW> / 2, rest);
#pragma unroll
                for (int i = 0; i < UNITS; i++) {
                    multiply<HOW>(sums[i], load<HOW, LEFT>(left, 16 * i, k), first, second);
                }
            }
            float found = 0.0f;
#pragma unroll
            for (int i = 0; i < 2 * UNITS; i++) {
                const float row_sum = sums[i / 2][i % 2 * 2] + sums[i / 2][i % 2 * 2 + 1];
                if (lane_of() % 4 == i) found = row_sum;
            }
            return found;
        }
    }

private:
    // What this lane brings of v from k on: one word of it, or of what its precision left of it. A lane
    // selects and does not branch: a compiler that moved the branch out of the loop of products would
    // send half a warp into each.
    template <Precision HOW, class V>
    __device__ __forceinline__ static u32 word_of(V& v, int k, bool rest) {
        const int t = lane_of() % 4;
        if constexpr (HOW == TF32) {
            const float value = v(k + t);
            const u32 high = tf32_of(value);
            return tf32_of(value - __uint_as_float(rest ? high : 0u));
        } else {
            const float first = v(k + 2 * t), second = v(k + 2 * t + 1);
            const u32 high = pack_bf16(first, second);
            return rest_of(first, second, rest ? high : 0u);
        }
    }
};

}  // namespace snel
