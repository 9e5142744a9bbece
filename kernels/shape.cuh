// The shape that the kernels are compiled for, as constants.
//
// Macros, all integers: SNEL_DIM (values of a point), SNEL_WIDTHS (hidden widths, comma between
// them, may be empty), SNEL_ACTIVATION, SNEL_RESIDUAL, SNEL_PRECISION, SNEL_TILE (points of a
// tile, a multiple of 16), SNEL_THREADS (of a block, whole warps, at least a tile),
// SNEL_WEIGHTS_SHARED and SNEL_TILES_SHARED (where operands are kept: 1 in shared memory, 0 in
// global), SNEL_SUMS_IN_REGISTERS (where a chunk's gradient is kept), SNEL_LAYERWISE (1 if layers are
// made one after the other for many points at once, by products that are no kernels of ours).
//
// Level 0 is the point, level i the output of hidden layer i; layer i goes from level i - 1 to i.
// Everything is padded to 16, so that matrix fragments are whole: with zeros but for values of hidden
// levels, which nothing but zeros reads.
#pragma once
#include "primitives.cuh"

namespace snel {

enum Activation { SILU, RELU, TANH, GELU, SOFTPLUS };
// How products are made. BF16X3 splits each operand in two bf16 and leaves out the product of the
// two small parts; it is used forward only.
enum Precision { FP32, TF32, BF16X3, BF16 };

constexpr Activation ACTIVATION = static_cast<Activation>(SNEL_ACTIVATION);
constexpr Precision PRECISION = static_cast<Precision>(SNEL_PRECISION);
constexpr int TILE = SNEL_TILE;
constexpr int THREADS = SNEL_THREADS;
constexpr int WARPS = THREADS / WARP;
constexpr bool WEIGHTS_SHARED = SNEL_WEIGHTS_SHARED;
constexpr bool TILES_SHARED = SNEL_TILES_SHARED;
constexpr bool SUMS_IN_REGISTERS = SNEL_SUMS_IN_REGISTERS;
constexpr bool LAYERWISE = SNEL_LAYERWISE;

static_assert(TILE % 16 == 0 && THREADS % WARP == 0 && THREADS >= TILE, "see shape.rs");

// Whether values and weights of hidden layers are bf16, and whether energies see two parts of them:
// the second is what the first leaves. Points and the weights of the first layer stay float:
// log-weights need the point that densities are evaluated at.
constexpr bool HALVES = PRECISION == BF16 || PRECISION == BF16X3;
constexpr bool SPLIT = PRECISION == BF16X3;

template <bool HALF>
struct HiddenOf {
    using Type = float;
};
template <>
struct HiddenOf<true> {
    using Type = Bf16;
};
using Hidden = HiddenOf<HALVES>::Type;

template <int LEVEL>
struct StoredAs {
    using Type = Hidden;
};
template <>
struct StoredAs<0> {
    using Type = float;
};
// Of the values of a level, and of the weights of the layer that reads them.
template <int LEVEL>
using Stored = typename StoredAs<LEVEL>::Type;

__host__ __device__ constexpr int layers() {
    const int levels[] = {SNEL_DIM, SNEL_WIDTHS};
    return sizeof(levels) / sizeof(levels[0]) - 1;
}
constexpr int LAYERS = layers();

__host__ __device__ constexpr int width(int level) {
    const int levels[] = {SNEL_DIM, SNEL_WIDTHS};
    return levels[level];
}

__host__ __device__ constexpr int padded(int n) { return (n + 15) / 16 * 16; }
__host__ __device__ constexpr int padded_width(int level) { return padded(width(level)); }

__host__ __device__ constexpr bool residual(int layer) {
    return SNEL_RESIDUAL && layer > 1 && layer <= LAYERS && width(layer) == width(layer - 1);
}

// Distance of the rows of a level's values, and of the weights that read them: 16 bytes more than
// a row, so that the same column of neighbouring rows is in different banks. In global memory, layer
// by layer, no more than a row.
__host__ __device__ constexpr int stride(int level) {
    if (LAYERWISE) return padded_width(level);
    return padded_width(level) + (level > 0 && HALVES ? 8 : 4);
}
__host__ __device__ constexpr int stored_bytes(int level) { return level > 0 && HALVES ? 2 : 4; }

// Offsets in the flat parameter vector: per layer the weight, outputs x inputs, and the bias
// after it; then the output weight; then b.
__host__ __device__ constexpr int weight_offset(int layer) {
    int offset = 0;
    for (int i = 1; i < layer; i++) offset += width(i) * width(i - 1) + width(i);
    return offset;
}
__host__ __device__ constexpr int bias_offset(int layer) {
    return weight_offset(layer) + width(layer) * width(layer - 1);
}
constexpr int OUTPUT_OFFSET = weight_offset(LAYERS + 1);
constexpr int B_OFFSET = OUTPUT_OFFSET + width(LAYERS);
constexpr int PARAMETERS = B_OFFSET + 1;

// Parts that the way forward reads of a level's values, and of the weights that read them. Layer by
// layer, bf16 points and first weights are in parts too.
__host__ __device__ constexpr int parts(int level) {
    return (SPLIT && level > 0) || (LAYERWISE && HALVES && level == 0) ? 2 : 1;
}

// Whether the weight of a layer is kept in pieces (fragment.cuh): where a warp has to fetch what it
// needs from global memory, that is one request a piece. For the way forward, then for the way back.
__host__ __device__ constexpr bool in_pieces(int layer) {
    return !WEIGHTS_SHARED && !LAYERWISE && HALVES && layer > 1;
}

// The packed copy of the parameters: weights padded as operands, a part after the other, then biases
// and output weight as padded floats. Bytes.
__host__ __device__ constexpr int weight_bytes(int layer) {
    const int columns = in_pieces(layer) ? padded_width(layer - 1) : stride(layer - 1);
    return padded_width(layer) * columns * (LAYERWISE ? int(sizeof(Hidden)) : stored_bytes(layer - 1));
}
__host__ __device__ constexpr int packed_bytes(int layer) {
    return (parts(layer - 1) + in_pieces(layer)) * weight_bytes(layer);
}
__host__ __device__ constexpr int packed_weight(int layer) {
    int offset = 0;
    for (int i = 1; i < layer; i++) offset += packed_bytes(i);
    return offset;
}
constexpr int PACKED_VECTORS = packed_weight(LAYERS + 1);
// Of floats: the bias of layer i, and behind the last one the output weight.
__host__ __device__ constexpr int packed_vector(int layer) {
    int offset = 0;
    for (int i = 1; i < layer; i++) offset += padded_width(i);
    return offset;
}
constexpr int VECTORS = packed_vector(LAYERS + 1) + padded_width(LAYERS);
constexpr int PACKED_BYTES = PACKED_VECTORS + 4 * VECTORS;

// A tile's memory: the values of every level, a part after the other, then the slopes of every hidden
// level. Bytes.
__host__ __device__ constexpr int values_offset(int level) {
    int offset = 0;
    for (int i = 0; i < level; i++) offset += parts(i) * TILE * stride(i) * stored_bytes(i);
    return offset;
}
__host__ __device__ constexpr int slopes_offset(int level) {
    int offset = values_offset(LAYERS + 1);
    for (int i = 1; i < level; i++) offset += TILE * stride(i) * stored_bytes(i);
    return offset;
}
constexpr int TILE_BYTES = slopes_offset(LAYERS + 1);

// Neighbouring lanes that share a point where a sum goes over its values.
constexpr int LANES = 4;

// The sum over the lanes of a point, in all of them; the same bits in each, for a + b = b + a.
__device__ __forceinline__ float sum_of_lanes(float v) {
    v += __shfl_xor_sync(0xffffffffu, v, 1);
    return v + __shfl_xor_sync(0xffffffffu, v, 2);
}

// Calls `f` with a Constant for every integer of FIRST..=LAST, up or down.
template <int VALUE>
struct Constant {
    static constexpr int value = VALUE;
};
template <int FIRST, int LAST, class F>
__device__ __forceinline__ void ascending(F&& f) {
    if constexpr (FIRST <= LAST) {
        f(Constant<FIRST>{});
        ascending<FIRST + 1, LAST>(f);
    }
}
template <int FIRST, int LAST, class F>
__device__ __forceinline__ void descending(F&& f) {
    if constexpr (FIRST >= LAST) {
        f(Constant<FIRST>{});
        descending<FIRST - 1, LAST>(f);
    }
}

}  // namespace snel
