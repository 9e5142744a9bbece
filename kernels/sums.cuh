// The gradient of the chunk in work, in float, dealt to the threads of a block.
//
// A thread adds to, and later reads, only slots of its own: no barrier is needed. Which slot is
// which parameter: `for_each_owned`.
#pragma once
#include "product.cuh"

namespace snel {

template <int LAYER>
using GradientBlocks = Blocks<padded_width(LAYER), padded_width(LAYER - 1)>;

// Slots for a vector with a value for each column of a level: one for each of a warp's blocks.
template <int LEVEL>
constexpr int VECTOR_SLOTS = RowBlocks<padded_width(LEVEL)>::PER_WARP;

// Slots of all layers below LAYER: weight, then bias.
template <int LAYER>
__host__ __device__ constexpr int first_slot() {
    if constexpr (LAYER <= 1) {
        return 0;
    } else {
        return first_slot<LAYER - 1>() + GradientBlocks<LAYER - 1>::PER_THREAD +
               VECTOR_SLOTS<LAYER - 1>;
    }
}
template <int LAYER>
__host__ __device__ constexpr int bias_slot() {
    return first_slot<LAYER>() + GradientBlocks<LAYER>::PER_THREAD;
}
constexpr int OUTPUT_SLOT = first_slot<LAYERS + 1>();
constexpr int SUM_SLOTS = OUTPUT_SLOT + VECTOR_SLOTS<LAYERS>;

template <bool IN_REGISTERS>
struct SumsIn;

// Every index is a constant after unrolling, so that the array is registers.
template <>
struct SumsIn<true> {
    float slots[SUM_SLOTS];

    __device__ __forceinline__ explicit SumsIn(float*) {}
    __device__ __forceinline__ float& operator[](int slot) { return slots[slot]; }
};

// A column of global memory: neighbouring threads have neighbouring addresses.
template <>
struct SumsIn<false> {
    float* column;

    __device__ __forceinline__ explicit SumsIn(float* all)
        : column(all + static_cast<u64>(blockIdx.x) * SUM_SLOTS * THREADS + threadIdx.x) {}
    __device__ __forceinline__ float& operator[](int slot) { return column[slot * THREADS]; }
};

struct Sums : SumsIn<SUMS_IN_REGISTERS> {
    using SumsIn<SUMS_IN_REGISTERS>::SumsIn;

    __device__ __forceinline__ void clear() {
#pragma unroll(SUMS_IN_REGISTERS ? SUM_SLOTS : 4)
        for (int slot = 0; slot < SUM_SLOTS; slot++) (*this)[slot] = 0.0f;
    }

    // Calls f(parameter, value) for all of this thread that are no padding.
    template <class F>
    __device__ __forceinline__ void for_each_owned(F&& f) {
        ascending<1, LAYERS>([&](auto layer) {
            constexpr int LAYER = decltype(layer)::value;
            weights_owned<LAYER>(f);
            vector_owned<LAYER>(bias_slot<LAYER>(), bias_offset(LAYER), f);
        });
        vector_owned<LAYERS>(OUTPUT_SLOT, OUTPUT_OFFSET, f);
    }

private:
    template <int LAYER, class F>
    __device__ __forceinline__ void weights_owned(F& f) {
        using Result = GradientBlocks<LAYER>;
        constexpr int SLOTS = Result::UNITS_DOWN * Result::UNITS_ACROSS * 4;
        Result::template for_each<SUMS_IN_REGISTERS>([&](int own, int row, int column) {
            const int n = row + Result::row_of_lane(), k = column + Result::column_of_lane();
            Result::for_each_pair([&](int place, int down, int across) {
#pragma unroll
                for (int i = 0; i < 2; i++) {
                    if (n + down < width(LAYER) && k + across + i < width(LAYER - 1)) {
                        f(weight_offset(LAYER) + (n + down) * width(LAYER - 1) + k + across + i,
                          (*this)[first_slot<LAYER>() + own * SLOTS + place + i]);
                    }
                }
            });
        });
    }

    template <int LEVEL, class F>
    __device__ __forceinline__ void vector_owned(int slot, int offset, F& f) {
        using Rows = RowBlocks<padded_width(LEVEL)>;
        Rows::for_each([&](int own, int first) {
            const int row = Rows::row_of_lane(), j = first + row;
            if (row < Rows::HEIGHT && j < width(LEVEL)) f(offset + j, (*this)[slot + own]);
        });
    }
};

}  // namespace snel
