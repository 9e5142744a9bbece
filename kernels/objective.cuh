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

// Log-densities of the tile's points, where they are asked for; else zero. log q is evaluated too
// where it is the base. All threads; a barrier follows.
__device__ __forceinline__ void log_densities(const Block& block, const Model& model,
                                              bool proposal, bool base) {
    const int lane = threadIdx.x % LANES;
    // Whole warps go round: a tile is a multiple of 16 points, a warp has 8.
    for (int t = threadIdx.x / LANES; t < TILE; t += THREADS / LANES) {
        const float* x = block.values<0>() + t * stride(0);
        const bool base_is_proposal = base && model.base_kind == BASE_PROPOSAL;
        float log_proposal = 0.0f, log_base = 0.0f;
        if (proposal || base_is_proposal) log_proposal = log_density(model.proposal, x, lane);
        if (base_is_proposal) log_base = log_proposal;
        if (base && model.base_kind == BASE_DENSITY) log_base = log_density(model.base, x, lane);
        if (lane == 0) {
            block.shared.log_proposal[t] = log_proposal;
            block.shared.log_base[t] = log_base;
        }
    }
}

// What the cotangents of a chunk's points need.
__device__ __forceinline__ void log_densities_for(const Block& block, const StepArguments& step,
                                                  bool is_sample) {
    // At a sample the two densities cancel if the base is the proposal.
    const bool cancels = is_sample && step.model.base_kind == BASE_PROPOSAL;
    const bool proposal = is_sample || step.objective == NCE;
    log_densities(block, step.model, proposal && !cancels, !cancels);
}

// dL/dE at a data row.
__device__ __forceinline__ float row_cotangent(const StepArguments& step, const Shared& shared,
                                               int t, double b, PointTally& tally) {
    const float energy = shared.energies[t], log_base = shared.log_base[t];
    tally.add_row(static_cast<double>(log_base) - static_cast<double>(energy));
    double c = 1.0;
    if (step.objective == NCE) {
        const double ratio = step.samples / step.batch;
        const double weight = weigh(log_base, energy, shared.log_proposal[t], b).weight;
        c = ratio / (ratio + weight);
    }
    return static_cast<float>(c / step.batch);
}

// dL/dE at a sample; zero if its weight is unusable.
__device__ __forceinline__ float sample_cotangent(const StepArguments& step, const Shared& shared,
                                                  int t, double b, PointTally& tally) {
    const Weighed weighed =
        weigh(shared.log_base[t], shared.energies[t], shared.log_proposal[t], b);
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
        c = is_sample ? sample_cotangent(step, block.shared, t, b, tally)
                      : row_cotangent(step, block.shared, t, b, tally);
        tally.cotangent += c;
    }
    block.shared.cotangents[t] = c;
}

}  // namespace snel
