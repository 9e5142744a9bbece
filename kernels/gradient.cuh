// A tile backward: from cotangents to the chunk's gradient.
//
// On the way, the slopes of a level become the cotangents of its sums (slope times the cotangent
// of the value), in their place. Where a residual connection needs the cotangents of the values
// too, they take the place of the values, which nobody needs any more by then.
#pragma once
#include "energy.cuh"
#include "sums.cuh"

namespace snel {

// Gradients tolerate bf16: their error is small beside that of the sampling.
constexpr Precision BACKWARD = PRECISION == BF16X3 ? BF16 : PRECISION;

// Adds sum_t factor(t) values[t][j] to the slots of every column j of a level.
template <int LEVEL, class T, class Factor>
__device__ __forceinline__ void add_columns(const T* values, Factor factor, Sums& sums, int slot) {
    using Rows = RowBlocks<padded_width(LEVEL)>;
    const Operand<T, BY_DEPTH, TILES_SHARED> turned{values, stride(LEVEL)};
    Rows::for_each([&](int own, int first) {
        sums[slot + own] += Rows::template sum<BACKWARD, TILE>(turned, first, factor);
    });
}

// The output weight's gradient, and cotangents of the last level's sums: c_t v_j slope_tj. Ends
// with a barrier if there is a layer.
__device__ __forceinline__ void backward_output(const Block& block, Sums& sums) {
    const float* c = block.shared.cotangents;
    add_columns<LAYERS>(block.values<LAYERS>(), [&](int t) { return c[t]; }, sums, OUTPUT_SLOT);
    if constexpr (LAYERS > 0) {
        // A thread has COUNT columns, 16 bytes of a row at once, and some of the rows.
        constexpr int COUNT = 16 / sizeof(Hidden), ALL = padded_width(LAYERS) / COUNT;
        constexpr int ACROSS = ALL < THREADS ? ALL : THREADS, DOWN = THREADS / ACROSS;
        const int first = threadIdx.x / ACROSS;
        for (int i = threadIdx.x % ACROSS; i < ALL && first < DOWN; i += ACROSS) {
            float v[COUNT];
#pragma unroll
            for (int k = 0; k < COUNT; k++) v[k] = block.output_weight()[i * COUNT + k];
            Hidden* column = block.slopes<LAYERS>() + i * COUNT;
#pragma unroll 4
            for (int own = 0; own < (TILE + DOWN - 1) / DOWN; own++) {
                const int t = first + own * DOWN;
                if (TILE % DOWN != 0 && t >= TILE) break;
                Hidden* slopes = column + t * stride(LAYERS);
                const auto before = *reinterpret_cast<const Columns<Hidden, COUNT>*>(slopes);
                const float own_c = c[t];
                Columns<Hidden, COUNT> after;
#pragma unroll
                for (int k = 0; k < COUNT; k += 2) {
                    store_pair(after.at + k, own_c * v[k] * value_of(before.at[k]),
                               own_c * v[k + 1] * value_of(before.at[k + 1]));
                }
                *reinterpret_cast<Columns<Hidden, COUNT>*>(slopes) = after;
            }
        }
        __syncthreads();
    }
}

// Cotangents of the values of level LEVEL, columns j and j + 1 of point t, where a residual connection
// needs them.
template <int LEVEL>
__device__ __forceinline__ Columns<float, 2> value_cotangents(const Block& block, int t, int j) {
    if constexpr (LEVEL == LAYERS) {
        const float c = block.shared.cotangents[t];
        const auto v = pair_at(block.output_weight() + j);
        return {c * v.at[0], c * v.at[1]};
    } else {
        const auto found = pair_at(block.values<LEVEL>() + t * stride(LEVEL) + j);
        return {value_of(found.at[0]), value_of(found.at[1])};
    }
}

// Adds the gradient of the layer's weight, dZ^T H, and bias.
template <int LAYER>
__device__ __forceinline__ void layer_gradient(const Block& block, Sums& sums) {
    using Result = GradientBlocks<LAYER>;
    constexpr int SLOTS = Result::UNITS_DOWN * Result::UNITS_ACROSS * 4;
    const Operand<Hidden, BY_DEPTH, TILES_SHARED> dz{block.slopes<LAYER>(), stride(LAYER)};
    const Operand<Stored<LAYER - 1>, BY_DEPTH, TILES_SHARED> input{block.values<LAYER - 1>(),
                                                                  stride(LAYER - 1)};
    Result::template for_each<SUMS_IN_REGISTERS>([&](int own, int row, int column) {
        // Asked for before the product, so that they come meanwhile if they are in memory.
        float before[SLOTS];
        const int first = first_slot<LAYER>() + own * SLOTS;
#pragma unroll
        for (int place = 0; place < SLOTS; place++) before[place] = sums[first + place];
        Result result;
        result.template add<BACKWARD, TILE>(dz, input, row, column);
#pragma unroll
        for (int place = 0; place < SLOTS; place++) {
            sums[first + place] = before[place] + result.sum(place);
        }
    });
    add_columns<LAYER>(block.slopes<LAYER>(), [](int) { return 1.0f; }, sums, bias_slot<LAYER>());
}

// From the cotangents of layer LAYER's sums to those of the layer below, dZ W times the slopes.
// Ends with a barrier.
template <int LAYER>
__device__ __forceinline__ void backward_layer(const Block& block) {
    constexpr int BELOW = LAYER - 1;
    using Result = Blocks<TILE, padded_width(BELOW)>;
    const Operand<Hidden, BY_ROW, TILES_SHARED> dz{block.slopes<LAYER>(), stride(LAYER)};
    const auto weight = block.weight_back<LAYER>();
    Result::template for_each<false>([&](int, int row, int column) {
        Result result;
        result.template add<BACKWARD, padded_width(LAYER)>(dz, weight, row, column);
        const int t = row + Result::row_of_lane(), j = column + Result::column_of_lane();
        const int first = t * stride(BELOW) + j;
        Hidden* slopes = block.slopes<BELOW>() + first;
        Result::for_each_pair([&](int place, int down, int across) {
            float dh[2] = {result.sum(place), result.sum(place + 1)};
            if constexpr (residual(LAYER)) {
                const auto beside = value_cotangents<LAYER>(block, t + down, j + across);
                for (int i = 0; i < 2; i++) dh[i] += beside.at[i];
            }
            const int at = down * stride(BELOW) + across;
            if constexpr (residual(BELOW)) {
                store_pair(block.values<BELOW>() + first + at, dh[0], dh[1]);
            }
            const auto slope = pair_at(slopes + at);
            store_pair(slopes + at, dh[0] * value_of(slope.at[0]), dh[1] * value_of(slope.at[1]));
        });
    });
    __syncthreads();
}

// Adds the tile's gradient to `sums`. All threads see the cotangents already; a barrier before
// the tile's memory is used again is the caller's.
__device__ __forceinline__ void backward(const Block& block, Sums& sums) {
    backward_output(block, sums);
    descending<LAYERS, 1>([&](auto layer) {
        constexpr int LAYER = decltype(layer)::value;
        layer_gradient<LAYER>(block, sums);
        if constexpr (LAYER > 1) {
            // The values below are overwritten where a residual connection wants their cotangents.
            if constexpr (residual(LAYER - 1)) __syncthreads();
            backward_layer<LAYER>(block);
        }
    });
}

}  // namespace snel
