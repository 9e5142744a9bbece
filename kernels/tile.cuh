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

// Two neighbours in PARTS parts, each `apart` elements behind the one before.
template <int PARTS, class T>
__device__ __forceinline__ void store_parts(T* to, u64 apart, float first, float second) {
    store_pair(to, first, second);
    if constexpr (PARTS == 2) {
        const u32 high = pack_bf16(first, second);
        *reinterpret_cast<u32*>(to + apart) = rest_of(first, second, high);
    }
}
// What both parts say.
template <int PARTS, class T>
__device__ __forceinline__ Columns<float, 2> load_parts(const T* from, u64 apart) {
    const auto high = pair_at(from);
    Columns<float, 2> value = {value_of(high.at[0]), value_of(high.at[1])};
    if constexpr (PARTS == 2) {
        const auto low = pair_at(from + apart);
        value = {value.at[0] + value_of(low.at[0]), value.at[1] + value_of(low.at[1])};
    }
    return value;
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

    // Values of a level, TILE rows; what they left in bf16 is VALUES elements behind them.
    template <int LEVEL>
    static constexpr int VALUES = TILE * stride(LEVEL);
    template <int LEVEL>
    __device__ __forceinline__ Stored<LEVEL>* values() const {
        return reinterpret_cast<Stored<LEVEL>*>(tile + values_offset(LEVEL));
    }

    // The same as the left-hand matrix of the way forward.
    template <int LEVEL>
    __device__ __forceinline__ auto inputs() const {
        using Rows = Operand<Stored<LEVEL>, BY_ROW, TILES_SHARED>;
        const Rows high{values<LEVEL>(), stride(LEVEL)};
        if constexpr (parts(LEVEL) == 2) {
            return Split<Rows>{high, {high.data + VALUES<LEVEL>, high.stride}};
        } else {
            return high;
        }
    }

    // Elements `at` and `at` + 1 of a level's values, as energies see them.
    template <int LEVEL>
    __device__ __forceinline__ Columns<float, 2> pair(int at) const {
        return load_parts<parts(LEVEL)>(values<LEVEL>() + at, VALUES<LEVEL>);
    }

    // Slopes of a hidden level, later cotangents of its sums before the activation.
    template <int LEVEL>
    __device__ __forceinline__ Hidden* slopes() const {
        return reinterpret_cast<Hidden*>(tile + slopes_offset(LEVEL));
    }

    // The weight of a layer as the right-hand matrix of the way forward: a row an output.
    template <int LAYER>
    __device__ __forceinline__ auto weight() const {
        const auto high = weight_part<LAYER, BY_ROW>(0);
        if constexpr (parts(LAYER - 1) == 2) {
            return Split<decltype(weight_part<LAYER, BY_ROW>(0))>{high, weight_part<LAYER, BY_ROW>(1)};
        } else {
            return high;
        }
    }
    // Of the way back: a row an input.
    template <int LAYER>
    __device__ __forceinline__ auto weight_back() const {
        return weight_part<LAYER, BY_DEPTH>(in_pieces(LAYER) ? parts(LAYER - 1) : 0);
    }

    template <int LAYER>
    __device__ __forceinline__ const float* bias() const {
        return vectors + packed_vector(LAYER);
    }
    __device__ __forceinline__ const float* output_weight() const {
        return vectors + packed_vector(LAYERS + 1);
    }

private:
    template <int LAYER, Order ORDER>
    __device__ __forceinline__ auto weight_part(int part) const {
        const auto* at = weights + packed_weight(LAYER) + part * weight_bytes(LAYER);
        if constexpr (in_pieces(LAYER)) {
            const int depth = padded_width(ORDER == BY_ROW ? LAYER - 1 : LAYER);
            return Pieces{reinterpret_cast<const Words*>(at), depth / 16};
        } else {
            using Below = Stored<LAYER - 1>;
            return Operand<Below, ORDER, WEIGHTS_SHARED>{reinterpret_cast<const Below*>(at),
                                                         stride(LAYER - 1)};
        }
    }
};

}  // namespace snel
