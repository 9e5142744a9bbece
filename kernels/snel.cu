// The kernels. Each takes one struct of arguments.cuh by value.
//
// Reading order: shape (what is known when this is compiled), tile (a block's memory), step (a
// block's work), then what it does to a tile: sample, energy, objective, gradient, exact. product
// and fragment make the matrix products of energy and gradient; primitives holds the instructions.
// After a step, verdict looks at the sums and update moves the parameters. Layers that are too wide
// for a tile are made one by one: layerwise, and layerwise_gradient on the way back.
#include "layerwise_gradient.cuh"
#include "update.cuh"

namespace snel {

// The weight from input k to output n of a layer; zero in the padding.
template <int LAYER>
__device__ __forceinline__ float weight_at(const PackArguments& a, int n, int k) {
    if (n >= width(LAYER) || k >= width(LAYER - 1)) return 0.0f;
    return a.parameters[weight_offset(LAYER) + n * width(LAYER - 1) + k];
}

// The packed copy of the parameters. One thread two elements.
template <int LAYER>
__device__ __forceinline__ void pack_weight(const PackArguments& a, int own, int all) {
    // Of the first layer float, but in parts as all others layer by layer.
    using Below = typename HiddenOf<HALVES && (LAYERWISE || LAYER > 1)>::Type;
    auto* to = reinterpret_cast<Below*>(a.packed + packed_weight(LAYER));
    constexpr int PAIRS = stride(LAYER - 1) / 2;
    for (int i = own; i < padded_width(LAYER) * PAIRS; i += all) {
        const int n = i / PAIRS, k = i % PAIRS * 2;
        store_parts<parts(LAYER - 1)>(to + n * stride(LAYER - 1) + k,
                                      padded_width(LAYER) * stride(LAYER - 1),
                                      weight_at<LAYER>(a, n, k), weight_at<LAYER>(a, n, k + 1));
    }
}

// The same in pieces: the parts that the way forward reads, then that of the way back.
template <int LAYER>
__device__ __forceinline__ void pack_pieces(const PackArguments& a, int own, int all) {
    constexpr int OUT = padded_width(LAYER), IN = padded_width(LAYER - 1), WORDS = OUT * IN / 2;
    constexpr int FORWARD = parts(LAYER - 1);
    u32* to = reinterpret_cast<u32*>(a.packed + packed_weight(LAYER));
    for (int i = own; i < (FORWARD + 1) * WORDS; i += all) {
        const int part = i / WORDS, piece = i % WORDS / (4 * WARP), lane = i / 4 % WARP, word = i % 4;
        const bool back = part == FORWARD;
        const int deep = (back ? OUT : IN) / 16;
        const int row = piece / deep * 16 + lane / 4 + rows_down<RIGHT>(word);
        const int k = piece % deep * 16 + lane % 4 * 2 + 8 * deeper<RIGHT>(word);
        const float first = back ? weight_at<LAYER>(a, k, row) : weight_at<LAYER>(a, row, k);
        const float second = back ? weight_at<LAYER>(a, k + 1, row) : weight_at<LAYER>(a, row, k + 1);
        const u32 high = pack_bf16(first, second);
        to[i] = part == 1 && !back ? rest_of(first, second, high) : high;
    }
}

__device__ __forceinline__ void pack_vector(const PackArguments& a, int level, int from, int to,
                                            int own, int all) {
    auto* vectors = reinterpret_cast<float*>(a.packed + PACKED_VECTORS);
    for (int j = own; j < padded_width(level); j += all) {
        vectors[to + j] = j < width(level) ? a.parameters[from + j] : 0.0f;
    }
}

}  // namespace snel

extern "C" __global__ void snel_pack(snel::PackArguments a) {
    using namespace snel;
    const int own = blockIdx.x * blockDim.x + threadIdx.x, all = gridDim.x * blockDim.x;
    ascending<1, LAYERS>([&](auto layer) {
        constexpr int LAYER = decltype(layer)::value;
        if constexpr (in_pieces(LAYER)) {
            pack_pieces<LAYER>(a, own, all);
        } else {
            pack_weight<LAYER>(a, own, all);
        }
        pack_vector(a, LAYER, bias_offset(LAYER), packed_vector(LAYER), own, all);
    });
    pack_vector(a, LAYERS, OUTPUT_OFFSET, packed_vector(LAYERS + 1), own, all);
}

#if !SNEL_LAYERWISE

extern "C" __global__ void __launch_bounds__(snel::THREADS, 1)
    snel_step(snel::StepArguments a) {
    using namespace snel;
    if (a.control->stalled != 0) return;
    const Block block(a.model);
    Sums sums(a.sums);
    const double b = a.model.parameters[B_OFFSET];
    block.load_parameters(a.model);
    for (;;) {
        const u32 index = next_chunk(a, block.shared);
        if (index >= a.n_chunks) return;
        work_on(block, a, index, b, sums);
    }
}

extern "C" __global__ void __launch_bounds__(snel::THREADS, 1)
    snel_score(snel::ScoreArguments a) {
    using namespace snel;
    const Block block(a.model);
    block.load_parameters(a.model);
    for (u64 first = static_cast<u64>(blockIdx.x) * TILE; first < a.count;
         first += static_cast<u64>(gridDim.x) * TILE) {
        const u64 left = a.count - first;
        const int count = left < TILE ? left : TILE, t = threadIdx.x;
        float* points = block.values<0>();
        if (a.is_sample) {
            const Source source{a.model.seed, a.stream, a.step};
            draw_samples(a.model.proposal, source, a.first + first, count, block.shared.origins,
                         points);
        } else {
            load_points(a.points + first * width(0), count, points);
        }
        __syncthreads();
        log_densities(block, a.model, true, true);
        forward(block);
        if (t < count) {
            const Shared& found = block.shared;
            a.scored[first + t] = {found.energies[t], found.log_base[t], found.log_proposal[t]};
        }
        // Nobody overwrites coordinates before the barrier inside of the next draw_samples; padding is
        // not read here.
        if (a.is_sample) {
            for (int i = t; i < count * width(0); i += THREADS) {
                const int row = i / width(0), d = i % width(0);
                a.points[first * width(0) + i] = points[row * stride(0) + d];
            }
        }
    }
}

#else

extern "C" __global__ void __launch_bounds__(snel::THREADS, 1)
    snel_points(snel::LayerArguments a) {
    const snel::u32 tiles = a.chunk_rows / snel::TILE * a.step.n_chunks;
    for (snel::u32 tile = blockIdx.x; tile < tiles; tile += gridDim.x) snel::points_of_tile(a, tile);
}

extern "C" __global__ void snel_activate(snel::LayerArguments a) {
    using namespace snel;
    for_layer<1, LAYERS>(a.layer, [&](auto layer) { activate_layer<decltype(layer)::value>(a); });
}

extern "C" __global__ void snel_energies(snel::LayerArguments a) { snel::energies_of_rows(a); }

extern "C" __global__ void __launch_bounds__(snel::THREADS, 1)
    snel_weigh(snel::LayerArguments a) {
    if (a.step.control->stalled != 0) return;
    const double b = a.step.model.parameters[snel::B_OFFSET];
    for (snel::u32 index = blockIdx.x; index < a.step.n_chunks; index += gridDim.x) {
        snel::weigh_chunk(a, index, b);
    }
}

extern "C" __global__ void snel_slopes(snel::LayerArguments a) {
    using namespace snel;
    for_layer<1, LAYERS>(a.layer, [&](auto layer) { slope_layer<decltype(layer)::value>(a); });
}

// The gradient of the bias of a layer, or behind the last one of the output weight.
extern "C" __global__ void snel_vectors(snel::LayerArguments a) {
    using namespace snel;
    for_layer<1, LAYERS>(a.layer, [&](auto layer) { bias_gradient<decltype(layer)::value>(a); });
    if (a.layer > LAYERS) output_gradient(a);
}

extern "C" __global__ void snel_extents(snel::LayerArguments a) { snel::extent_of_slice(a); }

extern "C" __global__ void snel_add(snel::LayerArguments a) {
    if (a.step.control->stalled != 0) return;
    snel::add_chunks(a, blockIdx.x * blockDim.x + threadIdx.x, gridDim.x * blockDim.x);
}

#endif

extern "C" __global__ void snel_verdict(snel::VerdictArguments a) {
    if (blockIdx.x == 0 && threadIdx.x == 0) snel::judge(a);
}

extern "C" __global__ void snel_norm(snel::UpdateArguments a) {
    if (a.control->stalled == 0) snel::norm_part(a);
}

extern "C" __global__ void snel_update(snel::UpdateArguments a) {
    using namespace snel;
    if (a.control->stalled != 0) return;
    const double norm = norm_of(a), unit = unit_of(a);
    const double clip = norm > a.clip_norm ? __ddiv_rn(a.clip_norm, norm) : 1.0;
    const int own = blockIdx.x * blockDim.x + threadIdx.x, all = gridDim.x * blockDim.x;
    for (int i = own; i < PARAMETERS; i += all) {
        update_one(a, unit, i, clip);
        if (i == B_OFFSET) {
            a.report->gradient_norm = norm;
            a.report->b = a.parameters[i];
        }
    }
}

extern "C" __global__ void snel_sizes(snel::SizesArguments a) {
    using namespace snel;
    if (blockIdx.x != 0 || threadIdx.x != 0) return;
    a.sizes[0] = SHARED_BYTES;
    a.sizes[1] = PACKED_BYTES;
    a.sizes[2] = LAYERWISE ? ROW_BYTES : TILES_SHARED ? 0 : TILE_BYTES;
    a.sizes[3] = LAYERWISE ? GRADIENT_FLOATS : SUMS_IN_REGISTERS ? 0 : SUM_SLOTS;
    a.sizes[4] = PARAMETERS;
}
