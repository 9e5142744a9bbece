// Layer by layer: what is between the products of wide layers, on the way forward.
//
// Some chunks at a time lie in global memory, a row a point, a chunk at a multiple of a tile.
// Products read values and weights in parts (shape.cuh) and leave float; they are the host's matter.
// What is here is for each element or each row by itself, so that neither the number of chunks nor the
// grid can be seen in a number.
#pragma once
#include "activation.cuh"
#include "step.cuh"

namespace snel {

// Bytes of a row: of the values of all levels below LEVEL, and of the slopes.
__host__ __device__ constexpr int values_before(int level) {
    int bytes = 0;
    for (int i = 0; i < level; i++) bytes += parts(i) * padded_width(i) * int(sizeof(Hidden));
    return bytes;
}
__host__ __device__ constexpr int slopes_before(int level) {
    int bytes = 0;
    for (int i = 1; i < level; i++) bytes += padded_width(i) * int(sizeof(Hidden));
    return bytes;
}
constexpr int ROW_BYTES = values_before(LAYERS + 1) + slopes_before(LAYERS + 1);

template <int LEVEL>
__device__ __forceinline__ Hidden* values_of(const LayerArguments& a) {
    return reinterpret_cast<Hidden*>(a.values + a.rows * values_before(LEVEL));
}
template <int LEVEL>
__device__ __forceinline__ Hidden* slopes_of(const LayerArguments& a) {
    return reinterpret_cast<Hidden*>(a.slopes + a.rows * slopes_before(LEVEL));
}
__device__ __forceinline__ const float* vectors_of(const LayerArguments& a) {
    return reinterpret_cast<const float*>(a.step.model.packed + PACKED_VECTORS);
}

// The value of a level, element `at` of its rows.
template <int LEVEL>
__device__ __forceinline__ float kept(const LayerArguments& a, u64 at) {
    const Hidden* values = values_of<LEVEL>(a);
    float value = value_of(values[at]);
    if constexpr (parts(LEVEL) == 2) value += value_of(values[a.rows * padded_width(LEVEL) + at]);
    return value;
}

__device__ __forceinline__ u64 rows_in_use(const LayerArguments& a) {
    return static_cast<u64>(a.step.n_chunks) * a.chunk_rows;
}

// Calls f(row, column, element) for every second column of a level, the row after the others.
template <int LEVEL, class F>
__device__ __forceinline__ void for_each_pair_of(const LayerArguments& a, F&& f) {
    constexpr int PAIRS = padded_width(LEVEL) / 2;
    const u64 all = static_cast<u64>(gridDim.x) * blockDim.x;
    u64 i = static_cast<u64>(blockIdx.x) * blockDim.x + threadIdx.x;
    for (; i < rows_in_use(a) * PAIRS; i += all) {
        const int j = static_cast<int>(i % PAIRS) * 2;
        f(i / PAIRS, j, 2 * i);
    }
}

// Calls f with the layer that a kernel is for.
template <int FIRST, int LAST, class F>
__device__ __forceinline__ void for_layer(int wanted, F&& f) {
    ascending<FIRST, LAST>([&](auto layer) {
        if (decltype(layer)::value == wanted) f(layer);
    });
}

// Makes the points of a tile and their log-densities; tiles are numbered over all chunks.
__device__ __forceinline__ void points_of_tile(const LayerArguments& a, u32 tile) {
    const u32 tiles = a.chunk_rows / TILE;
    const Chunk chunk = a.step.chunks[tile / tiles];
    const u32 done = tile % tiles * TILE;
    const u32 left = done < chunk.count ? chunk.count - done : 0;
    const int count = left < TILE ? left : TILE, t = threadIdx.x;
    const u64 row = static_cast<u64>(tile) * TILE;
    float* points = a.points + row * stride(0);
    const Block block(points);
    make_points(block, a.step, chunk, done, count);
    if (a.scored != nullptr) {
        log_densities(block, a.step.model, true, true);
    } else {
        log_densities_for(block, a.step, chunk.is_sample);
    }
    if constexpr (HALVES) {
        for (int i = 2 * t; i < TILE * stride(0); i += 2 * THREADS) {
            store_parts<2>(values_of<0>(a) + row * stride(0) + i, a.rows * stride(0), points[i],
                           points[i + 1]);
        }
    }
    if (a.drawn != nullptr) {
        for (int i = t; i < count * width(0); i += THREADS) {
            a.drawn[row * width(0) + i] = points[i / width(0) * stride(0) + i % width(0)];
        }
    }
    __syncthreads();
    if (t < TILE) {
        // Nobody writes these before the barriers of the next tile.
        a.log_base[row + t] = block.shared.log_base[t];
        a.log_proposal[row + t] = block.shared.log_proposal[t];
    }
}

// From the sums of layer LAYER to values and slopes of its level.
template <int LAYER>
__device__ __forceinline__ void activate_layer(const LayerArguments& a) {
    const float* bias = vectors_of(a) + packed_vector(LAYER);
    for_each_pair_of<LAYER>(a, [&](u64, int j, u64 at) {
        float h[2], slope[2];
        for (int i = 0; i < 2; i++) {
            activate(a.product[at + i] + bias[j + i], h[i], slope[i]);
            if constexpr (residual(LAYER)) h[i] += kept<LAYER - 1>(a, at + i);
        }
        store_parts<parts(LAYER)>(values_of<LAYER>(a) + at, a.rows * padded_width(LAYER), h[0], h[1]);
        store_pair(slopes_of<LAYER>(a) + at, slope[0], slope[1]);
    });
}

// E = v . h, a warp a row.
__device__ __forceinline__ void energies_of_rows(const LayerArguments& a) {
    const float* v = vectors_of(a) + packed_vector(LAYERS + 1);
    const u64 all = static_cast<u64>(gridDim.x) * (blockDim.x / WARP);
    u64 row = static_cast<u64>(blockIdx.x) * (blockDim.x / WARP) + warp_of();
    for (; row < rows_in_use(a); row += all) {
        float sum = 0.0f;
        for (int j = lane_of(); j < padded_width(LAYERS); j += WARP) {
            sum = fmaf(v[j], kept<LAYERS>(a, row * padded_width(LAYERS) + j), sum);
        }
#pragma unroll
        for (int mask = WARP / 2; mask > 0; mask /= 2) {
            sum += __shfl_xor_sync(0xffffffffu, sum, mask);
        }
        if (lane_of() != 0) continue;
        a.energies[row] = sum;
        if (a.scored != nullptr) a.scored[row] = {sum, a.log_base[row], a.log_proposal[row]};
    }
}

}  // namespace snel
