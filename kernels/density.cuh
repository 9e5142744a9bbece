// Log-densities in float, LANES neighbouring lanes a point. Definition:
// snel-core/src/density/mod.rs.
//
// Every lane of a warp makes the same calls, so that all meet in the shuffles.
#pragma once
#include "arguments.cuh"
#include "shape.cuh"

namespace snel {

// |S^-1 (x - mean)|^2; this lane takes every fourth row.
__device__ __forceinline__ float squared_distance(const DensityNode& node, const float* values,
                                                  const float* x, int lane) {
    const float* mean = values + node.mean;
    const float* inverse = values + node.inverse;
    float sum = 0.0f;
    for (int i = lane; i < width(0); i += LANES) {
        float z = 0.0f;
        if (node.diagonal) {
            z = inverse[i] * (x[i] - mean[i]);
        } else {
            const float* row = inverse + i * (i + 1) / 2;
            for (int j = 0; j <= i; j++) z = fmaf(row[j], x[j] - mean[j], z);
        }
        sum = fmaf(z, z, sum);
    }
    return sum_of_lanes(sum);
}

// Coordinates outside of the box. The upper face counts as inside: a sample may round up onto it.
__device__ __forceinline__ float coordinates_outside(const DensityNode& node, const float* values,
                                                     const float* x, int lane) {
    float outside = 0.0f;
    for (int i = lane; i < width(0); i += LANES) {
        const bool inside = x[i] >= values[node.mean + i] && x[i] <= values[node.scale + i];
        outside += inside ? 0.0f : 1.0f;
    }
    return sum_of_lanes(outside);
}

// Log-density of a component, with the log of its weight.
__device__ __forceinline__ float component_log_density(const DensityNode& node,
                                                       const float* values, const float* x,
                                                       int lane) {
    if (node.kind == UNIFORM) {
        return coordinates_outside(node, values, x, lane) == 0.0f ? node.offset : -infinity();
    }
    const float square = squared_distance(node, values, x, lane);
    if (node.kind == GAUSSIAN) return node.offset - 0.5f * square;
    return node.offset + node.exponent * log1pf(square * node.inverse_df);
}

// Log-density at the point `x`, in all its lanes; -inf outside the support.
__device__ __forceinline__ float log_density(const Density& density, const float* x, int lane) {
    // The sum of exp(l - largest), rescaled when a larger one comes.
    float largest = -infinity(), sum = 0.0f;
    for (int n = 0; n < density.count; n++) {
        const DensityNode& node = density.nodes[n];
        if (node.kind == MIXTURE) continue;
        const float l = component_log_density(node, density.values, x, lane);
        if (l > largest) {
            sum = sum * expf(largest - l) + 1.0f;
            largest = l;
        } else if (l != -infinity()) {
            sum += expf(l - largest);
        }
    }
    return sum == 1.0f ? largest : largest + logf(sum);
}

}  // namespace snel
