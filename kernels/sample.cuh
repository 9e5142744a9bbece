// Proposal samples: the same Philox blocks in the same order as snel-core/src/density/draws.rs.
//
// Three phases with a barrier after each: a thread a point walks down the mixtures and draws the
// gamma variate of a Student component; all threads make the normals, four a block; LANES threads a
// point apply triangular scales.
#pragma once
#include "density.cuh"
#include "normal.cuh"
#include "philox.cuh"

namespace snel {

// Where a sample of the tile comes from.
struct Origin {
    int node;     // its component
    u32 block;    // the first block of its normals or uniforms
    float factor; // of its normals
};

// A gamma variate (Marsaglia, Tsang 2000) of shape at least one, from block `next` on.
__device__ __forceinline__ double gamma_above_one(const Source& source, u64 sample, u32& next,
                                                  double shape) {
    const double d = shape - 1.0 / 3.0, c = 1.0 / sqrt(9.0 * d);
    for (;;) {
        const Words words = philox(source, sample, next++);
        float z[2];
        normal_pair(words.w[0], words.w[1], z);
        const double x = z[0], root = 1.0 + c * x, v = root * root * root;
        const double bound = 0.5 * x * x + d - d * v;
        if (v > 0.0 && log(uniform(words.w[2])) < bound + d * log(v)) return d * v;
    }
}

__device__ __forceinline__ double gamma_variate(const Source& source, u64 sample, u32 next,
                                                double shape) {
    if (shape >= 1.0) return gamma_above_one(source, sample, next, shape);
    // Gamma(a) = Gamma(a + 1) U^(1/a), their section 6; kept positive where that underflows.
    const double boost = pow(uniform(philox(source, sample, next++).w[0]), 1.0 / shape);
    return fmax(gamma_above_one(source, sample, next, shape + 1.0) * boost, 2.2250738585072014e-308);
}

__device__ __forceinline__ Origin origin_of(const Density& density, const Source& source,
                                            u64 sample) {
    Origin origin{0, 0, 1.0f};
    while (density.nodes[origin.node].kind == MIXTURE) {
        const DensityNode& mixture = density.nodes[origin.node];
        double u = uniform(philox(source, sample, origin.block++).w[0]);
        int child = 0;
        for (; child < mixture.children; child++) {
            u -= density.nodes[mixture.first_child + child].weight;
            if (u < 0.0) break;
        }
        if (child == mixture.children) child--;
        origin.node = mixture.first_child + child;
    }
    const DensityNode& node = density.nodes[origin.node];
    if (node.kind == STUDENT) {
        const u32 next = origin.block + (width(0) + 3) / 4;
        const double g = 2.0 * gamma_variate(source, sample, next, 0.5 * node.df);
        origin.factor = static_cast<float>(sqrt(node.df / g));
    }
    return origin;
}

// Coordinate i of a point from its random number; a triangular scale is applied later.
__device__ __forceinline__ float place(const DensityNode& node, const float* values, float factor,
                                       float random, int i) {
    const float first = values[node.mean + i], second = values[node.scale + i];
    if (node.kind == UNIFORM) return fminf(first + (second - first) * random, second);
    return node.diagonal ? first + factor * (second * random) : random;
}

// mean + factor S z in place, LANES rows at once, a lane each, from the last one up: row i needs
// z_0..=z_i, and what is written is not read again. Whole warps, with and without work.
__device__ __forceinline__ void apply_lower(const DensityNode& node, const float* values,
                                            float factor, float* z, bool has_work) {
#pragma unroll 1
    for (int top = width(0) - 1; top >= 0; top -= LANES) {
        const int i = top - static_cast<int>(threadIdx.x % LANES);
        const bool own = has_work && i >= 0;
        float sum = 0.0f;
        if (own) {
            const float* row = values + node.scale + i * (i + 1) / 2;
#pragma unroll 2
            for (int j = 0; j <= i; j++) sum = fmaf(row[j], z[j], sum);
        }
        // The lanes beside this one read what it is about to replace.
        __syncwarp();
        if (own) z[i] = fmaf(factor, sum, values[node.mean + i]);
    }
}

// Fills the rows of `points` with samples first..first + count, and the rest with zeros. All
// threads of the block; a barrier after it is the caller's.
__device__ __forceinline__ void draw_samples(const Density& density, const Source& source,
                                             u64 first, int count, Origin* origins,
                                             float* points) {
    // Of a row that have a coordinate; the rest is padding.
    constexpr int QUADS = (width(0) + 3) / 4;
    const int own = threadIdx.x;
    if (own < count) origins[own] = origin_of(density, source, first + own);
    for (int quad = QUADS; quad < padded_width(0) / 4; quad++) {
        for (int t = own; t < TILE; t += THREADS) {
            *reinterpret_cast<Columns<float, 4>*>(points + t * stride(0) + 4 * quad) = {};
        }
    }
    __syncthreads();
    for (int i = own; i < TILE * QUADS; i += THREADS) {
        const int t = i / QUADS, quad = i % QUADS;
        Columns<float, 4> x = {};
        if (t < count) {
            const Origin origin = origins[t];
            const DensityNode& node = density.nodes[origin.node];
            const Words words = philox(source, first + t, origin.block + quad);
            float z[4];
            normals(words, z);
#pragma unroll
            for (int j = 0; j < 4; j++) {
                if (4 * quad + j >= width(0)) continue;
                const float random =
                    node.kind == UNIFORM ? static_cast<float>(uniform(words.w[j])) : z[j];
                x.at[j] = place(node, density.values, origin.factor, random, 4 * quad + j);
            }
        }
        *reinterpret_cast<Columns<float, 4>*>(points + t * stride(0) + 4 * quad) = x;
    }
    if (density.has_lower) {
        __syncthreads();
        // Whole warps go round: a tile is a multiple of 16 points, a warp has 8.
        for (int t = own / LANES; t < TILE; t += THREADS / LANES) {
            const Origin origin = t < count ? origins[t] : Origin{0, 0, 1.0f};
            const DensityNode& node = density.nodes[origin.node];
            const bool lower = t < count && node.kind != UNIFORM && !node.diagonal;
            apply_lower(node, density.values, origin.factor, points + t * stride(0), lower);
        }
    }
}

// Fills the rows of `points` with `count` given points, and the rest with zeros.
__device__ __forceinline__ void load_points(const float* from, int count, float* points) {
    for (int i = threadIdx.x; i < TILE * padded_width(0); i += THREADS) {
        const int t = i / padded_width(0), d = i % padded_width(0);
        const bool inside = t < count && d < width(0);
        points[t * stride(0) + d] = inside ? from[static_cast<u64>(t) * width(0) + d] : 0.0f;
    }
}

}  // namespace snel
