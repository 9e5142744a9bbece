// The memory of a block: its tile, its operands, and what its threads tell each other.
#pragma once
#include "fragment.cuh"
#include "sample.cuh"
#include "tally.cuh"

namespace snel {

// What the threads of a block share besides matrices.
struct Shared {
    u32 chunk;        // the one in work
    u32 largest;      // bits of the chunk's largest finite magnitude
    u32 not_finite;   // values of the chunk's gradient that are not finite
    float energies[TILE];
    float cotangents[TILE];
    float log_base[TILE];
    float log_proposal[TILE];
    Origin origins[TILE];
    PointTally tallies[WARPS];
};

constexpr int VECTORS_AT = (sizeof(Shared) + 127) / 128 * 128;
constexpr int WEIGHTS_AT = VECTORS_AT + (4 * VECTORS + 127) / 128 * 128;
constexpr int TILES_AT = WEIGHTS_AT + (WEIGHTS_SHARED ? (PACKED_VECTORS + 127) / 128 * 128 : 0);
constexpr int SHARED_BYTES = LAYERWISE ? VECTORS_AT : TILES_AT + (TILES_SHARED ? TILE_BYTES : 0);

// Values of hidden levels are stored as float or bf16.
__device__ __forceinline__ float value_of(float v) { return v; }
__device__ __forceinline__ float value_of(Bf16 v) { return float_of(v); }

// Two neighbouring columns at once, the first of them even.
template <class T>
__device__ __forceinline__ Columns<T, 2> pair_at(const T* from) {
    return *reinterpret_cast<const Columns<T, 2>*>(from);
}
__device__ __forceinline__ void store_pair(float* to, float first, float second) {
    *reinterpret_cast<Columns<float, 2>*>(to) = {first, second};
}
__device__ __forceinline__ void store_pair(Bf16* to, float first, float second) {
    *reinterpret_cast<u32*>(to) = pack_bf16(first, second);
}

struct Block {
    Shared& shared;
    const float* vectors;          // biases and output weight, padded
    const unsigned char* weights;  // packed
    unsigned char* tile;

    __device__ __forceinline__ explicit Block(const Model& model)
        : shared(*reinterpret_cast<Shared*>(dynamic_shared())),
          vectors(reinterpret_cast<const float*>(dynamic_shared() + VECTORS_AT)),
          weights(WEIGHTS_SHARED ? dynamic_shared() + WEIGHTS_AT : model.packed),
          tile(TILES_SHARED ? dynamic_shared() + TILES_AT
                            : model.tiles + static_cast<u64>(blockIdx.x) * TILE_BYTES) {}

    // Of points alone: those of a tile begin at `points`.
    __device__ __forceinline__ explicit Block(float* points)
        : shared(*reinterpret_cast<Shared*>(dynamic_shared())),
          vectors(nullptr),
          weights(nullptr),
          tile(reinterpret_cast<unsigned char*>(points)) {}

    // Brings the packed parameters in. A barrier after it is the caller's.
    __device__ __forceinline__ void load_parameters(const Model& model) const {
        const int own = 16 * threadIdx.x;
        if (WEIGHTS_SHARED) {
            for (int i = own; i < PACKED_VECTORS; i += 16 * THREADS) {
                copy_async(dynamic_shared() + WEIGHTS_AT + i, model.packed + i);
            }
        }
        for (int i = own; i < 4 * VECTORS; i += 16 * THREADS) {
            copy_async(dynamic_shared() + VECTORS_AT + i, model.packed + PACKED_VECTORS + i);
        }
        wait_for_copies();
    }

    // Values of a level, TILE rows.
    template <int LEVEL>
    __device__ __forceinline__ Stored<LEVEL>* values() const {
        return reinterpret_cast<Stored<LEVEL>*>(tile + values_offset(LEVEL));
    }

    // Slopes of a hidden level, later cotangents of its sums before the activation.
    template <int LEVEL>
    __device__ __forceinline__ Hidden* slopes() const {
        return reinterpret_cast<Hidden*>(tile + slopes_offset(LEVEL));
    }

    // The weight of a layer as a right-hand matrix: a row an output, as on the way forward, or a row
    // an input, as on the way back.
    template <int LAYER, Order ORDER>
    __device__ __forceinline__ auto weight() const {
        const unsigned char* at = weights + packed_weight(LAYER);
        if constexpr (in_pieces(LAYER)) {
            if (ORDER == BY_DEPTH) at += packed_bytes(LAYER) / 2;
            const int depth = padded_width(ORDER == BY_ROW ? LAYER - 1 : LAYER);
            return Pieces{reinterpret_cast<const Words*>(at), depth / 16};
        } else {
            using Below = Stored<LAYER - 1>;
            const auto* data = reinterpret_cast<const Below*>(at);
            return Operand<Below, ORDER, WEIGHTS_SHARED>{data, stride(LAYER - 1)};
        }
    }

    template <int LAYER>
    __device__ __forceinline__ const float* bias() const {
        return vectors + packed_vector(LAYER);
    }
    __device__ __forceinline__ const float* output_weight() const {
        return vectors + packed_vector(LAYERS + 1);
    }
};

}  // namespace snel
