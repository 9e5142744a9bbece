// Layer by layer on the way back: from energies to cotangents, what is between the products, and the
// gradients of chunks into the exact sums of the step. Products leave the gradients of weights.
//
// Sums over the rows of a chunk go in an order that the number of its rows alone decides.
#pragma once
#include "layerwise.cuh"

namespace snel {

// A chunk's gradient: weights padded as operands, then biases and output weight padded, then b.
// Floats.
__host__ __device__ constexpr int gradient_weight(int layer) {
    int offset = 0;
    for (int i = 1; i < layer; i++) offset += padded_width(i) * padded_width(i - 1);
    return offset;
}
constexpr int GRADIENT_VECTORS = gradient_weight(LAYERS + 1);
constexpr int GRADIENT_B = GRADIENT_VECTORS + VECTORS;
constexpr int GRADIENT_FLOATS = (GRADIENT_B + 64) / 64 * 64;

__device__ __forceinline__ float* gradient_of_chunk(const LayerArguments& a, u32 index) {
    return a.gradients + static_cast<u64>(index) * GRADIENT_FLOATS;
}

// Where a parameter is in it.
__device__ __forceinline__ int gradient_place(int parameter) {
    if (parameter == B_OFFSET) return GRADIENT_B;
    int place = GRADIENT_VECTORS + packed_vector(LAYERS + 1) + parameter - OUTPUT_OFFSET;
    ascending<1, LAYERS>([&](auto layer) {
        constexpr int LAYER = decltype(layer)::value, INPUTS = width(LAYER - 1);
        const int weight = parameter - weight_offset(LAYER), bias = parameter - bias_offset(LAYER);
        if (weight >= 0 && bias < 0) {
            place = gradient_weight(LAYER) + weight / INPUTS * padded(INPUTS) + weight % INPUTS;
        } else if (bias >= 0 && bias < width(LAYER)) {
            place = GRADIENT_VECTORS + packed_vector(LAYER) + bias;
        }
    });
    return place;
}

// Cotangents, statistics and the gradient of b of a chunk. All threads of a block.
__device__ __forceinline__ void weigh_chunk(const LayerArguments& a, u32 index, double b) {
    const Block block(a.points);
    Shared& shared = block.shared;
    const Chunk chunk = a.step.chunks[index];
    const int t = threadIdx.x;
    PointTally tally;
    for (u32 done = 0; done < a.chunk_rows; done += TILE) {
        const u32 left = done < chunk.count ? chunk.count - done : 0;
        const int count = left < TILE ? left : TILE;
        const u64 row = static_cast<u64>(index) * a.chunk_rows + done + t;
        // A thread reads its own point alone.
        if (t < TILE) {
            shared.energies[t] = a.energies[row];
            shared.log_base[t] = a.log_base[row];
            shared.log_proposal[t] = a.log_proposal[row];
        }
        weigh_tile(block, a.step, chunk.is_sample, count, b, tally);
        if (t < TILE) a.cotangents[row] = shared.cotangents[t];
    }
    gather_tallies(tally, shared.tallies);
    __syncthreads();
    if (t == 0) {
        const PointTally total = total_of(shared.tallies);
        gradient_of_chunk(a, index)[GRADIENT_B] = static_cast<float>(total.cotangent);
        a.extents[index] = {0, 0};
        write_tally(total, chunk, 0, a.step.tallies[index]);
    }
    // Of the next chunk.
    __syncthreads();
}

// From cotangents of the values of level LAYER to those of its sums: slope times cotangent, in the
// place of the slope. Those of the last level come from the energy; they are left for a residual
// connection, to which the product of the layer is added.
template <int LAYER>
__device__ __forceinline__ void slope_layer(const LayerArguments& a) {
    const float* v = vectors_of(a) + packed_vector(LAYERS + 1);
    Hidden* slopes = slopes_of<LAYER>(a);
    for_each_pair_of<LAYER>(a, [&](u64 row, int j, u64 at) {
        float dz[2];
        for (int i = 0; i < 2; i++) {
            float dh;
            if constexpr (LAYER == LAYERS) {
                dh = a.cotangents[row] * v[j + i];
                if constexpr (residual(LAYER)) a.product[at + i] = dh;
            } else {
                dh = a.product[at + i];
            }
            dz[i] = dh * value_of(slopes[at + i]);
        }
        store_pair(slopes + at, dz[0], dz[1]);
    });
}

// Sums of value(row, element) over the rows of each chunk, for every column of a level, to `place` of
// the chunk's gradient. A warp has 8 columns of a chunk; of each, four lanes have every fourth row.
template <int LEVEL, class Value>
__device__ __forceinline__ void add_rows(const LayerArguments& a, int place, Value value) {
    constexpr u32 GROUPS = padded_width(LEVEL) / 8;
    const u32 warps = blockDim.x / WARP, lane = lane_of();
    for (u32 group = blockIdx.x * warps + warp_of(); group < a.step.n_chunks * GROUPS;
         group += gridDim.x * warps) {
        const u32 index = group / GROUPS, j = group % GROUPS * 8 + lane % 8;
        float sum = 0.0f;
        for (u32 r = lane / 8; r < a.chunk_rows; r += 4) {
            const u64 row = static_cast<u64>(index) * a.chunk_rows + r;
            sum += value(row, row * padded_width(LEVEL) + j);
        }
        sum += __shfl_xor_sync(0xffffffffu, sum, 8);
        sum += __shfl_xor_sync(0xffffffffu, sum, 16);
        if (lane < 8) gradient_of_chunk(a, index)[place + j] = sum;
    }
}

// The gradient of layer LAYER's bias.
template <int LAYER>
__device__ __forceinline__ void bias_gradient(const LayerArguments& a) {
    const Hidden* dz = slopes_of<LAYER>(a);
    add_rows<LAYER>(a, GRADIENT_VECTORS + packed_vector(LAYER),
                    [&](u64, u64 at) { return value_of(dz[at]); });
}

__device__ __forceinline__ void output_gradient(const LayerArguments& a) {
    add_rows<LAYERS>(a, GRADIENT_VECTORS + packed_vector(LAYERS + 1), [&](u64 row, u64 at) {
        return a.cotangents[row] * kept<LAYERS>(a, at);
    });
}

// Adds to the extent of a chunk's gradient, of which this block has a slice. As many slices of each
// chunk as the grid allows.
__device__ __forceinline__ void extent_of_slice(const LayerArguments& a) {
    const u32 index = blockIdx.x % a.step.n_chunks, slice = blockIdx.x / a.step.n_chunks;
    const u32 slices = gridDim.x / a.step.n_chunks;
    const float* gradient = gradient_of_chunk(a, index);
    Extent extent;
    for (u32 i = slice * blockDim.x + threadIdx.x; i < PARAMETERS; i += slices * blockDim.x) {
        extent.add(gradient[gradient_place(i)]);
    }
    extent = extent_of_warp(extent);
    if (lane_of() == 0) {
        atomicMax(&a.extents[index].largest, extent.largest);
        atomicAdd(&a.extents[index].not_finite, extent.not_finite);
    }
}

// Adds the gradients of all chunks that fit to the sums of the step. A thread a parameter: no two add
// to the same sum.
__device__ __forceinline__ void add_chunks(const LayerArguments& a, u32 own, u32 all) {
    const StepArguments& step = a.step;
    const int scale = step.control->scale;
    const double limit = limit_of(step.chunk_bits, scale), factor = power_of_two(scale);
    for (u32 i = own; i < PARAMETERS; i += all) {
        const int place = gradient_place(i);
        u64 rows = 0, samples = 0;
        for (u32 index = 0; index < step.n_chunks; index++) {
            const ChunkExtent extent = a.extents[index];
            const double largest = static_cast<double>(__uint_as_float(extent.largest));
            if (extent.not_finite != 0 || !(largest < limit)) continue;
            const float value = gradient_of_chunk(a, index)[place];
            const i64 rounded = __double2ll_rn(static_cast<double>(value) * factor);
            (step.chunks[index].is_sample ? samples : rows) += static_cast<u64>(rounded);
        }
        step.row_sums[i] += rows;
        step.sample_sums[i] += samples;
    }
    for (u32 index = own; index < step.n_chunks; index += all) {
        const ChunkExtent extent = a.extents[index];
        ChunkTally& tally = step.tallies[index];
        tally.not_finite += extent.not_finite;
        atomicMax(&step.control->largest, extent.largest);
        if (!is_sound(tally)) atomicMax(&step.control->unsound, 1u);
    }
}

}  // namespace snel
