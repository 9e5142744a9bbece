// A tile forward: from points to energies.
#pragma once
#include "activation.cuh"
#include "product.cuh"
#include "tile.cuh"

namespace snel {

// How the product of a layer is made on the way forward. In bf16 the first layer sees both halves
// of a point: a rounded point would have another density than the one that its log-weight holds.
__host__ __device__ constexpr Precision forward_precision(int layer) {
    return PRECISION == BF16 && layer == 1 ? BF16X3 : PRECISION;
}

// From level LAYER - 1 to values and slopes of level LAYER. Ends with a barrier.
template <int LAYER>
__device__ __forceinline__ void forward_layer(const Block& block) {
    using Result = Blocks<TILE, padded_width(LAYER)>;
    const auto input = block.inputs<LAYER - 1>();
    const auto weight = block.weight<LAYER>();
    const float* bias = block.bias<LAYER>();
    Result::template for_each<false>([&](int, int row, int column) {
        Result result;
        result.begin_with(bias, column);
        result.template add<forward_precision(LAYER), padded_width(LAYER - 1)>(input, weight, row,
                                                                               column);
        const int first = (row + Result::row_of_lane()) * stride(LAYER) + column +
                          Result::column_of_lane();
        Hidden* values = block.values<LAYER>() + first;
        Hidden* slopes = block.slopes<LAYER>() + first;
        Result::for_each_pair([&](int place, int down, int across) {
            const int at = down * stride(LAYER) + across;
            float h[2], slope[2];
            for (int i = 0; i < 2; i++) activate(result.sum(place + i), h[i], slope[i]);
            if constexpr (residual(LAYER)) {
                // A level of the same width is as wide in memory.
                const auto below = block.pair<LAYER - 1>(first + at);
                for (int i = 0; i < 2; i++) h[i] += below.at[i];
            }
            store_parts<parts(LAYER)>(values + at, Block::VALUES<LAYER>, h[0], h[1]);
            store_pair(slopes + at, slope[0], slope[1]);
        });
    });
    __syncthreads();
}

// E = v . h of every point, LANES neighbouring lanes a point. Ends with a barrier.
__device__ __forceinline__ void output_layer(const Block& block) {
    const float* v = block.output_weight();
    const int lane = threadIdx.x % LANES;
    // Whole warps go round: a tile is a multiple of 16 points, a warp has 8.
    for (int t = threadIdx.x / LANES; t < TILE; t += THREADS / LANES) {
        float sum = 0.0f;
#pragma unroll 8
        for (int j = 2 * lane; j < padded_width(LAYERS); j += 2 * LANES) {
            const auto h = block.pair<LAYERS>(t * stride(LAYERS) + j);
            sum = fmaf(v[j], h.at[0], sum);
            sum = fmaf(v[j + 1], h.at[1], sum);
        }
        sum = sum_of_lanes(sum);
        if (lane == 0) block.shared.energies[t] = sum;
    }
    __syncthreads();
}

// Energies of the tile's points, which all threads see already.
__device__ __forceinline__ void forward(const Block& block) {
    ascending<1, LAYERS>([&](auto layer) { forward_layer<decltype(layer)::value>(block); });
    output_layer(block);
}

}  // namespace snel
