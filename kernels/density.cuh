// Log-densities, one point a thread, in float. Definition: snel-core/src/density/mod.rs.
#pragma once
#include "arguments.cuh"
#include "shape.cuh"

namespace snel {

// |S^-1 (x - mean)|^2.
__device__ __forceinline__ float squared_distance(const DensityNode& node, const float* values,
                                                  const float* x) {
    const float* mean = values + node.mean;
    const float* row = values + node.inverse;
    float sum = 0.0f;
    for (int i = 0; i < width(0); i++) {
        float z = 0.0f;
        if (node.diagonal) {
            z = row[i] * (x[i] - mean[i]);
        } else {
            for (int j = 0; j <= i; j++) z += row[j] * (x[j] - mean[j]);
            row += i + 1;
        }
        sum += z * z;
    }
    return sum;
}

// Log-density of a component, with the log of its weight.
__device__ __forceinline__ float component_log_density(const DensityNode& node,
                                                       const float* values, const float* x) {
    if (node.kind == UNIFORM) {
        bool inside = true;
        for (int i = 0; i < width(0); i++) {
            // The upper face counts as inside: a sample may round up onto it.
            inside = inside && x[i] >= values[node.mean + i] && x[i] <= values[node.scale + i];
        }
        return inside ? node.offset : -infinity();
    }
    const float square = squared_distance(node, values, x);
    if (node.kind == GAUSSIAN) return node.offset - 0.5f * square;
    return node.offset + node.exponent * log1pf(square * node.inverse_df);
}

// Log-density at the point `x`; -inf outside the support.
__device__ __forceinline__ float log_density(const Density& density, const float* x) {
    // The sum of exp(l - largest), rescaled when a larger one comes.
    float largest = -infinity(), sum = 0.0f;
    for (int n = 0; n < density.count; n++) {
        const DensityNode& node = density.nodes[n];
        if (node.kind == MIXTURE) continue;
        const float l = component_log_density(node, density.values, x);
        if (l == -infinity()) continue;
        if (l > largest) {
            sum = sum * expf(largest - l) + 1.0f;
            largest = l;
        } else {
            sum += expf(l - largest);
        }
    }
    return sum == 1.0f ? largest : largest + logf(sum);
}

}  // namespace snel
