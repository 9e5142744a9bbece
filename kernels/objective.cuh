// From energies to cotangents. Definition: snel-core/src/objective.rs.
#pragma once
#include "tile.cuh"

namespace snel {

// exp of less is zero: the smallest normal number.
constexpr float UNDERFLOW_AT = -87.3f;

struct Weighed {
    float u, weight;
};

// u = log d - E - log q - b, and exp(u).
__device__ __forceinline__ Weighed weigh(float log_base, float energy, float log_proposal,
                                         double b) {
    const double tilted = static_cast<double>(log_base) - static_cast<double>(energy);
    const float u = static_cast<float>(tilted - static_cast<double>(log_proposal) - b);
    return {u, u < UNDERFLOW_AT ? 0.0f : expf(u)};
}

// log d at a point whose log q is `log_proposal`.
__device__ __forceinline__ float log_base_density(const Model& model, const float* x,
                                                  float log_proposal) {
    if (model.base_kind == BASE_NONE) return 0.0f;
    return model.base_kind == BASE_PROPOSAL ? log_proposal : log_density(model.base, x);
}

// dL/dE at a data row.
__device__ __forceinline__ float row_cotangent(const StepArguments& step, const float* x,
                                               float energy, double b, PointTally& tally) {
    const bool needs_proposal = step.objective == NCE || step.model.base_kind == BASE_PROPOSAL;
    const float log_proposal = needs_proposal ? log_density(step.model.proposal, x) : 0.0f;
    const float log_base = log_base_density(step.model, x, log_proposal);
    tally.add_row(static_cast<double>(log_base) - static_cast<double>(energy));
    double c = 1.0;
    if (step.objective == NCE) {
        const double ratio = step.samples / step.batch;
        const double weight = weigh(log_base, energy, log_proposal, b).weight;
        c = ratio / (ratio + weight);
    }
    return static_cast<float>(c / step.batch);
}

// dL/dE at a sample; zero if its weight is unusable.
__device__ __forceinline__ float sample_cotangent(const StepArguments& step, const float* x,
                                                  float energy, double b, PointTally& tally) {
    // If the base is the proposal, the two densities cancel.
    const bool cancels = step.model.base_kind == BASE_PROPOSAL;
    const float log_proposal = cancels ? 0.0f : log_density(step.model.proposal, x);
    const float log_base = cancels ? 0.0f : log_base_density(step.model, x, log_proposal);
    const Weighed weighed = weigh(log_base, energy, log_proposal, b);
    const double weight = weighed.weight;
    if (!tally.add_sample(weighed.u, weight)) return 0.0f;
    const double ratio = step.samples / step.batch;
    const double c = step.objective == NCE ? -ratio * weight / (ratio + weight) : -weight;
    return static_cast<float>(c / step.samples);
}

// Turns the tile's energies into cotangents: those of its `count` points, and zeros for the rest.
// All threads; a barrier follows.
__device__ __forceinline__ void weigh_tile(const Block& block, const StepArguments& step,
                                           bool is_sample, int count, double b,
                                           PointTally& tally) {
    const int t = threadIdx.x;
    if (t >= TILE) return;
    float c = 0.0f;
    if (t < count) {
        const float* x = block.values<0>() + t * stride(0);
        const float energy = block.shared.energies[t];
        c = is_sample ? sample_cotangent(step, x, energy, b, tally)
                      : row_cotangent(step, x, energy, b, tally);
        tally.cotangent += c;
    }
    block.shared.cotangents[t] = c;
}

}  // namespace snel
